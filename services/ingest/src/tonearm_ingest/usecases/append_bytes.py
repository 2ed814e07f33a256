"""Take the next bytes of a resumable upload; the last ones make it a recording."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tonearm_ingest.domain.audio import Audio
from tonearm_ingest.domain.errors import (
    ChecksumMismatch,
    NotAudio,
    TooManyParts,
    UnsupportedAudio,
    UploadLost,
    UploadNotFound,
    UploadStalled,
)
from tonearm_ingest.domain.formats import HEAD_BYTES
from tonearm_ingest.domain.resumable import Part, Resumable, living, part_key
from tonearm_ingest.usecases.accept_upload import (
    Intake,
    known_format,
)
from tonearm_ingest.usecases.lease import Renew, discard, hold, kept_alive, noted, release
from tonearm_ingest.usecases.ports import Caller, LooseObject, Transaction
from tonearm_ingest.usecases.resumable import (
    ResumableLimits,
    accept_parts,
    drop_upload,
    let_go,
    remove_some,
)
from tonearm_kit.errors import AppError

CHECKSUMS = ("sha1", "sha256")
"""Algorithms of `Checksum`, by the names of the protocol and of hashlib."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """What the bytes of one request must hash to."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendBytes:
    """The bytes of one request. `chunks` gives them once and raises where they broke off."""

    caller: Caller
    upload_id: str
    offset_bytes: int
    chunks: AsyncIterator[bytes]
    declared_size_bytes: int | None
    """How many will come; None where the client did not say."""
    length_bytes: int | None = None
    """Of the whole, where the client says it with these bytes."""
    checksum: Checksum | None = None
    on_kept: Callable[[int], None] | None = None
    """Is told of every part that was kept, in bytes; also of a request that fails then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The upload as it is now, and the recording where these bytes made it one."""

    upload: Resumable
    audio: Audio | None


class _Source:
    """The bytes of a request, cut at will. How they ended is told after they ended."""

    def __init__(self, cmd: AppendBytes, *, begins_file: bool) -> None:
        self._chunks, self._held = cmd.chunks, b""
        self._checksum = cmd.checksum
        # sha1 is the protocol's word for "was it garbled", not for "who sent it".
        self._digest = (
            hashlib.new(cmd.checksum.algorithm, usedforsecurity=False) if cmd.checksum else None
        )
        self._head: bytes | None = b"" if begins_file else None
        self.taken_bytes = 0
        self.error: AppError | None = None
        """Why the bytes ended too early."""

    async def has_more(self) -> bool:
        """Wait for the next byte; False at the end, also at one that came too early."""
        while not self._held and self.error is None:
            try:
                self._held = await anext(self._chunks)
            except StopAsyncIteration:
                return False
            except AppError as error:
                self.error = error
        return bool(self._held)

    async def take(self, size_bytes_max: int) -> AsyncIterator[bytes]:
        """Give at most so many of the next bytes; raises where the file's first are no audio."""
        left_bytes = size_bytes_max
        while left_bytes and await self.has_more():
            piece, self._held = self._held[:left_bytes], self._held[left_bytes:]
            left_bytes -= len(piece)
            self.taken_bytes += len(piece)
            self._look_at(piece)
            yield piece

    def _look_at(self, piece: bytes) -> None:
        if self._digest is not None:
            self._digest.update(piece)
        if self._head is not None and len(self._head) < HEAD_BYTES:
            self._head += piece[:HEAD_BYTES]
            if self._digest is None:
                self._judge()

    def _judge(self) -> None:
        """Raise where the file's first bytes are no audio.

        Of fewer than these nothing is said: they are looked at when all of the file is there.
        """
        if self._head is not None and len(self._head) >= HEAD_BYTES:
            known_format(self._head)

    def check(self) -> None:
        """Raise where the bytes do not have their checksum, which needs all of them.

        Before that they may be garbled, and say nothing about the file.
        """
        if self._checksum is None or self._digest is None:
            return
        if self.error is not None:
            raise self.error
        if not hmac.compare_digest(self._digest.digest(), self._checksum.digest):
            raise ChecksumMismatch
        self._judge()


