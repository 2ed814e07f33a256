"""The world of `world.py` with resumable uploads in it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from tonearm_ingest.domain.resumable import PARTIAL, Resumable
from tonearm_ingest.usecases.append_bytes import AppendBytes, Appended, Checksum, append_bytes
from tonearm_ingest.usecases.concatenate import Concatenate, Concatenated, concatenate
from tonearm_ingest.usecases.ports import Caller
from tonearm_ingest.usecases.resumable import (
    Opened,
    OpenUpload,
    ResumableLimits,
    find_upload,
    give_up,
    open_upload,
)

from .world import ANNA, WAV, World, stream

PART_BYTES = 1000


class ResumableWorld(World):
    def __init__(self) -> None:
        super().__init__()
        self.resumable_limits = ResumableLimits(
            lifetime_s=3600,
            open_per_account_max=3,
            open_bytes_per_account_max=20_000,
            part_size_bytes=PART_BYTES,
            parts_max=6,
        )

    @property
    def roomy_limits(self) -> ResumableLimits:
        """The same with as many parts as the largest file takes."""
        return replace(self.resumable_limits, parts_max=20)

    async def open(
        self,
        length_bytes: int | None = len(WAV),
        *,
        caller: Caller = ANNA,
        key: str | None = None,
        metadata: str = "filename c29uZy53YXY=",
        concat: str | None = None,
    ) -> Opened:
        wanted = OpenUpload(
            caller=caller,
            length_bytes=length_bytes,
            filename="song.wav",
            metadata=metadata,
            concat=concat,
            idempotency_key=key,
        )
        return await open_upload(wanted, intake=self.intake, limits=self.resumable_limits)

    async def append(
        self,
        upload: Resumable,
        *pieces: bytes,
        at: int = 0,
        caller: Caller = ANNA,
        declared: int | None = None,
        sha256_of: bytes | None = None,
        chunks: AsyncIterator[bytes] | None = None,
        on_kept: Callable[[int], None] | None = None,
        length: int | None = None,
    ) -> Appended:
        checksum = None
        if sha256_of is not None:
            digest = hashlib.sha256(sha256_of).digest()
            checksum = Checksum(algorithm="sha256", digest=digest)
        sent = AppendBytes(
            caller=caller,
            upload_id=upload.id,
            offset_bytes=at,
            chunks=chunks or stream(*pieces),
            declared_size_bytes=declared,
            checksum=checksum,
            on_kept=on_kept,
            length_bytes=length,
        )
        return await append_bytes(sent, intake=self.intake, limits=self.resumable_limits)

    async def has_partial(self, content: bytes, *, caller: Caller = ANNA) -> Resumable:
        """Return a partial upload whose bytes are all there."""
        partial = (await self.open(len(content), caller=caller, metadata="", concat=PARTIAL)).upload
        return (await self.append(partial, content, caller=caller)).upload

    async def concatenate(
        self, *partials: Resumable, caller: Caller = ANNA, key: str | None = None
    ) -> Concatenated:
        wanted = Concatenate(
            caller=caller,
            partial_ids=[partial.id for partial in partials],
            filename="song.wav",
            metadata="filename c29uZy53YXY=",
            concat="final;" + " ".join(f"/v1/uploads/{partial.id}" for partial in partials),
            idempotency_key=key,
        )
        return await concatenate(wanted, intake=self.intake, limits=self.resumable_limits)

    async def find(self, upload: Resumable, *, caller: Caller = ANNA) -> Resumable:
        return await find_upload(
            upload.id, account_id=caller.account_id, begin=self.library.begin, clock=self.clock
        )

    async def offset(self, upload: Resumable) -> int:
        return (await self.find(upload)).offset_bytes

    async def give_up(self, upload: Resumable, *, caller: Caller = ANNA) -> None:
        await give_up(
            upload.id,
            account_id=caller.account_id,
            begin=self.library.begin,
            blobs=self.blobs,
            clock=self.clock,
        )
