"""Results over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from tonearm_analysis.domain.errors import AnalysisNotFound
from tonearm_analysis.usecases.get_analysis import Analysis, GetAnalysis
from tonearm_kit.http import problems
from tonearm_kit.tokens import Caller, TokenExpired, TokenInvalid, TokenMissing


class StageView(BaseModel):
    """One finished stage of an analysis that is not complete."""

    model_config = ConfigDict(frozen=True)

    stage: str
    duration_s: float
    error: str | None
    result: Mapping[str, Any]


class FailureView(BaseModel):
    """Why a recording could not be analysed."""

    model_config = ConfigDict(frozen=True)

    code: str
    reason: str


class AnalysisView(BaseModel):
    """The newest analysis of a recording: its result, its failure, or its stages so far."""

    model_config = ConfigDict(frozen=True)

    audio_id: str
    job_id: str
    status: Literal["processing", "completed", "failed"]
    engine_version: str
    requested_at: datetime
    finished_at: datetime | None
    engine_duration_s: float | None
    failure: FailureView | None
    stages: list[StageView]
    result: Mapping[str, Any] | None

    @classmethod
    def of(cls, analysis: Analysis) -> AnalysisView:
        """Show *analysis* to its owner."""
        job, outcome = analysis.job, analysis.outcome
        failure = None
        if job.failure_code is not None:
            failure = FailureView(code=job.failure_code, reason=job.failure_reason or "")
        return cls(
            audio_id=job.audio_id,
            job_id=job.job_id,
            status=job.status,
            engine_version=job.key.engine_version,
            requested_at=job.requested_at,
            finished_at=job.finished_at,
            engine_duration_s=None if outcome is None else outcome.engine_duration_s,
            failure=failure,
            stages=[
                StageView(
                    stage=stage.name,
                    duration_s=stage.duration_s,
                    error=stage.error,
                    result=stage.result,
                )
                for stage in analysis.stages
            ],
            result=None if outcome is None else outcome.result,
        )


def routes(*, get: Callable[[GetAnalysis], Awaitable[Analysis]]) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/audio", tags=["analysis"])

    @router.get(
        "/{audio_id}/analysis",
        responses=problems(AnalysisNotFound, TokenMissing, TokenInvalid, TokenExpired),
    )
    async def get_analysis(
        audio_id: Annotated[str, Path(max_length=64)], caller: Caller
    ) -> AnalysisView:
        """Return the newest analysis of a recording, or its stages so far."""
        query = GetAnalysis(audio_id=audio_id, account_id=caller.account_id)
        return AnalysisView.of(await get(query))

    return router
