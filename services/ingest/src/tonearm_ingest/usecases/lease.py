"""Signs of life: what a running upload holds is given up for dead when they stay away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime, timedelta

from tonearm_ingest.domain.errors import UploadLocked, UploadLost
from tonearm_ingest.usecases.ports import Begin, Blobs, Transaction
from tonearm_kit.clock import Clock
from tonearm_kit.errors import AppError

REMOVAL_S_MAX = 10.0
"""Longest removal of one object inside a transaction, in seconds: the database ends a transaction
that is idle for longer than 20 s, and what it said with it."""

Renew = Callable[[Transaction, datetime], Awaitable[object]]
"""Moves the end of a lease to that time."""


@contextlib.asynccontextmanager
async def kept_alive(
    renew: Renew, *, begin: Begin, clock: Clock, lease_s: float
) -> AsyncIterator[None]:
    """Renew a lease of `lease_s` seconds while the block runs; it was taken before."""
    outcome: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(_beat(renew, begin=begin, clock=clock, lease_s=lease_s))
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group
            outcome = error
        beating.cancel()
    if outcome is not None:
        raise outcome


async def _beat(renew: Renew, *, begin: Begin, clock: Clock, lease_s: float) -> None:
    """Say from time to time that the upload lives.

    A beat that fails matters only if the lease is gone in the end, which is looked at there.
    """
    while True:
        await asyncio.sleep(lease_s / 3)
        with contextlib.suppress(Exception):
            async with begin() as tx:
                await renew(tx, clock.now() + timedelta(seconds=lease_s))


async def hold(
    tx: Transaction, upload_id: str, holder: str, *, now: datetime, lease_s: float
) -> None:
    """Let nobody else add bytes to the upload for `lease_s` seconds; raises `UploadLocked`."""
    until = now + timedelta(seconds=lease_s)
    if not await tx.resumable.hold(upload_id, holder, now=now, until=until):
        raise UploadLocked(retry_after_s=1)


async def release(upload_ids: Iterable[str], holder: str, *, begin: Begin) -> None:
    """Let everybody add bytes to these uploads again, as far as this one holds them."""
    async with begin() as tx:
        for upload_id in sorted(upload_ids):
            await tx.resumable.release(upload_id, holder)


def noted(object_key: str) -> Renew:
    """Return how the note on an ownerless object is kept from the sweeper."""

    async def renew(tx: Transaction, until: datetime) -> None:
        await tx.loose.postpone(object_key, until=until)

    return renew


async def discard(
    object_key: str, *, begin: Begin, blobs: Blobs, after: BaseException | None = None
) -> bool:
    """Remove an object that is still ownerless; what fails here is left to the sweeper: False.

    Without its note the object has found an owner after all, in a transaction whose end was not
    heard of, unless that transaction told (`after` is `UploadLost`) that the sweeper was there
    first: what was written behind it is nobody's.
    """
    with contextlib.suppress(AppError, TimeoutError):
        async with begin() as tx:
            if await tx.loose.drop(object_key) or isinstance(after, UploadLost):
                async with asyncio.timeout(REMOVAL_S_MAX):
                    await blobs.delete(object_key)
        return True
    return False
