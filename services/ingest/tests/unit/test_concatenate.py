from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tonearm_ingest.domain.errors import (
    EntitlementsUnavailable,
    FileTooLarge,
    FinalUpload,
    IdempotencyKeyReused,
    NotAudio,
    NotPartial,
    PartialNotFound,
    PartialUnfinished,
    QuotaExceeded,
    StoreUnavailable,
    UnfinishedUploadsFull,
    UploadLocked,
    UploadNotFound,
)
from tonearm_ingest.domain.resumable import PARTIAL
from tonearm_ingest.usecases.sweep import SweepLimits, sweep

from .resumable_world import PART_BYTES, ResumableWorld
from .world import BERT, WAV

SWEEP = SweepLimits(objects_max=100, uploads_max=10, retry_after_s=60, removed_kept_s=60)
PIECES = (WAV[:7], WAV[7:2500], WAV[2500:])


@pytest.fixture
def world() -> ResumableWorld:
    return ResumableWorld()


async def test_pieces_become_one_recording_and_are_gone(world: ResumableWorld) -> None:
    # Sent in any order, at any pace; what the list says counts.
    last, first, middle = [await world.has_partial(PIECES[number]) for number in (2, 0, 1)]
    assert (world.library.rows, world.entitlements.reserved) == ([], [])
    made = await world.concatenate(first, middle, last)
    assert made.audio is not None
    assert world.library.rows == [made.audio]
    assert world.blobs.objects == {made.audio.object_key: WAV}
    assert world.library.tables.loose == {}
    assert world.library.event_types == ["AudioUploaded", "AnalysisRequested"]
    assert [wanted.size_bytes for wanted in world.entitlements.reserved] == [len(WAV)]
    assert made.audio.filename == "song.wav"
    final = await world.find(made.upload)
    assert final == made.upload
    assert (final.length_bytes, final.offset_bytes) == (len(WAV), len(WAV))
    assert (final.audio_id, final.metadata) == (made.audio.id, "filename c29uZy53YXY=")
    assert list(world.library.tables.uploads) == [final.id]
    assert (world.library.tables.parts, world.library.tables.holders) == ({}, {})


async def test_a_piece_is_never_a_recording_nor_looked_at(world: ResumableWorld) -> None:
    text = await world.has_partial(b"text " * 1000)
    assert (text.offset_bytes, text.audio_id) == (5000, None)
    assert world.library.rows == []
    again = await world.append(text, at=5000)
    assert (again.audio, again.upload.offset_bytes) == (None, 5000)


async def test_the_last_piece_of_a_piece_may_be_one_too_many(world: ResumableWorld) -> None:
    partial = (await world.open(7, metadata="", concat=PARTIAL)).upload
    for offset_bytes in range(6):
        await world.append(partial, b"x", at=offset_bytes)
    assert (await world.append(partial, b"x", at=6)).upload.offset_bytes == 7


async def test_asking_again_is_the_same_upload(world: ResumableWorld) -> None:
    partials = [await world.has_partial(piece) for piece in PIECES]
    first = await world.concatenate(*partials)
    again = await world.concatenate(*partials)
    assert (again.upload, again.audio) == (first.upload, None)
    with pytest.raises(PartialNotFound):
        await world.concatenate(*reversed(partials))
    with pytest.raises(PartialNotFound):
        await world.concatenate(*partials, caller=BERT)
    assert len(world.entitlements.reserved) == 1
    world.clock.advance(3600)
    with pytest.raises(PartialNotFound):
        await world.concatenate(*partials)


async def test_a_key_belongs_to_its_pieces(world: ResumableWorld) -> None:
    first = await world.concatenate(await world.has_partial(WAV), key="k")
    other = await world.has_partial(WAV)
    with pytest.raises(IdempotencyKeyReused):
        await world.concatenate(other, key="k")
    await world.open(key="plain")
    with pytest.raises(IdempotencyKeyReused):
        await world.concatenate(other, key="plain")
    world.clock.advance(3600)
    second = await world.concatenate(await world.has_partial(WAV), key="k")
    assert second.upload.id != first.upload.id


async def test_what_is_wrong_with_a_piece_is_said_precisely(world: ResumableWorld) -> None:
    whole, half = await world.has_partial(WAV[:50]), (await world.open(9, concat=PARTIAL)).upload
    await world.append(half, b"1234")
    with pytest.raises(PartialUnfinished) as unfinished:
        await world.concatenate(whole, half)
    assert unfinished.value.members == {
        "upload_id": half.id,
        "offset_bytes": 4,
        "length_bytes": 9,
    }
    foreign = await world.has_partial(WAV[50:], caller=BERT)
    with pytest.raises(PartialNotFound) as missing:
        await world.concatenate(whole, foreign)
    assert missing.value.members == {"upload_id": foreign.id}
    await world.give_up(half)
    with pytest.raises(PartialNotFound):
        await world.concatenate(whole, half)
    plain = (await world.open(100)).upload
    with pytest.raises(NotPartial) as other:
        await world.concatenate(whole, plain)
    assert other.value.members == {"upload_id": plain.id}
    world.clock.advance(3600)
    with pytest.raises(PartialNotFound) as expired:
        await world.concatenate(whole)
    assert expired.value.members == {"upload_id": whole.id}
    assert world.library.rows == []


