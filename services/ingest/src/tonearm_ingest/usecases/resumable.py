"""Uploads in several requests: open one, ask how far it is, give it up, forget it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tonearm_ingest.domain.audio import Audio, clean_filename
from tonearm_ingest.domain.errors import (
    DownloadUnavailable,
    EmptyFile,
    IdempotencyKeyReused,
    UnfinishedUploadsFull,
    UploadNotFound,
)
from tonearm_ingest.domain.resumable import Part, Resumable, living
from tonearm_ingest.usecases.accept_upload import (
    AcceptUpload,
    Intake,
    Seal,
    accept_upload,
    admit,
)
from tonearm_ingest.usecases.lease import discard
from tonearm_ingest.usecases.ports import Begin, Blobs, Caller, LooseObject, Transaction
from tonearm_kit.clock import Clock

_REMOVED_AT_ONCE_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumableLimits:
    """Bounds of resumable uploads."""

    lifetime_s: float
    """From its creation; then an upload and its bytes are removed."""
    open_per_account_max: int
    open_bytes_per_account_max: int
    """Sum of the lengths of an account's unfinished uploads."""
    part_size_bytes: int
    """So many bytes at a time are kept for good while a request runs."""
    parts_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpload:
    """A file that is about to come."""

    caller: Caller
    length_bytes: int | None
    """None where the client says it later."""
    filename: str
    metadata: str
    concat: str | None = None
    """`PARTIAL` for a piece of a file."""
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The upload, and whether an earlier request with the same key had opened it."""

    upload: Resumable
    is_replay: bool


async def open_upload(cmd: OpenUpload, *, intake: Intake, limits: ResumableLimits) -> Opened:
    """Note what will come, if all of it may come; takes nothing from the plan yet.

    Raises what `accept_upload` raises before it takes bytes, and `UnfinishedUploadsFull`.
    """
    if cmd.length_bytes == 0:
        raise EmptyFile
    _, size_bytes_max = await admit(cmd.caller, declared_size_bytes=cmd.length_bytes, intake=intake)
    now, account_id = intake.clock.now(), cmd.caller.account_id
    upload = Resumable(
        id=intake.new_id(),
        account_id=account_id,
        length_bytes=size_bytes_max if cmd.length_bytes is None else cmd.length_bytes,
        is_length_deferred=cmd.length_bytes is None,
        offset_bytes=0,
        filename=clean_filename(cmd.filename, chars_max=intake.limits.filename_chars_max),
        metadata=cmd.metadata,
        created_at=now,
        expires_at=now + timedelta(seconds=limits.lifetime_s),
        idempotency_key=cmd.idempotency_key,
        concat=cmd.concat,
    )
    async with intake.begin() as tx:
        # First, since it lets only one creation of an account in at a time.
        n_open, open_bytes = await tx.resumable.open_in_account(account_id)
        earlier = await find_same_key(tx, cmd.idempotency_key, account_id=account_id, now=now)
        if earlier is not None:
            if not earlier.is_same_file(upload):
                raise IdempotencyKeyReused
            return Opened(upload=earlier, is_replay=True)
        is_too_much = open_bytes + upload.length_bytes > limits.open_bytes_per_account_max
        if n_open >= limits.open_per_account_max or is_too_much:
            raise UnfinishedUploadsFull(
                uploads_max=limits.open_per_account_max,
                size_bytes_max=limits.open_bytes_per_account_max,
            )
        await tx.resumable.add(upload)
    return Opened(upload=upload, is_replay=False)


async def find_same_key(
    tx: Transaction, key: str | None, *, account_id: str, now: datetime
) -> Resumable | None:
    """Return what an earlier creation with this key made; one that has expired is removed."""
    if key is None:
        return None
    earlier = await tx.resumable.find_by_idempotency_key(key, account_id=account_id)
    if earlier is not None and earlier.expires_at <= now:
        await _remove(tx, earlier, at=now)
        return None
    return earlier


async def find_upload(upload_id: str, *, account_id: str, begin: Begin, clock: Clock) -> Resumable:
    """Return the upload if it is this account's; raises `UploadNotFound`."""
    async with begin() as tx:
        upload = living(await tx.resumable.find(upload_id), now=clock.now())
    if upload.account_id != account_id:
        raise UploadNotFound
    return upload