async def append_bytes(cmd: AppendBytes, *, intake: Intake, limits: ResumableLimits) -> Appended:
    """Store the bytes part by part; each part counts as soon as it is whole.

    Of bytes that break off, all that came are kept, unless they have a checksum: then it is all
    or nothing. One request at a time may add to an upload; it holds a lease, which the death of
    its process ends. The last part does not count before the upload is a recording, so a client
    that sees the end of its upload sees a recording, and one that does not sends the last part
    again. A file that is no audio ends the upload. Raises what `accept_upload` raises.
    """
    holder = intake.new_id()
    upload = await _take_hold(cmd, holder, intake)
    limit = asyncio.timeout(intake.limits.duration_s_max)
    appending = _Appending(cmd, intake, limits, holder, upload)
    try:
        async with limit, appending.alive():
            return await appending.run()
    except TimeoutError:
        if not limit.expired():
            raise  # something else was too slow, not the client
        raise UploadStalled(duration_s_max=intake.limits.duration_s_max) from None
    except (NotAudio, UnsupportedAudio):
        await drop_upload(upload.id, holder=holder, intake=intake)
        raise
    finally:
        await asyncio.shield(release([upload.id], holder, begin=intake.begin))


async def _take_hold(cmd: AppendBytes, holder: str, intake: Intake) -> Resumable:
    """Return the upload, which nobody else may add to from now on."""
    now = intake.clock.now()
    async with intake.begin() as tx:
        upload = living(await tx.resumable.find_for_update(cmd.upload_id), now=now)
        if upload.account_id != cmd.caller.account_id:
            raise UploadNotFound
        await hold(tx, upload.id, holder, now=now, lease_s=intake.limits.lease_s)
        size_bytes = cmd.declared_size_bytes or 0
        upload.check_append(offset_bytes=cmd.offset_bytes, size_bytes=size_bytes)
        if cmd.length_bytes is None:
            return upload
        told = upload.with_length(cmd.length_bytes)
        told.check_append(offset_bytes=cmd.offset_bytes, size_bytes=size_bytes)
        # What is whole by that and no recording yet would look finished to its client.
        if upload.is_length_deferred and (upload.is_partial or not told.is_whole):
            await tx.resumable.set_length(upload.id, told.length_bytes)
    return told


