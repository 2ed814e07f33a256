"""What every object store must do."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from tonearm_ingest.domain.errors import DownloadUnavailable
from tonearm_ingest.usecases.ports import Blobs

MIB = 1024 * 1024
_ALL = hashlib.shake_128(b"objects").digest(11 * MIB)


class Broken(Exception):
    pass


async def pieces(
    total_bytes: int, *, step: int = 60_000, breaks: bool = False
) -> AsyncIterator[bytes]:
    for start in range(0, total_bytes, step):
        yield content(start, min(start + step, total_bytes))
    if breaks:
        raise Broken


def content(start: int, end: int) -> bytes:
    return _ALL[start:end]


async def read(blobs: Blobs, key: str, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in blobs.read(key, start=start, end=end)])


class BlobsConformance:
    """Subclasses give the fixture `blobs`, with parts of 5 MiB."""

    @pytest.mark.parametrize("size_bytes", [1, 100_000, 11 * MIB])
    async def test_what_is_saved_comes_back(self, blobs: Blobs, size_bytes: int) -> None:
        await blobs.save("a/b", pieces(size_bytes))
        assert await read(blobs, "a/b", 0, size_bytes) == content(0, size_bytes)

    async def test_ranges(self, blobs: Blobs) -> None:
        await blobs.save("a", pieces(100_000))
        assert await read(blobs, "a", 59_990, 60_010) == content(59_990, 60_010)
        assert await read(blobs, "a", 99_999, 100_000) == content(99_999, 100_000)

    @pytest.mark.parametrize("size_bytes", [100_000, 11 * MIB])
    async def test_chunks_that_break_off_leave_no_object(
        self, blobs: Blobs, size_bytes: int
    ) -> None:
        with pytest.raises(Broken):
            await blobs.save("a", pieces(size_bytes, breaks=True))
        with pytest.raises(DownloadUnavailable):
            await read(blobs, "a", 0, 1)

    async def test_a_missing_object_can_be_deleted(self, blobs: Blobs) -> None:
        await blobs.save("a", pieces(10))
        await blobs.delete("a")
        await blobs.delete("a")
        with pytest.raises(DownloadUnavailable):
            await read(blobs, "a", 0, 1)