async def give_up(
    upload_id: str, *, account_id: str, begin: Begin, blobs: Blobs, clock: Clock
) -> None:
    """Remove the upload and its bytes; a recording that it became stays.

    A request that is sending bytes meanwhile finds nothing to add them to. Raises
    `UploadNotFound`.
    """
    async with begin() as tx:
        upload = living(await tx.resumable.find_for_update(upload_id), now=clock.now())
        if upload.account_id != account_id:
            raise UploadNotFound
        keys = await _remove(tx, upload, at=clock.now())
    await remove_some(keys, begin=begin, blobs=blobs)


async def drop_upload(upload_id: str, *, holder: str, intake: Intake) -> None:
    """Remove an upload that can never become a recording.

    Nothing happens where it is gone, or where another request holds it by now: that one's bytes
    may be audio.
    """
    keys: list[str] = []
    now = intake.clock.now()
    async with intake.begin() as tx:
        found = await tx.resumable.find_for_update(upload_id)
        if found and await tx.resumable.hold(upload_id, holder, now=now, until=now):
            keys = await _remove(tx, found, at=now)
    await remove_some(keys, begin=intake.begin, blobs=intake.blobs)


async def accept_parts(
    parts: Sequence[Part], *, caller: Caller, filename: str, seal: Seal, intake: Intake
) -> Audio:
    """Accept the bytes of these parts, in this order, as those of any other upload.

    Raises what `accept_upload` raises, and `UploadNotFound` where a part is gone by now.
    """

    async def chunks() -> AsyncIterator[bytes]:
        for part in parts:
            try:
                async for piece in intake.blobs.read(part.object_key, start=0, end=part.size_bytes):
                    yield piece
            except DownloadUnavailable:
                raise UploadNotFound from None  # given up, or expired, since we looked

    whole = AcceptUpload(
        caller=caller,
        filename=filename,
        chunks=chunks(),
        declared_size_bytes=sum(part.size_bytes for part in parts),
        seal=seal,
    )
    return (await accept_upload(whole, intake=intake)).audio


async def _remove(tx: Transaction, upload: Resumable, *, at: datetime) -> list[str]:
    keys = await let_go(tx, upload, at=at)
    await tx.resumable.remove(upload.id)
    return keys


async def let_go(tx: Transaction, upload: Resumable, *, at: datetime) -> list[str]:
    """Leave the upload's parts to the sweeper; returns their keys."""
    keys = [part.object_key for part in await tx.resumable.parts(upload.id)]
    for key in keys:
        loose = LooseObject(object_key=key, account_id=upload.account_id, sweep_after=at)
        await tx.loose.note(loose, now=at)
    return keys


async def remove_some(keys: list[str], *, begin: Begin, blobs: Blobs) -> None:
    """Remove the first of these objects now; the sweeper takes what is left."""
    for key in keys[:_REMOVED_AT_ONCE_MAX]:
        if not await asyncio.shield(discard(key, begin=begin, blobs=blobs)):
            return


async def expire_uploads(*, tx: Transaction, clock: Clock, uploads_max: int) -> Sequence[Resumable]:
    """Remove uploads whose time is over, and return them; their parts are left to the sweeper."""
    now = clock.now()
    expired = await tx.resumable.take_expired(now=now, limit=uploads_max)
    for upload in expired:
        await _remove(tx, upload, at=now)
    return expired


async def forget_uploads(
    account_id: str, *, tx: Transaction, clock: Clock, batch_size_max: int
) -> None:
    """Remove every upload of a closed account, in the transaction that closes it."""
    while batch := await tx.resumable.of_account(account_id, limit=batch_size_max):
        for upload in batch:
            await _remove(tx, upload, at=clock.now())