class _Appending:
    """One request that adds bytes to an upload, which it holds."""

    def __init__(
        self,
        cmd: AppendBytes,
        intake: Intake,
        limits: ResumableLimits,
        holder: str,
        upload: Resumable,
    ) -> None:
        self._cmd, self._intake, self._limits = cmd, intake, limits
        self._holder, self._upload = holder, upload
        # A piece of a file may begin anywhere in it: only the whole shows whether it is audio.
        begins_file = upload.offset_bytes == 0 and not upload.is_partial
        self._source = _Source(cmd, begins_file=begins_file)
        self._audio: Audio | None = None

    def alive(self) -> AbstractAsyncContextManager[None]:
        """Keep the hold while a block runs."""

        async def renew(tx: Transaction, until: datetime) -> None:
            now = self._intake.clock.now()
            await tx.resumable.hold(self._upload.id, self._holder, now=now, until=until)

        return self._kept(renew)

    def _kept(self, renew: Renew) -> AbstractAsyncContextManager[None]:
        intake = self._intake
        return kept_alive(
            renew, begin=intake.begin, clock=intake.clock, lease_s=intake.limits.lease_s
        )

    async def run(self) -> Appended:
        """Add part after part until the bytes end."""
        source = self._source
        while await source.has_more():
            await self._add_part()
        if source.taken_bytes == 0:
            source.check()
        if source.error is not None:
            raise source.error
        upload = self._upload
        if upload.is_whole and upload.audio_id is None and not upload.is_partial:
            # The length was told behind the last bytes.
            self._audio = await self._finish(None)
            self._upload = upload.finished(self._audio.id)
        return Appended(upload=self._upload, audio=self._audio)

    async def _add_part(self) -> None:
        intake, upload = self._intake, self._upload
        left_bytes = upload.length_bytes - upload.offset_bytes
        if left_bytes == 0:
            raise upload.overflow()
        is_open_end = upload.is_partial or upload.is_length_deferred
        key = part_key(upload.account_id, upload.id, intake.new_id())
        await self._note(key)
        try:
            async with self._kept(noted(key)):
                part = await self._store(key, left_bytes)
                if part.size_bytes == left_bytes and not is_open_end:
                    self._audio = await self._finish(part)
                else:
                    await self._keep(part)
        except BaseException as error:
            await asyncio.shield(discard(key, begin=intake.begin, blobs=intake.blobs, after=error))
            raise
        if self._audio is not None:
            await discard(key, begin=intake.begin, blobs=intake.blobs)
        if self._cmd.on_kept is not None:
            self._cmd.on_kept(part.size_bytes)
        self._upload = replace(
            upload,
            offset_bytes=part.offset_bytes + part.size_bytes,
            audio_id=None if self._audio is None else self._audio.id,
        )

    async def _note(self, key: str) -> None:
        now = self._intake.clock.now()
        note = LooseObject(
            object_key=key,
            account_id=self._upload.account_id,
            sweep_after=now + timedelta(seconds=self._intake.limits.lease_s),
        )
        async with self._intake.begin() as tx:
            await tx.loose.note(note, now=now)

    async def _store(self, key: str, left_bytes: int) -> Part:
        """Store the next part; of bytes with a checksum, all in one."""
        source, is_checked = self._source, self._cmd.checksum is not None
        size_bytes = left_bytes if is_checked else min(self._limits.part_size_bytes, left_bytes)
        before_bytes = source.taken_bytes
        await self._intake.blobs.save(key, source.take(size_bytes))
        part = Part(
            offset_bytes=self._upload.offset_bytes,
            size_bytes=source.taken_bytes - before_bytes,
            object_key=key,
        )
        if part.size_bytes == left_bytes and await source.has_more():
            raise self._upload.overflow()
        source.check()
        return part

    async def _keep(self, part: Part) -> None:
        """Give the part to the upload, if the upload is still where it was."""
        async with self._intake.begin() as tx:
            await self._lock_at(tx, part.size_bytes)
            end_bytes = part.offset_bytes + part.size_bytes
            is_last = replace(self._upload, offset_bytes=end_bytes).is_whole
            n_parts = len(await tx.resumable.parts(self._upload.id))
            if n_parts >= self._limits.parts_max and not is_last:
                raise TooManyParts(parts_max=self._limits.parts_max)
            if not await tx.loose.drop(part.object_key):
                raise UploadLost(retry_after_s=1)
            await tx.resumable.append(self._upload.id, part)

    async def _lock_at(self, tx: Transaction, size_bytes: int) -> None:
        """Lock the upload; raise if so many bytes are not ours to add any more, or not there."""
        now, upload_id = self._intake.clock.now(), self._upload.id
        current = living(await tx.resumable.find_for_update(upload_id), now=now)
        lease_s = self._intake.limits.lease_s
        await hold(tx, upload_id, self._holder, now=now, lease_s=lease_s)
        current.check_append(offset_bytes=self._upload.offset_bytes, size_bytes=size_bytes)

    async def _finish(self, last: Part | None) -> Audio:
        """Accept the whole as any other upload; it is finished in the same transaction."""
        intake, upload = self._intake, self._upload
        async with intake.begin() as tx:
            parts = [*await tx.resumable.parts(upload.id), *([last] if last else [])]
        if sum(part.size_bytes for part in parts) != upload.length_bytes:
            raise UploadNotFound  # given up, or expired, since we looked
        keys: list[str] = []

        async def seal(tx: Transaction, audio: Audio) -> None:
            await self._lock_at(tx, last.size_bytes if last else 0)
            if self._cmd.length_bytes is not None:
                await tx.resumable.set_length(upload.id, upload.length_bytes)
            keys.extend(await let_go(tx, upload, at=intake.clock.now()))
            await tx.resumable.finish(upload.id, audio_id=audio.id)

        audio = await accept_parts(
            parts, caller=self._cmd.caller, filename=upload.filename, seal=seal, intake=intake
        )
        await remove_some(keys, begin=intake.begin, blobs=intake.blobs)
        return audio
