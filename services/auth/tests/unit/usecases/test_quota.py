"""Reserving and settling quota, event by event."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.auth.tests.unit.world import World
from tonearm_auth.domain.errors import (
    AccountNotFound,
    QuotaExceeded,
    ReservationKeyReused,
    ReservationNotFound,
)
from tonearm_auth.domain.quota import Amounts, Reservation
from tonearm_auth.usecases import settle_quota
from tonearm_auth.usecases.reserve_quota import Reserve, commit, quote, refund, reserve
from tonearm_contracts.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisRequested,
    AnalysisSummary,
    AudioDeleted,
)

FILE = Amounts(uploads=1, stored_bytes=1000, analysed_audio_ms=60_000)


class Quota:
    """One account and its quota."""

    def __init__(self, world: World, account_id: str) -> None:
        self.world, self.account_id = world, account_id
        self.begin = world.store.begin

    async def reserve(self, key: str = "k1", amounts: Amounts = FILE) -> Reservation:
        return await reserve(
            Reserve(account_id=self.account_id, idempotency_key=key, amounts=amounts, ttl_s=100),
            begin=self.begin,
            clock=self.world.clock,
            new_id=self.world.new_id,
        )

    async def used(self) -> Amounts:
        return (await quote(self.account_id, begin=self.begin, clock=self.world.clock)).used

    def requested(self, reservation_id: str) -> AnalysisRequested:
        return AnalysisRequested(
            audio_id="audio1",
            account_id=self.account_id,
            job_id="j1",
            object_key="o",
            sha256="0",
            size_bytes=1000,
            format="wav",
            lane="standard",
            quota_reservation_id=reservation_id,
        )

    def completed(
        self, reservation_id: str | None, *, duration_s: float = 61.5, cached: bool = False
    ) -> AnalysisCompleted:
        return AnalysisCompleted(
            job_id="j1",
            audio_id="audio1",
            account_id=self.account_id,
            result_id="r",
            engine_version="1",
            engine_duration_s=1.0,
            cached=cached,
            summary=AnalysisSummary(
                duration_s=duration_s,
                tempo_bpm=None,
                tempo_confidence=None,
                key=None,
                key_confidence=None,
                loudness_lufs=None,
            ),
            quota_reservation_id=reservation_id,
            completed_at=self.world.now,
        )

    def failed(self, reservation_id: str) -> AnalysisFailed:
        return AnalysisFailed(
            job_id="j1",
            audio_id="audio1",
            account_id=self.account_id,
            code="not_audio",
            reason="",
            quota_reservation_id=reservation_id,
            failed_at=self.world.now,
        )

    async def hear(self, *events: object) -> None:
        """Handle events, each in its own transaction."""
        for event in events:
            async with self.begin() as tx:
                match event:
                    case AnalysisRequested():
                        await settle_quota.on_requested(tx, event)
                    case AnalysisCompleted():
                        await settle_quota.on_completed(tx, event)
                    case AnalysisFailed():
                        await settle_quota.on_failed(tx, event)
                    case AudioDeleted():
                        await settle_quota.on_deleted(tx, event, clock=self.world.clock)

    @property
    def deleted(self) -> AudioDeleted:
        return AudioDeleted(audio_id="audio1", account_id=self.account_id)


@pytest.fixture
async def quota() -> Quota:
    world = World()
    return Quota(world, (await world.register()).id)


async def test_the_same_key_gives_the_same_reservation(quota: Quota) -> None:
    first, second = await quota.reserve(), await quota.reserve()
    assert first.id == second.id
    assert await quota.used() == FILE


async def test_a_key_cannot_be_used_for_something_else(quota: Quota) -> None:
    await quota.reserve()
    with pytest.raises(ReservationKeyReused):
        await quota.reserve(amounts=Amounts(uploads=2))


async def test_parallel_reservations_never_exceed_the_limit_together(quota: Quota) -> None:
    outcomes = await asyncio.gather(
        *(quota.reserve(f"k{number}", Amounts(uploads=1)) for number in range(60)),
        return_exceptions=True,
    )
    refused = [each for each in outcomes if isinstance(each, QuotaExceeded)]
    assert len(refused) == 10
    assert refused[0].members["violated_limits"] == ["uploads_per_day"]
    assert (await quota.used()).uploads == 50


async def test_a_refusal_takes_nothing(quota: Quota) -> None:
    with pytest.raises(QuotaExceeded):
        await quota.reserve(amounts=Amounts(uploads=1, stored_bytes=200 * 1024**2))
    assert await quota.used() == Amounts()


async def test_the_next_day_has_uploads_again_but_not_bytes(quota: Quota) -> None:
    await quota.reserve()
    quota.world.clock.advance(24 * 3600)
    assert await quota.used() == Amounts(stored_bytes=1000, analysed_audio_ms=60_000)
    quota.world.clock.advance(31 * 24 * 3600)
    assert await quota.used() == Amounts(stored_bytes=1000)


async def test_completion_charges_what_was_analysed(quota: Quota) -> None:
    held = await quota.reserve()
    await quota.hear(quota.requested(held.id), *[quota.completed(held.id)] * 2)
    assert await quota.used() == Amounts(uploads=1, stored_bytes=1000, analysed_audio_ms=61_500)


async def test_a_stored_result_that_fitted_costs_no_audio(quota: Quota) -> None:
    held = await quota.reserve()
    await quota.hear(quota.completed(held.id, cached=True))
    assert await quota.used() == Amounts(uploads=1, stored_bytes=1000)


async def test_failure_gives_the_upload_and_the_audio_back(quota: Quota) -> None:
    held = await quota.reserve()
    await quota.hear(*[quota.failed(held.id)] * 2)
    assert await quota.used() == Amounts(stored_bytes=1000)
    await quota.hear(quota.deleted)
    assert await quota.used() == Amounts()


async def test_deletion_gives_the_bytes_back_in_whatever_order_it_is_heard(quota: Quota) -> None:
    orders = (
        ("requested", "completed", "deleted"),
        ("requested", "deleted", "completed"),
        ("deleted", "requested", "completed"),
        ("deleted", "completed", "requested"),
    )
    for order in orders:
        world = World()
        fresh = Quota(world, (await world.register()).id)
        held = await fresh.reserve()
        events = {
            "requested": fresh.requested(held.id),
            "completed": fresh.completed(held.id),
            "deleted": fresh.deleted,
        }
        await fresh.hear(*(events[name] for name in order))
        assert await fresh.used() == Amounts(uploads=1, analysed_audio_ms=61_500), order


async def test_events_without_or_of_unknown_reservations_are_let_pass(quota: Quota) -> None:
    await quota.hear(quota.completed(None), quota.completed("unknown"), quota.failed("unknown"))
    assert await quota.used() == Amounts()


async def test_what_nobody_settles_is_given_back(quota: Quota) -> None:
    held = await quota.reserve()
    world = quota.world
    world.clock.advance(99)
    assert (
        await settle_quota.expire_reservations(begin=quota.begin, clock=world.clock, limit=9) == 0
    )
    world.clock.advance(1)
    assert (
        await settle_quota.expire_reservations(begin=quota.begin, clock=world.clock, limit=9) == 1
    )
    assert await quota.used() == Amounts()
    await quota.hear(quota.completed(held.id))
    assert (await quota.used()).analysed_audio_ms == 61_500


async def test_an_expired_key_reserves_anew(quota: Quota) -> None:
    held = await quota.reserve()
    quota.world.clock.advance(100)
    await settle_quota.expire_reservations(begin=quota.begin, clock=quota.world.clock, limit=9)
    again = await quota.reserve()
    assert (again.id, again.state) == (held.id, "reserved")
    assert await quota.used() == FILE


async def test_commit_and_refund_by_hand(quota: Quota) -> None:
    held = await quota.reserve()
    await commit(held.id, amounts=Amounts(uploads=1, stored_bytes=900), begin=quota.begin)
    assert await quota.used() == Amounts(uploads=1, stored_bytes=900)
    await refund(held.id, begin=quota.begin)
    await refund(held.id, begin=quota.begin)
    assert await quota.used() == Amounts()
    with pytest.raises(ReservationNotFound):
        await refund("unknown", begin=quota.begin)


async def test_a_disabled_account_reserves_nothing(quota: Quota) -> None:
    held = await quota.reserve()
    accounts = quota.world.store.tx.accounts
    account = accounts.rows[quota.account_id]
    accounts.rows[quota.account_id] = replace(account, is_active=False)
    with pytest.raises(AccountNotFound):
        await quota.reserve("k2")
    await quota.hear(quota.completed(held.id))
    assert accounts.rows[quota.account_id].is_active is False


async def test_nobody_has_no_quota(quota: Quota) -> None:
    with pytest.raises(AccountNotFound):
        await quote("nobody", begin=quota.begin, clock=quota.world.clock)


async def test_marks_of_deleted_recordings_are_forgotten_in_time(quota: Quota) -> None:
    await quota.hear(quota.deleted)
    quota.world.clock.advance(101)
    await settle_quota.forget_deleted(begin=quota.begin, clock=quota.world.clock, keep_s=100)
    assert quota.world.store.tx.quotas.gone == {}
