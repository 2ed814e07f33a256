from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.exceptions import BaseError

from tonearm_ingest.adapters.object_store import ObstoreBlobs
from tonearm_ingest.adapters.store_url import open_store
from tonearm_ingest.domain.errors import StoreUnavailable
from tonearm_ingest.usecases.ports import Blobs

from ..conformance_blobs import MIB, BlobsConformance, pieces
from ..fakes import FakeBlobs


def open_blobs(url: str) -> ObstoreBlobs:
    return ObstoreBlobs(
        open_store(url), part_size_bytes=5 * MIB, parts_in_flight_max=1, read_size_bytes=65_536
    )


class TestFakeBlobs(BlobsConformance):
    @pytest.fixture
    def blobs(self) -> Blobs:
        return FakeBlobs()


class TestMemoryBlobs(BlobsConformance):
    @pytest.fixture
    def blobs(self) -> Blobs:
        return open_blobs("memory:///")


class TestLocalBlobs(BlobsConformance):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return open_blobs(f"file://{tmp_path}/objects")

    async def test_a_broken_upload_leaves_no_file_at_all(self, tmp_path: Path) -> None:
        blobs = open_blobs(f"file://{tmp_path}/objects")

        stalled = asyncio.Event()

        async def stalling() -> AsyncIterator[bytes]:
            async for piece in pieces(11 * MIB):
                yield piece
            stalled.set()
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as tasks:
            saving = tasks.create_task(blobs.save("a", stalling()))
            await stalled.wait()
            saving.cancel()
        left = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
        assert left == []

    async def test_the_last_object_of_a_folder_takes_it_along(self, tmp_path: Path) -> None:
        blobs = open_blobs(f"file://{tmp_path}/objects")
        for key in ("accounts/a/uploads/u/1", "accounts/a/uploads/u/2", "accounts/a/audio/x"):
            await blobs.save(key, pieces(10))
        for number in (1, 2):
            await blobs.delete(f"accounts/a/uploads/u/{number}")
        left = [path.name for path in (tmp_path / "objects").rglob("*")]
        assert sorted(left) == ["a", "accounts", "audio", "x"]

    async def test_a_store_that_is_away_says_so(self, tmp_path: Path) -> None:
        folder = tmp_path / "objects"
        blobs = open_blobs(f"file://{folder}")
        await blobs.ping()
        folder.rmdir()
        folder.write_text("a file in the way")
        with pytest.raises(StoreUnavailable):
            await blobs.save("a/b", pieces(10))


def test_a_url_that_nobody_understands() -> None:
    with pytest.raises(BaseError):
        open_store("gopher://x")
