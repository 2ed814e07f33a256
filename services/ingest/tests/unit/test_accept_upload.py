from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tonearm_contracts.events import AnalysisRequested, AudioUploaded
from tonearm_ingest.domain.audio import Status
from tonearm_ingest.domain.errors import (
    AccountGone,
    EmptyFile,
    EntitlementsUnavailable,
    FeatureOff,
    FileTooLarge,
    IdempotencyKeyReused,
    MalformedMultipart,
    NotAudio,
    QuotaExceeded,
    RequestStillRunning,
    StoreUnavailable,
    UnsupportedAudio,
    UploadLost,
    UploadStalled,
)
from tonearm_ingest.usecases.accept_upload import AcceptUpload, UploadLimits, accept_upload
from tonearm_ingest.usecases.ports import LooseObject

from .world import ANNA, BERT, WAV, World


async def test_an_upload_is_stored_recorded_and_announced() -> None:
    world = World()
    audio = (await world.upload(WAV[:5], WAV[5:])).audio
    assert world.blobs.objects == {audio.object_key: WAV}
    assert world.library.rows == [audio]
    assert audio.status is Status.UPLOADED
    assert audio.sha256 == hashlib.sha256(WAV).hexdigest()
    assert audio.size_bytes == len(WAV)
    assert not world.library.tables.loose
    (topic_1, uploaded), (topic_2, requested) = world.library.tables.events
    assert isinstance(uploaded, AudioUploaded)
    assert isinstance(requested, AnalysisRequested)
    assert (topic_1, topic_2) == ("ingest.audio.v1", "analysis.request.v1")
    assert requested.quota_reservation_id == audio.reservation_id
    assert requested.object_key == audio.object_key
    assert requested.lane == "standard"


async def test_the_plan_is_charged_with_what_the_file_really_is() -> None:
    world = World()
    audio = (await world.upload(declared=9_999)).audio
    (reserved,) = world.entitlements.reserved
    assert (reserved.size_bytes, reserved.duration_s) == (len(WAV), 2.5)
    assert reserved.audio_id == audio.id


async def test_premium_with_the_flag_takes_the_priority_lane() -> None:
    world = World()
    await world.upload(caller=BERT)
    world.entitlements.on.add("premium-priority")
    await world.upload(caller=BERT)
    await world.upload(caller=ANNA)
    topics = [topic for topic, event in world.library.tables.events if "analysis" in topic]
    assert topics == [
        "analysis.request.v1",
        "analysis.request.priority.v1",
        "analysis.request.v1",
    ]


async def test_a_file_over_the_limit_leaves_no_trace() -> None:
    world = World()
    with pytest.raises(FileTooLarge) as caught:
        await world.upload(WAV, bytes(10_000))
    assert caught.value.members["size_bytes_max"] == 10_000
    assert world.is_untouched


async def test_the_limit_of_the_plan_counts_when_it_is_lower() -> None:
    world = World()
    world.entitlements.largest_bytes = 100
    with pytest.raises(FileTooLarge) as caught:
        await world.upload()
    assert caught.value.members["size_bytes_max"] == 100
    with pytest.raises(FileTooLarge):
        await world.upload(WAV[:50], declared=101)
    assert world.is_untouched


@pytest.mark.parametrize("content", [b"hello, this is text", b"\x00" * 9000, b"%PDF-1.7"])
async def test_what_is_not_audio_is_refused_whatever_its_name(content: bytes) -> None:
    world = World()
    with pytest.raises(NotAudio):
        await world.upload(content, filename="song.mp3")
    assert world.is_untouched


async def test_other_audio_is_called_by_its_name() -> None:
    world = World()
    with pytest.raises(UnsupportedAudio) as caught:
        await world.upload(b"MThd" + bytes(50), filename="song.mp3")
    assert caught.value.members["format"] == "midi"
    assert world.is_untouched


async def test_an_empty_file_is_refused() -> None:
    world = World()
    with pytest.raises(EmptyFile):
        await world.upload(b"")
    assert world.is_untouched


@pytest.mark.parametrize("error", [UnsupportedAudio(), NotAudio()])
async def test_what_the_probe_refuses_is_removed(error: Exception) -> None:
    world = World()
    world.prober.error = error
    with pytest.raises(type(error)):
        await world.upload()
    assert world.is_untouched
    assert not world.entitlements.reserved


@pytest.mark.parametrize("flag", ["audio-upload", "audio-analysis"])
async def test_without_the_flag_nothing_is_taken(flag: str) -> None:
    world = World()
    world.entitlements.on.discard(flag)
    with pytest.raises(FeatureOff) as caught:
        await world.upload()
    assert caught.value.members["flag"] == flag
    assert world.is_untouched


async def test_when_auth_is_away_nothing_is_taken() -> None:
    world = World()
    world.entitlements.error = EntitlementsUnavailable(retry_after_s=2)
    with pytest.raises(EntitlementsUnavailable):
        await world.upload()
    assert world.is_untouched


