"""Take in one file: check, store, measure, reserve, record and announce."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from tonearm_contracts import topics
from tonearm_contracts.events import AnalysisRequested, AudioUploaded
from tonearm_ingest.domain import formats
from tonearm_ingest.domain.audio import Audio, Properties, clean_filename, object_key
from tonearm_ingest.domain.errors import (
    EmptyFile,
    FeatureOff,
    FileTooLarge,
    IdempotencyKeyReused,
    NotAudio,
    RequestStillRunning,
    UnsupportedAudio,
    UploadLost,
    UploadStalled,
)
from tonearm_ingest.usecases.lease import discard, kept_alive, noted
from tonearm_ingest.usecases.ports import (
    Begin,
    Blobs,
    Caller,
    Entitlements,
    LooseObject,
    Prober,
    Reserve,
    Transaction,
)
from tonearm_kit.clock import Clock
from tonearm_kit.ids import NewId

UPLOAD_FLAGS = ("audio-upload", "audio-analysis")
"""An upload always asks for its analysis, so both are needed."""
PRIORITY_FLAG = "premium-priority"

Seal = Callable[[Transaction, Audio], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptUpload:
    """One file on its way in. `chunks` gives its bytes once and knows when it broke off."""

    caller: Caller
    filename: str
    chunks: AsyncIterator[bytes]
    declared_size_bytes: int | None
    """The file is at least this large; for an early refusal. None where the client did not say."""
    idempotency_key: str | None = None
    seal: Seal | None = None
    """What else must be true and written in the transaction that records the upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The recording, and whether an earlier request with the same key had made it."""

    audio: Audio
    is_replay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Bounds of one upload."""

    size_bytes_max: int
    filename_chars_max: int
    duration_s_max: float
    """A slower client is cut off."""
    lease_s: float
    """An upload that gave no sign of life for so long is dead, and its object removed."""


