"""Remove objects that nobody owns and memories that nobody needs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from tonearm_ingest.usecases.lease import REMOVAL_S_MAX
from tonearm_ingest.usecases.ports import Begin, Blobs
from tonearm_ingest.usecases.resumable import expire_uploads
from tonearm_kit.clock import Clock
from tonearm_kit.errors import AppError


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepLimits:
    """Bounds of one sweep."""

    objects_max: int
    uploads_max: int
    """Expired resumable uploads that one sweep ends."""
    retry_after_s: float
    removed_kept_s: float
    """How long a deletion is remembered, so that repeating it still answers "done"."""
    removal_s_max: float = REMOVAL_S_MAX
    """What takes longer is tried again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did."""

    n_objects: int
    n_uploads: int
    """Resumable uploads that expired."""
    overdue_s: float
    """How long the oldest of what was due had waited; a sweep that keeps up finds a sweep's
    interval at most."""


async def sweep(*, begin: Begin, blobs: Blobs, clock: Clock, limits: SweepLimits) -> Swept:
    """Remove due objects, at most `objects_max`.

    Resumable uploads that expired end here; their parts are due from the next sweep on.
    An object that the store will not remove now is tried again later. Several sweepers may run
    at once: each sees only notes that no other holds.
    """
    now = clock.now()
    n_removed = 0
    async with begin() as tx:
        due = await tx.loose.take_due(now=now, limit=limits.objects_max)
        for loose in due:
            try:
                async with asyncio.timeout(limits.removal_s_max):
                    await blobs.delete(loose.object_key)
            except (AppError, TimeoutError):
                until = now + timedelta(seconds=limits.retry_after_s)
                await tx.loose.postpone(loose.object_key, until=until)
                break  # a store that is away now is away for the next one, too
            await tx.loose.drop(loose.object_key)
            n_removed += 1
        expired = await expire_uploads(tx=tx, clock=clock, uploads_max=limits.uploads_max)
        await tx.audio.forget_removed(before=now - timedelta(seconds=limits.removed_kept_s))
    times = [*(loose.sweep_after for loose in due), *(upload.expires_at for upload in expired)]
    return Swept(
        n_objects=n_removed,
        n_uploads=len(expired),
        overdue_s=(now - min(times, default=now)).total_seconds(),
    )