async def test_a_refused_reservation_removes_the_bytes() -> None:
    world = World()
    world.entitlements.reserve_error = QuotaExceeded(violated_limits=["uploads_per_day"])
    with pytest.raises(QuotaExceeded):
        await world.upload()
    assert world.is_untouched


async def test_a_client_that_goes_away_leaves_no_trace() -> None:
    world = World()

    async def broken() -> AsyncIterator[bytes]:
        yield WAV
        raise MalformedMultipart

    with pytest.raises(MalformedMultipart):
        await accept_upload(
            AcceptUpload(caller=ANNA, filename="a.wav", chunks=broken(), declared_size_bytes=None),
            intake=world.intake,
        )
    assert world.is_untouched


async def test_when_the_store_is_away_the_note_stays_for_the_sweeper() -> None:
    world = World()
    world.blobs.is_down = True
    with pytest.raises(StoreUnavailable):
        await world.upload()
    (note,) = world.library.tables.loose.values()
    assert note.sweep_after == world.clock.now() + timedelta(seconds=60)
    assert not world.library.rows
    assert not world.library.tables.events


async def test_an_upload_that_takes_too_long_is_cut_off() -> None:
    world = World()
    world.limits = UploadLimits(
        size_bytes_max=100, filename_chars_max=40, duration_s_max=0.0, lease_s=9.0
    )
    with pytest.raises(UploadStalled):
        await world.upload()


async def test_an_account_that_is_deleted_meanwhile_gets_no_row() -> None:
    world = World()
    world.library.tables.closed.add("anna")
    with pytest.raises(AccountGone):
        await world.upload()
    assert world.is_untouched


async def test_the_same_key_and_file_answer_as_the_first_time() -> None:
    world = World()
    first = await world.upload(key="k1")
    again = await world.upload(WAV[:7], WAV[7:], key="k1")
    assert not first.is_replay
    assert again.is_replay
    assert again.audio == first.audio
    assert len(world.library.rows) == 1
    assert world.library.event_types == ["AudioUploaded", "AnalysisRequested"]


async def test_the_same_key_with_another_file_is_refused() -> None:
    world = World()
    await world.upload(key="k1")
    for other in (WAV + b"x", WAV[:-1], WAV[:-1] + b"x"):
        with pytest.raises(IdempotencyKeyReused):
            await world.upload(other, key="k1")


async def test_a_key_belongs_to_its_account() -> None:
    world = World()
    await world.upload(key="k1")
    await world.upload(key="k1", caller=BERT)
    assert len(world.library.rows) == 2


async def test_a_key_that_is_still_running_is_a_conflict() -> None:
    world = World()
    world.library.tables.loose["x"] = LooseObject(
        object_key="x",
        account_id="anna",
        sweep_after=world.clock.now() + timedelta(seconds=1),
        idempotency_key="k1",
    )
    with pytest.raises(RequestStillRunning):
        await world.upload(key="k1")


async def test_a_key_whose_upload_died_is_taken_over() -> None:
    world = World()
    world.library.tables.loose["x"] = LooseObject(
        object_key="x",
        account_id="anna",
        sweep_after=world.clock.now(),
        idempotency_key="k1",
    )
    assert not (await world.upload(key="k1")).is_replay
    assert list(world.library.tables.loose) == ["x"]


async def test_an_upload_keeps_saying_that_it_lives() -> None:
    world = World()
    world.limits = replace(world.limits, lease_s=0.03)
    moved = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield WAV
        (first,) = world.library.tables.loose.values()
        world.clock.advance(1)
        while world.library.tables.loose[first.object_key] == first:
            await asyncio.sleep(0)
        moved.set()

    cmd = AcceptUpload(caller=ANNA, filename="a.wav", chunks=slow(), declared_size_bytes=None)
    async with asyncio.timeout(10):
        await accept_upload(cmd, intake=world.intake)
    assert moved.is_set()


async def test_an_upload_that_was_swept_meanwhile_is_not_recorded() -> None:
    world = World()

    async def slow() -> AsyncIterator[bytes]:
        yield WAV
        world.library.tables.loose.clear()

    with pytest.raises(UploadLost):
        await accept_upload(
            AcceptUpload(caller=ANNA, filename="a.wav", chunks=slow(), declared_size_bytes=None),
            intake=world.intake,
        )
    assert world.is_untouched


async def test_a_failed_upload_frees_its_key() -> None:
    world = World()
    with pytest.raises(EmptyFile):
        await world.upload(b"", key="k1")
    assert not (await world.upload(key="k1")).is_replay


async def test_file_names_are_cleaned() -> None:
    world = World()
    audio = (await world.upload(filename="../../etc/p\x00ass\nwd.wav")).audio
    assert audio.filename == "passwd.wav"