@dataclass(slots=True)
class _Tally:
    """What is learned of a file while it passes by."""

    size_bytes_max: int
    size_bytes: int = 0
    head: bytes = b""
    format: str | None = None
    sha256: str = ""

    async def over(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass the chunks on; stop at the limit, and as soon as the bytes are not audio."""
        digest = hashlib.sha256()
        async for chunk in chunks:
            self.size_bytes += len(chunk)
            if self.size_bytes > self.size_bytes_max:
                raise FileTooLarge(size_bytes_max=self.size_bytes_max)
            if self.format is None:
                self.head += chunk[: formats.HEAD_BYTES]
                if len(self.head) >= formats.HEAD_BYTES:
                    self.settle_format()
            digest.update(chunk)
            yield chunk
        if self.size_bytes == 0:
            raise EmptyFile
        if self.format is None:
            self.settle_format()
        self.sha256 = digest.hexdigest()

    def settle_format(self) -> None:
        self.format = known_format(self.head)


def known_format(head: bytes) -> str:
    """Return the format of a file by its first bytes; raises `NotAudio`, `UnsupportedAudio`."""
    found = formats.sniff(head)
    if found is None:
        other = formats.sniff_other(head)
        raise NotAudio if other is None else UnsupportedAudio(format=other)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What `accept_upload` works with; the same for every upload."""

    begin: Begin
    blobs: Blobs
    entitlements: Entitlements
    prober: Prober
    clock: Clock
    new_id: NewId
    limits: UploadLimits


async def accept_upload(cmd: AcceptUpload, *, intake: Intake) -> Accepted:
    """Store the bytes, then record the upload and announce it in one transaction.

    Nothing is taken from the plan before the bytes are there and known to be audio. A crash
    anywhere leaves at most a noted object (swept) and a reservation (expires), never a row
    without bytes. Raises the errors of `domain.errors`.
    """
    limit = asyncio.timeout(intake.limits.duration_s_max)
    try:
        async with limit:
            earlier = await _find_earlier(cmd, intake.begin)
            if earlier is not None:
                return await _replay(cmd, earlier)
            flags, size_bytes_max = await admit(
                cmd.caller, declared_size_bytes=cmd.declared_size_bytes, intake=intake
            )
            audio = await _take_in(cmd, intake, flags=flags, size_bytes_max=size_bytes_max)
    except TimeoutError:
        if not limit.expired():
            raise  # something else was too slow, not the client
        raise UploadStalled(duration_s_max=intake.limits.duration_s_max) from None
    return Accepted(audio=audio, is_replay=False)


async def _find_earlier(cmd: AcceptUpload, begin: Begin) -> Audio | None:
    if cmd.idempotency_key is None:
        return None
    async with begin() as tx:
        return await tx.audio.find_by_idempotency_key(
            cmd.idempotency_key, account_id=cmd.caller.account_id
        )


async def _replay(cmd: AcceptUpload, earlier: Audio) -> Accepted:
    """Answer as the first time, provided that the bytes are the same as the first time."""
    digest = hashlib.sha256()
    size_bytes = 0
    async for chunk in cmd.chunks:
        size_bytes += len(chunk)
        if size_bytes > earlier.size_bytes:
            raise IdempotencyKeyReused
        digest.update(chunk)
    if digest.hexdigest() != earlier.sha256:
        raise IdempotencyKeyReused
    return Accepted(audio=earlier, is_replay=True)


async def admit(
    caller: Caller, *, declared_size_bytes: int | None, intake: Intake
) -> tuple[frozenset[str], int]:
    """Return the flags of the caller and the size at which an upload will be cut off.

    Raises `FeatureOff`, `QuotaExceeded`, `FileTooLarge`; takes nothing from the plan.
    """
    flags = await intake.entitlements.flags(caller)
    for flag in UPLOAD_FLAGS:
        if flag not in flags:
            raise FeatureOff(flag=flag)
    of_plan = await intake.entitlements.size_bytes_max(caller, size_bytes=declared_size_bytes or 0)
    ours = intake.limits.size_bytes_max
    size_bytes_max = ours if of_plan is None else min(ours, of_plan)
    if declared_size_bytes is not None and declared_size_bytes > size_bytes_max:
        raise FileTooLarge(size_bytes_max=size_bytes_max)
    return flags, size_bytes_max


async def _take_in(
    cmd: AcceptUpload, intake: Intake, *, flags: frozenset[str], size_bytes_max: int
) -> Audio:
    audio_id = intake.new_id()
    key = object_key(cmd.caller.account_id, audio_id)
    await _note(cmd, key, intake)
    alive = kept_alive(
        noted(key), begin=intake.begin, clock=intake.clock, lease_s=intake.limits.lease_s
    )
    async with alive:
        return await _store(
            cmd, intake, audio_id=audio_id, flags=flags, size_bytes_max=size_bytes_max
        )


async def _store(
    cmd: AcceptUpload,
    intake: Intake,
    *,
    audio_id: str,
    flags: frozenset[str],
    size_bytes_max: int,
) -> Audio:
    key = object_key(cmd.caller.account_id, audio_id)
    try:
        tally = _Tally(size_bytes_max=size_bytes_max)
        await intake.blobs.save(key, tally.over(cmd.chunks))
        properties = await intake.prober.probe(
            key, size_bytes=tally.size_bytes, format=tally.format or ""
        )
        audio = await _build(cmd, intake, audio_id=audio_id, tally=tally, properties=properties)
        is_priority = cmd.caller.plan == "premium" and PRIORITY_FLAG in flags
        async with intake.begin() as tx:
            if not await tx.loose.drop(key):
                raise UploadLost(retry_after_s=1)
            await tx.audio.add(audio)
            if cmd.seal is not None:
                await cmd.seal(tx, audio)
            await _announce(tx, audio, is_priority=is_priority)
    except BaseException as error:
        # Also when the client went away: the note stays only if this cannot be finished.
        await asyncio.shield(discard(key, begin=intake.begin, blobs=intake.blobs, after=error))
        raise
    return audio


async def _note(cmd: AcceptUpload, key: str, intake: Intake) -> None:
    now = intake.clock.now()
    async with intake.begin() as tx:
        is_alone = await tx.loose.note(
            LooseObject(
                object_key=key,
                account_id=cmd.caller.account_id,
                sweep_after=now + timedelta(seconds=intake.limits.lease_s),
                idempotency_key=cmd.idempotency_key,
            ),
            now=now,
        )
    if not is_alone:
        raise RequestStillRunning(retry_after_s=5)


async def _build(
    cmd: AcceptUpload, intake: Intake, *, audio_id: str, tally: _Tally, properties: Properties
) -> Audio:
    """Reserve what the file takes, now that it is known exactly, and describe the recording."""
    account_id = cmd.caller.account_id
    reservation_id = await intake.entitlements.reserve(
        Reserve(
            account_id=account_id,
            audio_id=audio_id,
            size_bytes=tally.size_bytes,
            duration_s=properties.duration_s or 0.0,
        )
    )
    now = intake.clock.now()
    return Audio(
        id=audio_id,
        account_id=account_id,
        filename=clean_filename(cmd.filename, chars_max=intake.limits.filename_chars_max),
        object_key=object_key(account_id, audio_id),
        sha256=tally.sha256,
        size_bytes=tally.size_bytes,
        properties=properties,
        job_id=intake.new_id(),
        reservation_id=reservation_id,
        idempotency_key=cmd.idempotency_key,
        uploaded_at=now,
        updated_at=now,
    )


async def _announce(tx: Transaction, audio: Audio, *, is_priority: bool) -> None:
    properties = audio.properties
    uploaded = AudioUploaded(
        audio_id=audio.id,
        account_id=audio.account_id,
        filename=audio.filename,
        sha256=audio.sha256,
        size_bytes=audio.size_bytes,
        format=properties.format,
        codec=properties.codec,
        duration_s=properties.duration_s,
        sample_rate_hz=properties.sample_rate_hz,
        channels=properties.channels,
        uploaded_at=audio.uploaded_at,
    )
    requested = AnalysisRequested(
        audio_id=audio.id,
        account_id=audio.account_id,
        job_id=audio.job_id,
        object_key=audio.object_key,
        sha256=audio.sha256,
        size_bytes=audio.size_bytes,
        format=properties.format,
        lane="priority" if is_priority else "standard",
        quota_reservation_id=audio.reservation_id,
    )
    topic = topics.ANALYSIS_REQUEST_PRIORITY if is_priority else topics.ANALYSIS_REQUEST
    await tx.events.add(uploaded, correlation_id=audio.job_id)
    await tx.events.add(requested, topic=topic.name, correlation_id=audio.job_id)
