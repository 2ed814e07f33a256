"""Whatever happens on the way, a job is closed once and told once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tonearm_analysis.domain.errors import (
    NotAnalysable,
    ObjectMissing,
    ObjectStoreAway,
    TimedOut,
    WorkerDied,
)
from tonearm_analysis.usecases.analyze_recording import AnalyzeRecording, Ending, analyze_recording
from tonearm_contracts.events import AnalysisCompleted, AnalysisFailed, AnalysisProgressed
from tonearm_kit.testing.clock import FixedClock

Analyze = Callable[[AnalyzeRecording], Awaitable[Ending]]


@pytest.fixture
def analyze(store: Any, recordings: Any, analyzer: Any, fixed_clock: FixedClock) -> Analyze:
    return partial(
        analyze_recording,
        begin=store.begin,
        recordings=recordings,
        analyzer=analyzer,
        clock=fixed_clock,
        attempts_max=3,
        progress_items_max=10,
    )


async def test_stages_are_told_as_they_end_and_the_result_once(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording
) -> None:
    ending = await analyze(request_)

    assert ending == Ending("completed", analyzer.outcome.engine_duration_s)

    assert store.told == [
        "AnalysisStarted",
        "AnalysisProgressed",
        "AnalysisProgressed",
        "AnalysisCompleted",
    ]
    assert [job.status for job in store.state.jobs.values()] == ["completed"]
    assert len(store.state.results) == 1


async def test_long_curves_stay_out_of_progress_events(
    analyze: Analyze, store: Any, request_: AnalyzeRecording
) -> None:
    await analyze(request_)

    progressed = [one for one in store.state.events if isinstance(one, AnalysisProgressed)]
    assert progressed[0].result == {"value": 1, "omitted": ["curve"]}


async def test_the_same_request_again_says_nothing_new(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording
) -> None:
    await analyze(request_)
    told = list(store.told)

    assert await analyze(request_) == Ending("idle")

    assert store.told == told
    assert analyzer.runs == 1


async def test_equal_bytes_are_analysed_once(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording
) -> None:
    await analyze(request_)
    again = replace(request_, job_id="j2", audio_id="a2", account_id="bert")

    assert await analyze(again) == Ending("reused")

    assert analyzer.runs == 1
    last = store.state.events[-1]
    assert isinstance(last, AnalysisCompleted)
    assert (last.account_id, last.cached) == ("bert", True)


async def test_a_result_with_a_failed_stage_does_not_answer_the_next_upload(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording
) -> None:
    analyzer.outcome = replace(analyzer.outcome, complete=False)
    await analyze(request_)
    await analyze(replace(request_, job_id="j2", audio_id="a2"))

    assert analyzer.runs == 2


async def test_a_crash_in_the_middle_repeats_no_stage(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording
) -> None:
    analyzer.error, analyzer.fails_after = RuntimeError("power cut"), 1
    with pytest.raises(RuntimeError):
        await analyze(request_)

    analyzer.error = None
    await analyze(request_)

    assert store.told == [
        "AnalysisStarted",
        "AnalysisProgressed",
        "AnalysisProgressed",
        "AnalysisCompleted",
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotAnalysable("not_audio", "No audio in it."), "not_audio"),
        (TimedOut(), "timed_out"),
        (WorkerDied(), "worker_died"),
    ],
)
async def test_what_no_retry_can_help_fails_with_its_reason(
    analyze: Analyze,
    store: Any,
    analyzer: Any,
    request_: AnalyzeRecording,
    error: Exception,
    code: str,
) -> None:
    analyzer.error = error

    assert await analyze(request_) == Ending(code)

    last = store.state.events[-1]
    assert isinstance(last, AnalysisFailed)
    assert last.code == code
    assert last.reason
    assert last.quota_reservation_id == "q1"


async def test_wrong_parameters_fail_before_any_work(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording
) -> None:
    analyzer.parameters_error = NotAnalysable("invalid_parameters", "No such profile.")

    await analyze(request_)

    assert store.told == ["AnalysisStarted", "AnalysisFailed"]
    assert analyzer.runs == 0


async def test_missing_bytes_fail_the_job(
    analyze: Analyze, store: Any, recordings: Any, request_: AnalyzeRecording
) -> None:
    recordings.error = ObjectMissing()

    await analyze(request_)

    assert store.state.events[-1].code == "object_missing"


async def test_an_absent_object_store_leaves_the_job_open(
    analyze: Analyze, store: Any, recordings: Any, request_: AnalyzeRecording
) -> None:
    recordings.error = ObjectStoreAway()

    with pytest.raises(ObjectStoreAway):
        await analyze(request_)

    assert store.state.jobs["j1"].is_open


async def test_a_job_that_kills_its_service_is_given_up(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording
) -> None:
    analyzer.error = RuntimeError("the whole service dies")
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await analyze(request_)

    await analyze(request_)

    assert store.state.events[-1].code == "gave_up"


async def test_a_deletion_that_overtook_the_request_wins(
    analyze: Analyze, store: Any, request_: AnalyzeRecording, fixed_clock: FixedClock
) -> None:
    async with store.begin() as tx:
        await tx.jobs.delete_audio(request_.audio_id, now=fixed_clock.now())

    await analyze(request_)

    assert store.told == []
    assert store.state.jobs == {}


async def test_a_deletion_during_the_work_leaves_nothing(
    analyze: Analyze, store: Any, analyzer: Any, request_: AnalyzeRecording, fixed_clock: FixedClock
) -> None:
    plain = analyzer.analyze

    async def deleted_meanwhile(*args: Any, **kwargs: Any) -> Any:
        async for step in plain(*args, **kwargs):
            yield step
            async with store.begin() as tx:
                await tx.jobs.delete_audio(request_.audio_id, now=fixed_clock.now())

    analyzer.analyze = deleted_meanwhile
    await analyze(request_)

    assert store.told == ["AnalysisStarted", "AnalysisProgressed"]
    assert store.state.results == {}
