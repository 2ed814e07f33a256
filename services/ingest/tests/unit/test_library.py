from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tonearm_contracts.events import AudioUpdated
from tonearm_ingest.domain.audio import Audio, Failure, Status
from tonearm_ingest.domain.errors import AudioNotFound, FeatureOff, InvalidCursor
from tonearm_ingest.usecases.browse import (
    ListAudio,
    download_audio,
    get_audio,
    list_audio,
    parse_cursor,
    to_cursor,
)
from tonearm_ingest.usecases.delete_audio import DeleteAudio, delete_audio, forget_account
from tonearm_ingest.usecases.ports import Caller
from tonearm_ingest.usecases.sweep import SweepLimits, Swept, sweep
from tonearm_ingest.usecases.track_analysis import AnalysisNews, track_analysis

from .world import ANNA, BERT, WAV, World

SWEEP = SweepLimits(objects_max=10, uploads_max=10, retry_after_s=60, removed_kept_s=1000)


async def tell(world: World, audio: Audio, status: Status, *, job_id: str | None = None) -> bool:
    news = AnalysisNews(
        audio_id=audio.id,
        job_id=job_id or audio.job_id,
        status=status,
        at=world.clock.now(),
        failure=Failure(code="timed_out", reason="Too slow.") if status == "failed" else None,
        summary={"tempo_bpm": 120.0} if status == "completed" else None,
    )
    async with world.library.begin() as tx:
        return await track_analysis(news, tx=tx)


async def test_status_follows_the_analysis() -> None:
    world = World()
    audio = await world.has_audio()
    assert await tell(world, audio, Status.PROCESSING)
    world.clock.advance(3)
    assert await tell(world, audio, Status.COMPLETED)
    (row,) = world.library.rows
    assert (row.status, row.summary) == (Status.COMPLETED, {"tempo_bpm": 120.0})
    assert row.completed_at == world.clock.now() == row.updated_at
    statuses = [e.status for _, e in world.library.tables.events if isinstance(e, AudioUpdated)]
    assert statuses == ["processing", "completed"]


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED])
async def test_replays_and_late_news_change_nothing(end: Status) -> None:
    world = World()
    audio = await world.has_audio()
    await tell(world, audio, end)
    before = world.library.tables
    assert not await tell(world, audio, end)
    assert not await tell(world, audio, Status.PROCESSING)
    assert not await tell(world, audio, Status.UPLOADED)
    assert world.library.tables == before


async def test_a_later_success_replaces_a_failure_but_not_the_reverse() -> None:
    world = World()
    audio = await world.has_audio()
    await tell(world, audio, Status.FAILED)
    assert world.library.rows[0].failure == Failure(code="timed_out", reason="Too slow.")
    assert await tell(world, audio, Status.COMPLETED)
    assert world.library.rows[0].failure is None
    assert not await tell(world, audio, Status.FAILED)


async def test_news_of_other_jobs_and_deleted_recordings_are_ignored() -> None:
    world = World()
    audio = await world.has_audio()
    assert not await tell(world, audio, Status.COMPLETED, job_id="an old one")
    world.library.tables.audio.clear()
    assert not await tell(world, audio, Status.COMPLETED)


async def test_other_peoples_recordings_do_not_exist() -> None:
    world = World()
    audio = await world.has_audio()
    begin = world.library.begin
    assert await get_audio(audio.id, account_id="anna", begin=begin) == audio
    with pytest.raises(AudioNotFound):
        await get_audio(audio.id, account_id="bert", begin=begin)
    with pytest.raises(AudioNotFound):
        await open_download(world, audio.id, caller=BERT)
    with pytest.raises(AudioNotFound):
        await remove(world, audio.id, account_id="bert")
    assert world.library.rows == [audio]


async def open_download(world: World, audio_id: str, *, caller: Caller = ANNA) -> bytes:
    download = await download_audio(
        audio_id,
        caller=caller,
        begin=world.library.begin,
        blobs=world.blobs,
        entitlements=world.entitlements,
    )
    return b"".join([piece async for piece in download.read(start=8, end=12)])


async def remove(world: World, audio_id: str, *, account_id: str = "anna") -> None:
    await delete_audio(
        DeleteAudio(audio_id=audio_id, account_id=account_id),
        begin=world.library.begin,
        blobs=world.blobs,
        clock=world.clock,
    )


