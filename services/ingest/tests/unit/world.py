"""One place with every fake, wired as `bootstrap` wires the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from tonearm_ingest.domain.audio import Audio
from tonearm_ingest.usecases.accept_upload import (
    Accepted,
    AcceptUpload,
    Intake,
    UploadLimits,
    accept_upload,
)
from tonearm_ingest.usecases.ports import Caller
from tonearm_kit.testing.clock import CountingIds, FixedClock

from ..fakes import FakeBlobs, FakeEntitlements, FakeLibrary, FakeProber

ANNA = Caller(account_id="anna", plan="free")
BERT = Caller(account_id="bert", plan="premium")
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(3000)


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class World:
    def __init__(self) -> None:
        self.library = FakeLibrary()
        self.blobs = FakeBlobs()
        self.entitlements = FakeEntitlements()
        self.prober = FakeProber()
        self.clock = FixedClock()
        self.new_id = CountingIds()
        self.limits = UploadLimits(
            size_bytes_max=10_000, filename_chars_max=40, duration_s_max=60.0, lease_s=60.0
        )

    @property
    def intake(self) -> Intake:
        return Intake(
            begin=self.library.begin,
            blobs=self.blobs,
            entitlements=self.entitlements,
            prober=self.prober,
            clock=self.clock,
            new_id=self.new_id,
            limits=self.limits,
        )

    async def upload(
        self,
        *pieces: bytes,
        caller: Caller = ANNA,
        filename: str = "song.wav",
        key: str | None = None,
        declared: int | None = None,
    ) -> Accepted:
        return await partial(accept_upload, intake=self.intake)(
            AcceptUpload(
                caller=caller,
                filename=filename,
                chunks=stream(*(pieces or (WAV,))),
                declared_size_bytes=declared,
                idempotency_key=key,
            )
        )

    async def has_audio(self, *, caller: Caller = ANNA) -> Audio:
        return (await self.upload(caller=caller)).audio

    @property
    def is_untouched(self) -> bool:
        """Nothing was stored, recorded, noted or announced."""
        tables = self.library.tables
        return not (self.blobs.objects or tables.audio or tables.loose or tables.events)
