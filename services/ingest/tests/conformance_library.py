"""What every library must do, whether in memory or in Postgres."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tonearm_ingest.domain.audio import Audio, Failure, Properties, Status
from tonearm_ingest.domain.errors import AccountGone, RequestStillRunning
from tonearm_ingest.usecases.ports import Begin, LooseObject, Transaction

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def make_audio(number: int, *, account_id: str = "anna", key: str | None = None) -> Audio:
    id_ = f"00000000-0000-7000-8000-{number:012d}"
    return Audio(
        id=id_,
        account_id=account_id,
        filename="Größe ♫.wav",
        object_key=f"accounts/{account_id}/audio/{id_}",
        sha256="ab" * 32,
        size_bytes=3_000_000_000,
        properties=Properties(
            format="wav",
            codec="pcm_s16le",
            duration_s=1.25,
            sample_rate_hz=44_100,
            channels=2,
            bit_depth=16,
            bitrate_bps=1_411_200,
            tags={"title": "Ein Lied"},
        ),
        job_id=f"job-{number}",
        reservation_id=None,
        idempotency_key=key,
        uploaded_at=NOW,
        updated_at=NOW,
    )


def make_loose(
    key: str, *, after_s: float = 0, idempotency_key: str | None = None, account_id: str = "anna"
) -> LooseObject:
    return LooseObject(
        object_key=key,
        account_id=account_id,
        sweep_after=NOW + timedelta(seconds=after_s),
        idempotency_key=idempotency_key,
    )


class Undo(Exception):
    pass


class LibraryConformance:
    """Subclasses give the fixture `begin`."""

    @asynccontextmanager
    async def given(self, begin: Begin, *audio: Audio) -> AsyncIterator[Transaction]:
        async with begin() as tx:
            for each in audio:
                await tx.audio.add(each)
        async with begin() as tx:
            yield tx

    async def test_a_recording_comes_back_as_it_was(self, begin: Begin) -> None:
        audio = make_audio(1, key="k")
        async with self.given(begin, audio) as tx:
            assert await tx.audio.find(audio.id, account_id="anna") == audio
            assert await tx.audio.find_for_update(audio.id) == audio
            assert await tx.audio.find_by_idempotency_key("k", account_id="anna") == audio
            assert await tx.audio.find(audio.id, account_id="bert") is None
            assert await tx.audio.find_by_idempotency_key("k", account_id="bert") is None
            assert await tx.audio.find_for_update("nobody") is None

    async def test_what_changes_is_saved(self, begin: Begin) -> None:
        audio = make_audio(1)
        changed = dataclasses.replace(
            audio,
            status=Status.FAILED,
            failure=Failure(code="timed_out", reason="Too slow."),
            summary={"tempo_bpm": 120.5, "key": None},
            updated_at=NOW + timedelta(seconds=1),
            completed_at=NOW + timedelta(seconds=1),
        )
        async with self.given(begin, audio) as tx:
            await tx.audio.save(changed)
        async with begin() as tx:
            assert await tx.audio.find(audio.id, account_id="anna") == changed

    async def test_a_transaction_that_fails_leaves_nothing(self, begin: Begin) -> None:
        audio = make_audio(1)

        async def fail() -> None:
            async with begin() as tx:
                await tx.audio.add(audio)
                await tx.loose.note(make_loose("o"), now=NOW)
                raise Undo

        with pytest.raises(Undo):
            await fail()
        async with begin() as tx:
            assert await tx.audio.find(audio.id, account_id="anna") is None
            assert await tx.loose.take_due(now=NOW, limit=9) == []

    async def test_pages_go_back_in_time(self, begin: Begin) -> None:
        made = [make_audio(number) for number in range(1, 6)]
        done = dataclasses.replace(make_audio(6), status=Status.COMPLETED)
        async with self.given(begin, *made, done, make_audio(7, account_id="bert")) as tx:

            async def page(before: Audio | None, status: Status | None = None) -> list[str]:
                found = await tx.audio.page(
                    account_id="anna",
                    before_id=before.id if before else None,
                    status=status,
                    limit=2,
                )
                return [audio.id for audio in found]

            assert await page(None) == [done.id, made[4].id]
            assert await page(made[4]) == [made[3].id, made[2].id]
            assert await page(made[0]) == []
            assert await page(None, Status.COMPLETED) == [done.id]

    async def test_one_key_makes_one_recording(self, begin: Begin) -> None:
        async with self.given(begin, make_audio(1, key="k"), make_audio(2, key=None)):
            pass
        async with begin() as tx:
            await tx.audio.add(make_audio(3, key=None))
            await tx.audio.add(make_audio(4, key="k", account_id="bert"))
        with pytest.raises(RequestStillRunning):
            async with begin() as tx:
                await tx.audio.add(make_audio(5, key="k"))

    async def test_removal_is_remembered_until_it_is_forgotten(self, begin: Begin) -> None:
        audio = make_audio(1)
        async with self.given(begin, audio) as tx:
            await tx.audio.remove(audio, at=NOW)
            await tx.audio.remove(audio, at=NOW)
        async with begin() as tx:
            assert await tx.audio.find(audio.id, account_id="anna") is None
            assert await tx.audio.was_removed(audio.id, account_id="anna")
            assert not await tx.audio.was_removed(audio.id, account_id="bert")
            assert await tx.audio.forget_removed(before=NOW) == 0
            assert await tx.audio.forget_removed(before=NOW + timedelta(seconds=1)) == 1
            assert not await tx.audio.was_removed(audio.id, account_id="anna")

    async def test_a_closed_account_takes_nothing_more(self, begin: Begin) -> None:
        async with self.given(begin, make_audio(2), make_audio(1)) as tx:
            await tx.audio.close_account("anna")
            await tx.audio.close_account("anna")
            found = await tx.audio.of_account("anna", limit=1)
            assert [audio.job_id for audio in found] == ["job-1"]
        with pytest.raises(AccountGone):
            async with begin() as tx:
                await tx.audio.add(make_audio(3))
        async with begin() as tx:
            await tx.audio.add(make_audio(4, account_id="bert"))

    async def test_loose_objects_are_due_in_order(self, begin: Begin) -> None:
        async with begin() as tx:
            for key, after_s in (("late", 9), ("second", -1), ("first", -2), ("third", 0)):
                assert await tx.loose.note(make_loose(key, after_s=after_s), now=NOW)
        async with begin() as tx:
            due = await tx.loose.take_due(now=NOW, limit=2)
            assert due == [make_loose("first", after_s=-2), make_loose("second", after_s=-1)]
            await tx.loose.drop("first")
            await tx.loose.postpone("second", until=NOW + timedelta(seconds=99))
        async with begin() as tx:
            due = await tx.loose.take_due(now=NOW, limit=9)
            assert [loose.object_key for loose in due] == ["third"]

    async def test_two_uploads_with_one_key_do_not_run_together(self, begin: Begin) -> None:
        async with begin() as tx:

            async def note(key: str, *, account_id: str = "anna", after_s: float = 9) -> bool:
                loose = make_loose(key, idempotency_key="k", account_id=account_id, after_s=after_s)
                return await tx.loose.note(loose, now=NOW)

            assert await note("a")
            assert not await note("b")
            assert await note("c", account_id="bert")
            assert not await note("a")
            assert await tx.loose.drop("a")
            assert not await tx.loose.drop("a")
            assert await note("b", after_s=0)
            assert await note("d"), "the time of b has come, so it does not hold the key"
        async with begin() as tx:
            due = await tx.loose.take_due(now=NOW, limit=9)
            assert [loose.object_key for loose in due] == ["b"]
            await tx.loose.postpone("gone", until=NOW)