async def test_a_download_needs_its_flag() -> None:
    world = World()
    audio = await world.has_audio()
    assert await open_download(world, audio.id) == b"WAVE"
    world.entitlements.on.discard("audio-download")
    with pytest.raises(FeatureOff):
        await open_download(world, audio.id)


async def test_deleting_removes_row_and_bytes_and_says_so_once() -> None:
    world = World()
    audio = await world.has_audio()
    await remove(world, audio.id)
    await remove(world, audio.id)
    assert not world.blobs.objects
    assert not world.library.rows
    assert not world.library.tables.loose
    assert world.library.event_types.count("AudioDeleted") == 1
    with pytest.raises(AudioNotFound):
        await remove(world, audio.id, account_id="bert")


async def test_bytes_that_could_not_be_deleted_are_swept() -> None:
    world = World()
    audio = await world.has_audio()
    world.blobs.is_down = True
    await remove(world, audio.id)
    assert world.blobs.objects
    assert (await run_sweep(world)).n_objects == 0
    world.blobs.is_down = False
    assert (await run_sweep(world)).n_objects == 0
    world.clock.advance(61)
    swept = await run_sweep(world)
    assert (swept.n_objects, swept.overdue_s) == (1, 1)
    assert not world.blobs.objects
    assert not world.library.tables.loose


async def test_a_removal_that_hangs_is_tried_again_later() -> None:
    world = World()
    audio = await world.has_audio()
    world.blobs.is_down = True
    await remove(world, audio.id)
    world.blobs.is_down = False

    async def hang(object_key: str) -> None:
        await asyncio.Event().wait()

    world.blobs.delete = hang  # type: ignore[method-assign]
    limits = replace(SWEEP, removal_s_max=0.01)
    swept = await sweep(
        begin=world.library.begin, blobs=world.blobs, clock=world.clock, limits=limits
    )
    assert swept.n_objects == 0
    [left] = world.library.tables.loose.values()
    assert left.sweep_after == world.clock.now() + timedelta(seconds=SWEEP.retry_after_s)


async def run_sweep(world: World) -> Swept:
    return await sweep(
        begin=world.library.begin, blobs=world.blobs, clock=world.clock, limits=SWEEP
    )


async def test_deletions_are_forgotten_in_the_end() -> None:
    world = World()
    audio = await world.has_audio()
    await remove(world, audio.id)
    world.clock.advance(1001)
    await run_sweep(world)
    with pytest.raises(AudioNotFound):
        await remove(world, audio.id)


async def test_a_deleted_account_takes_everything_along() -> None:
    world = World()
    for _ in range(5):
        await world.has_audio()
    kept = await world.has_audio(caller=BERT)
    for _ in range(2):
        async with world.library.begin() as tx:
            await forget_account("anna", tx=tx, clock=world.clock, batch_size_max=2)
    assert world.library.rows == [kept]
    assert world.library.event_types.count("AudioDeleted") == 5
    await run_sweep(world)
    assert list(world.blobs.objects) == [kept.object_key]


async def test_pages_are_complete_and_steady() -> None:
    world = World()
    made = []
    for _ in range(7):
        made.append(await world.has_audio())
        world.clock.advance(1)
    await world.has_audio(caller=BERT)
    seen: list[Audio] = []
    cursor = None
    while True:
        page = await list_audio(
            ListAudio(account_id="anna", limit=3, cursor=cursor), begin=world.library.begin
        )
        seen.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
        await world.has_audio()
    assert seen == made[::-1]


async def test_pages_by_status() -> None:
    world = World()
    first, _ = await world.has_audio(), await world.has_audio()
    await tell(world, first, Status.COMPLETED)
    page = await list_audio(
        ListAudio(account_id="anna", limit=5, status=Status.COMPLETED), begin=world.library.begin
    )
    assert [audio.id for audio in page.items] == [first.id]


def test_a_cursor_says_nothing_but_comes_back() -> None:
    assert parse_cursor(to_cursor("00-ab")) == "00-ab"


@pytest.mark.parametrize("cursor", ["", "x", "!!!!", "MTo", "Mjphbm5h", "MTr_", "1:é"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        parse_cursor(cursor)


async def test_time_never_runs_backwards_in_a_row() -> None:
    world = World()
    audio = await world.has_audio()
    moved = audio.moved(
        Status.PROCESSING, job_id=audio.job_id, at=audio.updated_at - timedelta(seconds=9)
    )
    assert moved is not None
    assert moved.updated_at == audio.updated_at
    assert len(WAV) == audio.size_bytes
