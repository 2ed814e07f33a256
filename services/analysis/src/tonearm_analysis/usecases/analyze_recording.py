"""Analyse one recording: stages as they come, one result, one last word."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

from tonearm_analysis.domain.errors import NotAnalysable, ObjectMissing, TimedOut, WorkerDied
from tonearm_analysis.domain.job import (
    Job,
    JsonValue,
    Outcome,
    ResultKey,
    Stage,
    hash_parameters,
    without_long_lists,
)
from tonearm_analysis.usecases.ports import Analyzer, Begin, Finished, Recordings
from tonearm_contracts.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisProgressed,
    AnalysisStarted,
    AnalysisSummary,
)
from tonearm_kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeRecording:
    """Please analyse the bytes at `object_key`."""

    job_id: str
    audio_id: str
    account_id: str
    object_key: str
    sha256: str
    size_bytes: int
    parameters: Mapping[str, JsonValue]
    quota_reservation_id: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run of a job ended: `completed`, `reused`, `idle` or the code of its failure.

    `reused` took the stored result of equal bytes; `idle` had nothing left to do.
    `engine_duration_s` is what the engine took, seconds, where it ran to its end.
    """

    outcome: str
    engine_duration_s: float | None = None


IDLE = Ending("idle")
GAVE_UP = "gave_up"


async def analyze_recording(
    cmd: AnalyzeRecording,
    *,
    begin: Begin,
    recordings: Recordings,
    analyzer: Analyzer,
    clock: Clock,
    attempts_max: int,
    progress_items_max: int,
) -> Ending:
    """Take the job, run the engine, store the result and announce it.

    May run any number of times for one job: the job is closed once, each stage is announced
    once, and a job whose service died is taken up again, `attempts_max` times at most.
    Raises AppErrors that are retryable (the object store is away); all other ends are told as
    AnalysisFailed.
    """
    job = await _take(cmd, begin=begin, analyzer=analyzer, clock=clock)
    if isinstance(job, Ending):
        return job
    if job.attempts > attempts_max:
        detail = f"The analysis was begun {attempts_max} times and never ended."
        return await _fail(job, GAVE_UP, detail, begin=begin, clock=clock)
    try:
        stored = await _find_complete(job, begin=begin)
        if stored is not None:
            return await _complete(job, stored, reused=True, begin=begin, clock=clock)
        ending = IDLE
        async with (
            recordings.fetch(cmd.object_key, size_bytes=cmd.size_bytes) as path,
            aclosing(analyzer.analyze(path, parameters=job.parameters)) as steps,
        ):
            async for step in steps:
                if isinstance(step, Finished):
                    ending = await _complete(
                        job, step.outcome, reused=False, begin=begin, clock=clock
                    )
                else:
                    await _tell(job, step, begin=begin, items_max=progress_items_max)
        return ending
    except NotAnalysable as error:
        return await _fail(job, error.reason_code, error.detail, begin=begin, clock=clock)
    except (ObjectMissing, TimedOut, WorkerDied) as error:
        return await _fail(job, error.code, error.detail, begin=begin, clock=clock)


async def _take(
    cmd: AnalyzeRecording, *, begin: Begin, analyzer: Analyzer, clock: Clock
) -> Job | Ending:
    """Return the open job, or how it ended where there is nothing left to do."""
    wrong: NotAnalysable | None = None
    parameters: Mapping[str, JsonValue] = cmd.parameters
    try:
        parameters = analyzer.canonical(cmd.parameters)
    except NotAnalysable as error:
        wrong = error
    now = clock.now()
    async with begin() as tx:
        if await tx.jobs.is_deleted(cmd.audio_id):
            return IDLE
        job = await tx.jobs.take(
            Job(
                job_id=cmd.job_id,
                audio_id=cmd.audio_id,
                account_id=cmd.account_id,
                status="processing",
                attempts=1,
                key=ResultKey(
                    content_sha256=cmd.sha256,
                    engine_version=analyzer.engine_version,
                    parameters_sha256=hash_parameters(parameters),
                ),
                parameters=parameters,
                quota_reservation_id=cmd.quota_reservation_id,
                requested_at=now,
            )
        )
        if not job.is_open:
            return IDLE
        if job.attempts == 1:
            await tx.announce(
                AnalysisStarted(
                    job_id=job.job_id,
                    audio_id=job.audio_id,
                    account_id=job.account_id,
                    engine_version=job.key.engine_version,
                    started_at=now,
                )
            )
    if wrong is not None:
        return await _fail(job, wrong.reason_code, wrong.detail, begin=begin, clock=clock)
    return job


async def _tell(job: Job, stage: Stage, *, begin: Begin, items_max: int) -> None:
    async with begin() as tx:
        told = without_long_lists(stage.result, items_max=items_max)
        if await tx.jobs.add_stage(job.job_id, stage):
            await tx.announce(
                AnalysisProgressed(
                    job_id=job.job_id,
                    audio_id=job.audio_id,
                    account_id=job.account_id,
                    stage=stage.name,
                    stages_done=stage.position,
                    stages_total=stage.total,
                    stage_duration_s=stage.duration_s,
                    result=dict(told),
                    error=stage.error,
                )
            )


async def _find_complete(job: Job, *, begin: Begin) -> Outcome | None:
    async with begin() as tx:
        outcome = await tx.jobs.find_outcome(job.key)
    return outcome if outcome is not None and outcome.complete else None


async def _complete(
    job: Job, outcome: Outcome, *, reused: bool, begin: Begin, clock: Clock
) -> Ending:
    now = clock.now()
    async with begin() as tx:
        if not await tx.jobs.complete(job.job_id, now=now):
            return IDLE
        if not reused:
            await tx.jobs.add_outcome(job.key, outcome, now=now)
        await tx.announce(
            AnalysisCompleted(
                job_id=job.job_id,
                audio_id=job.audio_id,
                account_id=job.account_id,
                result_id=outcome.result_id,
                engine_version=job.key.engine_version,
                engine_duration_s=outcome.engine_duration_s,
                cached=reused,
                summary=AnalysisSummary.model_validate(outcome.summary),
                quota_reservation_id=job.quota_reservation_id,
                completed_at=now,
            )
        )
    return Ending("reused") if reused else Ending("completed", outcome.engine_duration_s)


async def _fail(job: Job, code: str, reason: str, *, begin: Begin, clock: Clock) -> Ending:
    now = clock.now()
    async with begin() as tx:
        if not await tx.jobs.fail(job.job_id, code=code, reason=reason, now=now):
            return IDLE
        await tx.announce(
            AnalysisFailed(
                job_id=job.job_id,
                audio_id=job.audio_id,
                account_id=job.account_id,
                code=code,
                reason=reason,
                quota_reservation_id=job.quota_reservation_id,
                failed_at=now,
            )
        )
    return Ending(code)
