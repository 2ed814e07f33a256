"""What every store of jobs must do, the fake's and Postgres' alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import pytest

from tonearm_analysis.adapters.postgres import PostgresStore
from tonearm_analysis.domain.job import Job, Outcome, Stage
from tonearm_analysis.usecases.ports import Begin
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Database
from tonearm_kit.ids import new_id
from tonearm_kit.migrations import KIT
from tonearm_kit.outbox import Outbox
from tonearm_kit.testing.postgres import SCHEMA, temporary_database

LATER = datetime(2026, 11, 22, 13, tzinfo=UTC)


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.integration)])
async def begin(request: pytest.FixtureRequest, store: Any) -> AsyncIterator[Begin]:
    if request.param == "fake":
        yield store.begin
        return
    components = [KIT, ("analysis", resources.files("tonearm_analysis") / "migrations")]
    async with (
        temporary_database(components) as url,
        Database.open(url, schema=SCHEMA, size_max=4) as db,
    ):
        outbox = Outbox(source="/tonearm/analysis", clock=SystemClock(), new_id=new_id)
        yield PostgresStore(db, outbox).begin


def stage(name: str = "properties", position: int = 1) -> Stage:
    return Stage(name=name, position=position, total=2, duration_s=0.25, result={"x": [1, None]})


class TestJobs:
    """Each behaviour in transactions of its own."""

    async def test_a_taken_job_counts_its_attempts(self, begin: Begin, job: Job) -> None:
        async with begin() as tx:
            assert await tx.jobs.take(job) == job
        async with begin() as tx:
            assert await tx.jobs.take(job) == replace(job, attempts=2)

    async def test_a_closed_job_is_taken_unchanged(self, begin: Begin, job: Job) -> None:
        async with begin() as tx:
            await tx.jobs.take(job)
            assert await tx.jobs.complete(job.job_id, now=LATER)
        async with begin() as tx:
            again = await tx.jobs.take(job)
        assert again == replace(job, status="completed", finished_at=LATER)

    async def test_a_job_is_closed_once(self, begin: Begin, job: Job) -> None:
        async with begin() as tx:
            await tx.jobs.take(job)
            assert await tx.jobs.fail(job.job_id, code="not_audio", reason="No.", now=LATER)
        async with begin() as tx:
            assert not await tx.jobs.complete(job.job_id, now=LATER)
            assert not await tx.jobs.fail(job.job_id, code="other", reason="No.", now=LATER)
            found = await tx.jobs.find_latest(job.audio_id, account_id=job.account_id)
        assert found is not None
        assert (found.failure_code, found.failure_reason) == ("not_audio", "No.")

    async def test_unknown_jobs_cannot_be_closed(self, begin: Begin) -> None:
        async with begin() as tx:
            assert not await tx.jobs.complete("nobody", now=LATER)
            assert not await tx.jobs.add_stage("nobody", stage())

    async def test_the_newest_job_of_the_owner_is_found(self, begin: Begin, job: Job) -> None:
        newer = replace(job, job_id="j2", requested_at=job.requested_at + timedelta(seconds=1))
        async with begin() as tx:
            await tx.jobs.take(newer)
            await tx.jobs.take(job)
            assert await tx.jobs.find_latest("a1", account_id="anna") == newer
            assert await tx.jobs.find_latest("a1", account_id="bert") is None

    async def test_stages_are_kept_once_and_in_order(self, begin: Begin, job: Job) -> None:
        async with begin() as tx:
            await tx.jobs.take(job)
            assert await tx.jobs.add_stage(job.job_id, stage("rhythm", 2))
            assert await tx.jobs.add_stage(job.job_id, stage("properties", 1))
            assert not await tx.jobs.add_stage(job.job_id, stage("rhythm", 2))
        async with begin() as tx:
            assert [one.name for one in await tx.jobs.stages(job.job_id)] == [
                "properties",
                "rhythm",
            ]

    async def test_the_first_result_of_a_key_stays(
        self, begin: Begin, job: Job, outcome: Outcome
    ) -> None:
        async with begin() as tx:
            await tx.jobs.add_outcome(job.key, outcome, now=LATER)
            await tx.jobs.add_outcome(job.key, replace(outcome, result_id="r2"), now=LATER)
        async with begin() as tx:
            assert await tx.jobs.find_outcome(job.key) == outcome
            assert await tx.jobs.find_outcome(replace(job.key, engine_version="2")) is None

    async def test_a_complete_result_takes_the_place_of_an_incomplete_one(
        self, begin: Begin, job: Job, outcome: Outcome
    ) -> None:
        async with begin() as tx:
            await tx.jobs.add_outcome(job.key, replace(outcome, complete=False), now=LATER)
        async with begin() as tx:
            assert await tx.jobs.find_outcome(job.key) == replace(outcome, complete=False)
            await tx.jobs.add_outcome(job.key, replace(outcome, result_id="r2"), now=LATER)
        async with begin() as tx:
            assert await tx.jobs.find_outcome(job.key) == replace(outcome, result_id="r2")

    async def test_a_shared_result_outlives_one_of_its_recordings(
        self, begin: Begin, job: Job, outcome: Outcome
    ) -> None:
        async with begin() as tx:
            await tx.jobs.take(job)
            await tx.jobs.take(replace(job, job_id="j2", audio_id="a2", account_id="bert"))
            await tx.jobs.add_outcome(job.key, outcome, now=LATER)
            await tx.jobs.delete_audio("a1", now=LATER)
        async with begin() as tx:
            assert await tx.jobs.find_outcome(job.key) == outcome
            await tx.jobs.delete_account("bert")
        async with begin() as tx:
            assert await tx.jobs.find_outcome(job.key) is None
            assert await tx.jobs.is_deleted("a1")
            assert not await tx.jobs.is_deleted("a2")

    async def test_a_failed_transaction_leaves_nothing(self, begin: Begin, job: Job) -> None:
        async def break_off() -> None:
            async with begin() as tx:
                await tx.jobs.take(job)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await break_off()
        async with begin() as tx:
            assert await tx.jobs.find_latest("a1", account_id="anna") is None
