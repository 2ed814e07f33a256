"""Tell what is known of a recording's analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tonearm_analysis.domain.errors import AnalysisNotFound
from tonearm_analysis.domain.job import Job, Outcome, Stage
from tonearm_analysis.usecases.ports import Begin


@dataclass(frozen=True, slots=True, kw_only=True)
class GetAnalysis:
    """What does the account know of this recording?"""

    audio_id: str
    account_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The newest job of a recording, its stages so far, and its result when it has one."""

    job: Job
    stages: Sequence[Stage]
    outcome: Outcome | None


async def get_analysis(query: GetAnalysis, *, begin: Begin) -> Analysis:
    """Return the newest analysis. Raises AnalysisNotFound, also for other people's recordings."""
    async with begin() as tx:
        job = await tx.jobs.find_latest(query.audio_id, account_id=query.account_id)
        if job is None:
            raise AnalysisNotFound
        if job.status == "completed":
            return Analysis(job=job, stages=(), outcome=await tx.jobs.find_outcome(job.key))
        return Analysis(job=job, stages=await tx.jobs.stages(job.job_id), outcome=None)
