from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tonearm_contracts.events import AudioUploaded
from tonearm_ingest.domain.errors import (
    ChecksumMismatch,
    EmptyFile,
    EntitlementsUnavailable,
    FeatureOff,
    FileTooLarge,
    IdempotencyKeyReused,
    NotAudio,
    OffsetMismatch,
    QuotaExceeded,
    StoreUnavailable,
    TooManyParts,
    UnfinishedUploadsFull,
    UploadBrokenOff,
    UploadLocked,
    UploadNotFound,
    UploadOverflow,
)
from tonearm_ingest.usecases.delete_audio import forget_account
from tonearm_ingest.usecases.sweep import SweepLimits, sweep

from .resumable_world import PART_BYTES, ResumableWorld
from .world import BERT, WAV

SWEEP = SweepLimits(objects_max=100, uploads_max=10, retry_after_s=60, removed_kept_s=60)


@pytest.fixture
def world() -> ResumableWorld:
    return ResumableWorld()


async def broken(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise UploadBrokenOff


async def test_the_last_bytes_make_it_a_recording(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    first = await world.append(upload, WAV[:1500])
    assert (first.upload.offset_bytes, first.audio) == (1500, None)
    assert world.library.rows == []
    last = await world.append(upload, WAV[1500:], at=1500)
    assert last.audio is not None
    assert last.upload.audio_id == last.audio.id
    assert world.library.rows == [last.audio]
    assert list(world.blobs.objects.values()) == [WAV], "the parts are gone, the whole is there"
    assert world.library.tables.loose == {}
    assert world.library.event_types == ["AudioUploaded", "AnalysisRequested"]
    other = (await world.upload(WAV)).audio
    assert other.sha256 == last.audio.sha256
    assert last.audio.filename == "song.wav"
    assert len(world.entitlements.reserved) == 2
    announced = [event for _, event in world.library.tables.events]
    assert isinstance(announced[0], AudioUploaded)
    assert announced[0].audio_id == last.audio.id
    found = await world.find(upload)
    assert (found.offset_bytes, found.audio_id) == (len(WAV), last.audio.id)


async def test_of_bytes_that_break_off_all_that_came_is_kept(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    with pytest.raises(UploadBrokenOff):
        await world.append(upload, chunks=broken(WAV[:1700], WAV[1700:2345]))
    assert await world.offset(upload) == 2345
    done = await world.append(upload, WAV[2345:], at=2345)
    assert done.audio is not None
    assert world.blobs.objects[done.audio.object_key] == WAV


async def test_with_a_checksum_it_is_all_or_nothing(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    with pytest.raises(UploadBrokenOff):
        await world.append(upload, chunks=broken(WAV[:1700]), sha256_of=WAV[:1700])
    with pytest.raises(ChecksumMismatch):
        await world.append(upload, WAV[:1700], sha256_of=b"other")
    with pytest.raises(ChecksumMismatch):
        await world.append(upload, sha256_of=b"other")
    with pytest.raises(ChecksumMismatch):
        await world.append(upload, WAV, sha256_of=b"other")
    assert await world.offset(upload) == 0
    assert world.blobs.objects == {}
    await world.append(upload, WAV[:1700], sha256_of=WAV[:1700])
    done = await world.append(upload, WAV[1700:], at=1700, sha256_of=WAV[1700:])
    assert done.audio is not None


async def test_bytes_that_were_garbled_do_not_end_the_upload(world: ResumableWorld) -> None:
    upload = (await world.open(9000)).upload
    garbled, text = b"noise " * 1000, b"text " * 1000
    with pytest.raises(ChecksumMismatch):
        await world.append(upload, garbled, sha256_of=WAV)
    assert await world.offset(upload) == 0
    with pytest.raises(NotAudio):
        await world.append(upload, text[:4000], text[4000:], sha256_of=text)
    with pytest.raises(UploadNotFound):
        await world.find(upload)
    assert world.is_untouched


async def test_what_is_kept_is_told_also_of_a_request_that_fails(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    kept: list[int] = []
    with pytest.raises(UploadBrokenOff):
        await world.append(upload, chunks=broken(WAV[:1700], WAV[1700:2345]), on_kept=kept.append)
    with pytest.raises(ChecksumMismatch):
        await world.append(upload, WAV[2345:], at=2345, sha256_of=b"other", on_kept=kept.append)
    assert kept == [1000, 1000, 345]
    await world.append(upload, WAV[2345:], at=2345, on_kept=kept.append)
    assert sum(kept) == len(WAV)


async def test_who_else_is_slow_is_not_the_client(world: ResumableWorld) -> None:
    async def slow(object_key: str, chunks: object) -> None:
        raise TimeoutError

    upload = (await world.open()).upload
    world.blobs.save = slow  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        await world.append(upload, WAV)
    with pytest.raises(TimeoutError):
        await world.upload(WAV)


async def test_bytes_must_go_on_where_the_upload_is(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    await world.append(upload, WAV[:1500])
    for at in (0, 1499, 1501):
        with pytest.raises(OffsetMismatch) as refused:
            await world.append(upload, b"x", at=at)
        assert refused.value.members == {"offset_bytes": 1500}
    with pytest.raises(UploadOverflow):
        await world.append(upload, WAV, at=1500, declared=len(WAV))
    with pytest.raises(UploadOverflow):
        await world.append(upload, WAV, at=1500)
    assert await world.offset(upload) == 1500 + PART_BYTES, "the part that was whole was kept"
    assert (await world.append(upload, at=2500)).upload.offset_bytes == 2500
    with pytest.raises(UploadNotFound):
        await world.append(upload, b"x", at=2500, caller=BERT)


async def test_one_request_at_a_time_adds(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield WAV[:PART_BYTES]
        arrived.set()
        await go_on.wait()
        yield WAV[PART_BYTES:]

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.append(upload, chunks=slow()))
        await arrived.wait()
        with pytest.raises(UploadLocked):
            await world.append(upload, WAV)
        go_on.set()
    assert running.result().audio is not None


async def test_a_request_that_is_dead_holds_it_no_longer_than_its_lease(
    world: ResumableWorld,
) -> None:
    upload = (await world.open()).upload
    until = world.clock.now() + timedelta(seconds=world.limits.lease_s)
    world.library.tables.holders[upload.id] = ("a process that was killed", until)
    with pytest.raises(UploadLocked):
        await world.append(upload, WAV)
    world.clock.advance(world.limits.lease_s)
    assert (await world.append(upload, WAV)).audio is not None


async def test_who_lost_the_upload_meanwhile_adds_nothing(world: ResumableWorld) -> None:
    upload = (await world.open()).upload

    async def overtaken() -> AsyncIterator[bytes]:
        yield WAV[:500]
        until = world.clock.now() + timedelta(seconds=99)
        world.library.tables.holders[upload.id] = ("another", until)
        yield WAV[500:]

    with pytest.raises(UploadLocked):
        await world.append(upload, chunks=overtaken())
    assert await world.offset(upload) == 0
    assert (world.blobs.objects, world.library.rows) == ({}, [])


async def test_what_is_no_audio_ends_the_upload_early(world: ResumableWorld) -> None:
    upload = (await world.open(9000)).upload
    with pytest.raises(NotAudio):
        await world.append(upload, b"text " * 1000)
    with pytest.raises(UploadNotFound):
        await world.find(upload)
    small = (await world.open(5)).upload
    with pytest.raises(NotAudio):
        await world.append(small, b"text ")
    assert world.is_untouched


@pytest.mark.parametrize("error", [QuotaExceeded(), EntitlementsUnavailable(retry_after_s=1)])
async def test_the_end_can_be_tried_again(world: ResumableWorld, error: Exception) -> None:
    upload = (await world.open()).upload
    world.entitlements.reserve_error = error
    with pytest.raises(type(error)):
        await world.append(upload, WAV)
    assert await world.offset(upload) == 3 * PART_BYTES, "but for the last part"
    assert world.library.rows == []
    world.entitlements.reserve_error = None
    assert (await world.append(upload, WAV[3000:], at=3000)).audio is not None


async def test_a_store_that_is_away_moves_nothing(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    world.blobs.is_down = True
    with pytest.raises(StoreUnavailable):
        await world.append(upload, WAV)
    assert await world.offset(upload) == 0
    assert len(world.library.tables.loose) == 1, "the sweeper's"


async def test_too_many_pieces_are_refused(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    for offset_bytes in range(6):
        await world.append(upload, WAV[offset_bytes : offset_bytes + 1], at=offset_bytes)
    with pytest.raises(TooManyParts):
        await world.append(upload, WAV[6:7], at=6)
    assert (await world.append(upload, WAV[6 : 6 + 0], at=6)).upload.offset_bytes == 6


async def test_opening_asks_what_an_upload_asks(world: ResumableWorld) -> None:
    with pytest.raises(EmptyFile):
        await world.open(0)
    with pytest.raises(FileTooLarge):
        await world.open(10_001)
    world.entitlements.on.discard("audio-upload")
    with pytest.raises(FeatureOff):
        await world.open()
    assert world.library.tables.uploads == {}


async def test_an_account_opens_so_many_and_so_many_bytes(world: ResumableWorld) -> None:
    first = (await world.open(10_000)).upload
    await world.open(10_000)
    with pytest.raises(UnfinishedUploadsFull):
        await world.open(1)
    await world.give_up(first)
    await world.open(100)
    await world.open(100)
    with pytest.raises(UnfinishedUploadsFull):
        await world.open(100)
    await world.open(100, caller=BERT)


async def test_a_repeated_opening_is_the_same_upload(world: ResumableWorld) -> None:
    first = await world.open(key="k")
    await world.append(first.upload, WAV[:1500])
    again = await world.open(key="k")
    assert (again.is_replay, again.upload.id) == (True, first.upload.id)
    assert again.upload.offset_bytes == 1500
    with pytest.raises(IdempotencyKeyReused):
        await world.open(99, key="k")
    assert not (await world.open(key="k", caller=BERT)).is_replay
    world.clock.advance(3600)
    assert not (await world.open(key="k")).is_replay


async def test_giving_up_removes_the_bytes(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    await world.append(upload, WAV[:2500])
    with pytest.raises(UploadNotFound):
        await world.give_up(upload, caller=BERT)
    await world.give_up(upload)
    assert world.is_untouched
    with pytest.raises(UploadNotFound):
        await world.give_up(upload)


async def test_a_recording_outlives_its_upload(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    done = await world.append(upload, WAV)
    assert done.audio is not None
    await world.give_up(upload)
    assert world.library.rows == [done.audio]
    assert list(world.blobs.objects) == [done.audio.object_key]


async def test_expired_uploads_are_swept_with_their_parts(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    await world.append(upload, WAV[:2500])
    world.clock.advance(3600)
    with pytest.raises(UploadNotFound):
        await world.find(upload)
    with pytest.raises(UploadNotFound):
        await world.append(upload, WAV[2500:], at=2500)
    world.clock.advance(40)
    did = [
        await sweep(begin=world.library.begin, blobs=world.blobs, clock=world.clock, limits=SWEEP)
        for _ in range(3)
    ]
    assert [(each.n_uploads, each.n_objects, each.overdue_s) for each in did] == [
        (1, 0, 40),
        (0, 3, 0),
        (0, 0, 0),
    ]
    assert world.is_untouched
    assert world.library.tables.uploads == {}
    assert world.library.tables.parts == {}


async def test_an_account_that_goes_takes_its_uploads_along(world: ResumableWorld) -> None:
    upload = (await world.open()).upload
    await world.append(upload, WAV[:2500])
    async with world.library.begin() as tx:
        await forget_account("anna", tx=tx, clock=world.clock, batch_size_max=2)
    await sweep(begin=world.library.begin, blobs=world.blobs, clock=world.clock, limits=SWEEP)
    assert world.is_untouched
    with pytest.raises(UploadNotFound):
        await world.append(upload, WAV[2500:], at=2500)
