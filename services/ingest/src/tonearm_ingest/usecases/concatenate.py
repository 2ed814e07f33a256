"""Make one recording of several partial uploads, which are gone then."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tonearm_ingest.domain.audio import Audio, clean_filename
from tonearm_ingest.domain.errors import (
    IdempotencyKeyReused,
    NotAudio,
    NotPartial,
    PartialNotFound,
    PartialUnfinished,
    UnsupportedAudio,
)
from tonearm_ingest.domain.resumable import Part, Resumable
from tonearm_ingest.usecases.accept_upload import Intake
from tonearm_ingest.usecases.lease import hold, kept_alive, release
from tonearm_ingest.usecases.ports import Caller, Transaction
from tonearm_ingest.usecases.resumable import (
    ResumableLimits,
    accept_parts,
    drop_upload,
    find_same_key,
    let_go,
    remove_some,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenate:
    """A file whose pieces are there."""

    caller: Caller
    partial_ids: Sequence[str]
    """In the order of their bytes; none stands twice."""
    filename: str
    metadata: str
    concat: str
    """The wish as the client said it; told back."""
    idempotency_key: str | None = None

    @property
    def partials_sha256(self) -> str:
        """What the same pieces in the same order have in common."""
        return hashlib.sha256(" ".join(self.partial_ids).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenated:
    """The final upload, and the recording where this request made it."""

    upload: Resumable
    audio: Audio | None


async def concatenate(cmd: Concatenate, *, intake: Intake, limits: ResumableLimits) -> Concatenated:
    """Make the final upload and its recording, or neither.

    The partial uploads are held meanwhile, as by a request that adds bytes: one request at a
    time, which another replica may repeat when its process died. They end in the transaction
    that makes the recording; after any refusal they are there for another try, but for bytes
    that are no audio, which end them. Repeating it finds the same upload. Raises what
    `accept_upload` raises, and for what is wrong with a partial upload, which one it is.
    """
    holder = intake.new_id()
    earlier, parts = await _take_hold(cmd, holder, intake)
    if earlier is not None:
        return Concatenated(upload=earlier, audio=None)

    async def renew(tx: Transaction, until: datetime) -> None:
        now = intake.clock.now()
        for upload_id in sorted(cmd.partial_ids):
            await tx.resumable.hold(upload_id, holder, now=now, until=until)

    alive = kept_alive(renew, begin=intake.begin, clock=intake.clock, lease_s=intake.limits.lease_s)
    try:
        async with alive:
            return await _join(cmd, parts, holder, intake, limits)
    except (NotAudio, UnsupportedAudio):
        for upload_id in cmd.partial_ids:
            await drop_upload(upload_id, holder=holder, intake=intake)
        raise
    finally:
        await asyncio.shield(release(cmd.partial_ids, holder, begin=intake.begin))


async def _take_hold(
    cmd: Concatenate, holder: str, intake: Intake
) -> tuple[Resumable | None, list[Part]]:
    """Return what an earlier request made, or the parts of all pieces, which are held then."""
    now, lease_s = intake.clock.now(), intake.limits.lease_s
    async with intake.begin() as tx:
        earlier = await find_same_key(
            tx, cmd.idempotency_key, account_id=cmd.caller.account_id, now=now
        )
        if earlier is not None:
            if earlier.partials_sha256 != cmd.partials_sha256:
                raise IdempotencyKeyReused
            return earlier, []
        try:
            partials = await _lock(tx, cmd, now=now)
        except PartialNotFound:
            earlier = await _find_same_partials(tx, cmd, now=now)
            if earlier is None:
                raise
            return earlier, []
        for partial in partials:
            await hold(tx, partial.id, holder, now=now, lease_s=lease_s)
        return None, [part for partial in partials for part in await tx.resumable.parts(partial.id)]


async def _find_same_partials(
    tx: Transaction, cmd: Concatenate, *, now: datetime
) -> Resumable | None:
    earlier = await tx.resumable.find_by_partials(
        cmd.partials_sha256, account_id=cmd.caller.account_id
    )
    return None if earlier is None or earlier.expires_at <= now else earlier


async def _lock(tx: Transaction, cmd: Concatenate, *, now: datetime) -> list[Resumable]:
    """Lock the pieces and return them in their order, all of them whole."""
    found: dict[str, Resumable] = {}
    for upload_id in sorted(cmd.partial_ids):  # always in the same order: no deadlock
        upload = await tx.resumable.find_for_update(upload_id)
        is_own = upload is not None and upload.account_id == cmd.caller.account_id
        if upload is None or not is_own or upload.expires_at <= now:
            raise PartialNotFound(upload_id=upload_id)
        found[upload_id] = upload
    for upload in found.values():
        if not upload.is_partial:
            raise NotPartial(upload_id=upload.id)
        if not upload.is_whole:
            raise PartialUnfinished(
                upload_id=upload.id,
                offset_bytes=upload.offset_bytes,
                length_bytes=None if upload.is_length_deferred else upload.length_bytes,
            )
    return [found[upload_id] for upload_id in cmd.partial_ids]


async def _join(
    cmd: Concatenate, parts: list[Part], holder: str, intake: Intake, limits: ResumableLimits
) -> Concatenated:
    now, lease_s = intake.clock.now(), intake.limits.lease_s
    length_bytes = sum(part.size_bytes for part in parts)
    final = Resumable(
        id=intake.new_id(),
        account_id=cmd.caller.account_id,
        length_bytes=length_bytes,
        offset_bytes=length_bytes,
        filename=clean_filename(cmd.filename, chars_max=intake.limits.filename_chars_max),
        metadata=cmd.metadata,
        created_at=now,
        expires_at=now + timedelta(seconds=limits.lifetime_s),
        idempotency_key=cmd.idempotency_key,
        concat=cmd.concat,
        partials_sha256=cmd.partials_sha256,
    )
    keys: list[str] = []

    async def seal(tx: Transaction, audio: Audio) -> None:
        at = intake.clock.now()
        for partial in await _lock(tx, cmd, now=at):
            await hold(tx, partial.id, holder, now=at, lease_s=lease_s)
            keys.extend(await let_go(tx, partial, at=at))
            await tx.resumable.remove(partial.id)
        await tx.resumable.add(final.finished(audio.id))

    audio = await accept_parts(
        parts, caller=cmd.caller, filename=cmd.filename, seal=seal, intake=intake
    )
    await remove_some(keys, begin=intake.begin, blobs=intake.blobs)
    return Concatenated(upload=final.finished(audio.id), audio=audio)
