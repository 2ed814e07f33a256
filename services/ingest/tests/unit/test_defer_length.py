from __future__ import annotations

import pytest

from tonearm_ingest.domain.errors import (
    EmptyFile,
    FileTooLarge,
    IdempotencyKeyReused,
    PartialUnfinished,
    QuotaExceeded,
    TusHeaderInvalid,
    UnfinishedUploadsFull,
    UploadOverflow,
)
from tonearm_ingest.domain.resumable import PARTIAL, Resumable

from .resumable_world import ResumableWorld
from .world import WAV

LENGTH = len(WAV)


@pytest.fixture
def world() -> ResumableWorld:
    return ResumableWorld()


@pytest.fixture
async def upload(world: ResumableWorld) -> Resumable:
    return (await world.open(None)).upload


async def test_the_length_may_come_with_the_last_bytes(
    world: ResumableWorld, upload: Resumable
) -> None:
    first = await world.append(upload, WAV[:1500])
    assert first.upload.is_length_deferred
    done = await world.append(upload, WAV[1500:], at=1500, length=LENGTH)
    assert done.audio is not None
    assert world.blobs.objects == {done.audio.object_key: WAV}
    found = await world.find(upload)
    assert (found.length_bytes, found.is_length_deferred) == (LENGTH, False)
    assert (found.offset_bytes, found.audio_id) == (LENGTH, done.audio.id)


async def test_the_length_may_come_behind_the_last_bytes(
    world: ResumableWorld, upload: Resumable
) -> None:
    await world.append(upload, WAV)
    assert world.library.rows == []
    world.entitlements.reserve_error = QuotaExceeded()
    with pytest.raises(QuotaExceeded):
        await world.append(upload, at=LENGTH, length=LENGTH)
    found = await world.find(upload)
    assert found.is_length_deferred, "whole, and no recording: it would look finished"
    world.entitlements.reserve_error = None
    done = await world.append(upload, at=LENGTH, length=LENGTH)
    assert done.audio is not None
    assert done.upload == await world.find(upload)
    assert world.blobs.objects == {done.audio.object_key: WAV}
    again = await world.append(upload, at=LENGTH, length=LENGTH)
    assert (again.audio, again.upload) == (None, done.upload)


async def test_a_length_that_was_told_stays(world: ResumableWorld, upload: Resumable) -> None:
    await world.append(upload, WAV[:10], length=LENGTH)
    assert (await world.find(upload)).length_bytes == LENGTH
    with pytest.raises(TusHeaderInvalid):
        await world.append(upload, WAV[10:], at=10, length=LENGTH + 1)
    with pytest.raises(UploadOverflow):
        await world.append(upload, WAV[10:] + b"more", at=10)
    assert (await world.offset(upload)) == 3010
    done = await world.append(upload, WAV[3010:], at=3010, length=LENGTH)
    assert done.audio is not None


async def test_a_length_that_cannot_be(world: ResumableWorld, upload: Resumable) -> None:
    with pytest.raises(EmptyFile):
        await world.append(upload, length=0)
    with pytest.raises(FileTooLarge):
        await world.append(upload, length=10_001)
    await world.append(upload, WAV[:100])
    with pytest.raises(UploadOverflow):
        await world.append(upload, at=100, length=99)
    with pytest.raises(UploadOverflow):
        await world.append(upload, b"x", at=100, length=100, declared=1)
    assert (await world.find(upload)).is_length_deferred


async def test_without_a_length_the_largest_file_is_the_end(
    world: ResumableWorld, upload: Resumable
) -> None:
    with pytest.raises(FileTooLarge) as refused:
        await world.append(upload, WAV + bytes(20_000), declared=len(WAV) + 20_000)
    assert refused.value.members == {"size_bytes_max": 10_000}
    world.resumable_limits = world.roomy_limits
    with pytest.raises(FileTooLarge):
        await world.append(upload, WAV + bytes(20_000))
    assert await world.offset(upload) == 9000, "the part behind which more came is not kept"
    await world.append(upload, bytes(1000), at=9000)
    with pytest.raises(FileTooLarge):
        await world.append(upload, b"x", at=10_000)
    assert world.library.rows == []
    assert (await world.append(upload, at=10_000, length=10_000)).audio is not None


async def test_it_counts_as_the_largest_file_until_its_length_is_told(
    world: ResumableWorld, upload: Resumable
) -> None:
    await world.open(None)
    with pytest.raises(UnfinishedUploadsFull):
        await world.open(1)
    await world.append(upload, WAV[:1], length=LENGTH)
    await world.open(1)


async def test_a_repeated_opening_is_the_same_upload(world: ResumableWorld) -> None:
    first = (await world.open(None, key="k")).upload
    assert (await world.open(None, key="k")).upload == first
    with pytest.raises(IdempotencyKeyReused):
        await world.open(first.length_bytes, key="k")
    await world.append(first, WAV[:1], length=LENGTH)
    again = await world.open(None, key="k")
    assert (again.is_replay, again.upload.id, again.upload.length_bytes) == (
        True,
        first.id,
        LENGTH,
    )


async def test_a_piece_may_be_told_its_length_later(world: ResumableWorld) -> None:
    partial = (await world.open(None, metadata="", concat=PARTIAL)).upload
    await world.append(partial, WAV)
    with pytest.raises(PartialUnfinished) as unfinished:
        await world.concatenate(partial)
    assert unfinished.value.members["length_bytes"] is None
    await world.append(partial, at=LENGTH, length=LENGTH)
    assert world.library.rows == []
    assert (await world.concatenate(partial)).audio is not None