async def test_a_final_upload_takes_no_bytes_and_is_no_piece(world: ResumableWorld) -> None:
    final = (await world.concatenate(await world.has_partial(WAV))).upload
    for content in (b"x", b""):
        with pytest.raises(FinalUpload):
            await world.append(final, content, at=final.offset_bytes)
    with pytest.raises(NotPartial):
        await world.concatenate(final)
    await world.give_up(final)
    assert len(world.library.rows) == 1, "the recording stays"


@pytest.mark.parametrize(
    "error", [QuotaExceeded(), EntitlementsUnavailable(retry_after_s=1), StoreUnavailable()]
)
async def test_a_refusal_leaves_the_pieces_for_another_try(
    world: ResumableWorld, error: Exception
) -> None:
    partials = [await world.has_partial(piece) for piece in PIECES]
    world.entitlements.reserve_error = error
    with pytest.raises(type(error)):
        await world.concatenate(*partials)
    assert world.library.rows == []
    assert (world.library.tables.loose, world.library.tables.holders) == ({}, {})
    world.entitlements.reserve_error = None
    assert (await world.concatenate(*partials)).audio is not None


async def test_together_they_may_be_too_large(world: ResumableWorld) -> None:
    partials = [await world.has_partial(WAV + bytes(2500)) for _ in range(2)]
    before = dict(world.blobs.objects)
    with pytest.raises(FileTooLarge):
        await world.concatenate(*partials)
    assert world.blobs.objects == before


async def test_pieces_that_are_no_audio_together_end(world: ResumableWorld) -> None:
    partials = [await world.has_partial(b"text "), await world.has_partial(WAV)]
    with pytest.raises(NotAudio):
        await world.concatenate(*partials)
    assert world.is_untouched
    assert world.library.tables.uploads == {}


async def test_pieces_count_as_unfinished_until_they_are_joined(world: ResumableWorld) -> None:
    partials = [await world.has_partial(piece) for piece in PIECES]
    with pytest.raises(UnfinishedUploadsFull):
        await world.open(1)
    await world.concatenate(*partials)
    await world.open(1)


async def test_one_request_at_a_time_joins(world: ResumableWorld) -> None:
    partials = [await world.has_partial(piece) for piece in PIECES]
    arrived, go_on = asyncio.Event(), asyncio.Event()
    read = world.blobs.read

    async def slow(object_key: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        arrived.set()
        await go_on.wait()
        async for piece in read(object_key, start=start, end=end):
            yield piece

    world.blobs.read = slow  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.concatenate(*partials))
        await arrived.wait()
        with pytest.raises(UploadLocked):
            await world.concatenate(*partials)
        with pytest.raises(UploadLocked):
            await world.concatenate(partials[1])
        go_on.set()
    assert running.result().audio is not None
    assert (await world.concatenate(*partials)).upload == running.result().upload


async def test_pieces_given_up_meanwhile_make_nothing(world: ResumableWorld) -> None:
    partials = [await world.has_partial(piece) for piece in PIECES]
    probe = world.prober.probe

    async def late(object_key: str, *, size_bytes: int, format: str) -> object:
        await world.give_up(partials[1])
        return await probe(object_key, size_bytes=size_bytes, format=format)

    world.prober.probe = late  # type: ignore[method-assign, assignment]
    with pytest.raises(PartialNotFound):
        await world.concatenate(*partials)
    assert (world.library.rows, world.library.tables.loose) == ([], {})
    kept = {part.object_key for parts in world.library.tables.parts.values() for part in parts}
    assert set(world.blobs.objects) == kept


async def test_bytes_removed_while_they_are_read_are_an_upload_that_is_gone(
    world: ResumableWorld,
) -> None:
    partials = [await world.has_partial(piece) for piece in PIECES]
    world.blobs.objects.pop(world.library.tables.parts[partials[2].id][0].object_key)
    with pytest.raises(UploadNotFound):
        await world.concatenate(*partials)


async def test_who_lost_the_pieces_meanwhile_joins_nothing(world: ResumableWorld) -> None:
    partials = [await world.has_partial(piece) for piece in PIECES]
    probe = world.prober.probe

    async def overtaken(object_key: str, *, size_bytes: int, format: str) -> object:
        until = world.clock.now() + timedelta(seconds=99)
        world.library.tables.holders[partials[0].id] = ("another", until)
        return await probe(object_key, size_bytes=size_bytes, format=format)

    world.prober.probe = overtaken  # type: ignore[method-assign, assignment]
    with pytest.raises(UploadLocked):
        await world.concatenate(*partials)
    assert world.library.rows == []
    assert world.library.tables.holders == {
        partials[0].id: ("another", world.library.tables.holders[partials[0].id][1])
    }


async def test_what_another_request_holds_is_not_ended_by_bytes_that_are_no_audio(
    world: ResumableWorld,
) -> None:
    upload = (await world.open(9000)).upload

    async def overtaken() -> AsyncIterator[bytes]:
        yield b"text "
        until = world.clock.now() + timedelta(seconds=99)
        world.library.tables.holders[upload.id] = ("another", until)
        yield b"text " * 1000

    with pytest.raises(NotAudio):
        await world.append(upload, chunks=overtaken(), sha256_of=b"text " * 1001)
    assert await world.offset(upload) == 0


async def test_pieces_that_nobody_joins_expire_with_their_bytes(world: ResumableWorld) -> None:
    await world.has_partial(WAV[: 2 * PART_BYTES])
    world.clock.advance(3600)
    for _ in range(2):
        await sweep(begin=world.library.begin, blobs=world.blobs, clock=world.clock, limits=SWEEP)
    assert world.is_untouched
    assert world.library.tables.uploads == {}
