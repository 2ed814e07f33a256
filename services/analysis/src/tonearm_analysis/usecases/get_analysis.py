"""Tell what is known of a recording's analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tonearm_analysis.domain.errors import AnalysisNotFound, TempoRangeEmpty
from tonearm_analysis.domain.job import Job, Outcome, Stage
from tonearm_analysis.usecases.ports import Begin, RankTempi


@dataclass(frozen=True, slots=True, kw_only=True)
class GetAnalysis:
    """What does the account know of this recording?

    tempo_range_bpm: (low, high); the tempi inside are shown first, whatever the result says.
    """

    audio_id: str
    account_id: str
    tempo_range_bpm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The newest job of a recording, its stages so far, and its result when it has one."""

    job: Job
    stages: Sequence[Stage]
    outcome: Outcome | None


async def get_analysis(query: GetAnalysis, *, begin: Begin, rank: RankTempi) -> Analysis:
    """Return the newest analysis, its tempi ranked for the range that is preferred.

    Raises AnalysisNotFound, also for other people's recordings, and TempoRangeEmpty.
    """
    if query.tempo_range_bpm and query.tempo_range_bpm[0] >= query.tempo_range_bpm[1]:
        raise TempoRangeEmpty
    async with begin() as tx:
        job = await tx.jobs.find_latest(query.audio_id, account_id=query.account_id)
        if job is None:
            raise AnalysisNotFound
        if job.status != "completed":
            return Analysis(job=job, stages=await tx.jobs.stages(job.job_id), outcome=None)
        outcome = await tx.jobs.find_outcome(job.key)
    if outcome is not None and query.tempo_range_bpm is not None:
        ranked = await rank(outcome.result, query.tempo_range_bpm)
        outcome = replace(outcome, result=ranked)
    return Analysis(job=job, stages=(), outcome=outcome)
