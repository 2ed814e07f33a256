"""Results over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tonearm_analysis.domain.errors import AnalysisNotFound, TempoRangeEmpty
from tonearm_analysis.usecases.get_analysis import Analysis, GetAnalysis
from tonearm_contracts.analysis_result import AnalysisResult
from tonearm_kit.http import problems
from tonearm_kit.tokens import Caller


class _StoredResult:
    """Describes a stored document by the model that wrote it; its bytes are served as they are."""

    def __get_pydantic_json_schema__(
        self, _own: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(AnalysisResult.__pydantic_core_schema__)


Result = Annotated[Mapping[str, Any], _StoredResult()]


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
    result: Result | None

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


TEMPO_BPM_MIN, TEMPO_BPM_MAX = 20.0, 400.0

Tempo = Annotated[
    float | None,
    Query(
        ge=TEMPO_BPM_MIN,
        le=TEMPO_BPM_MAX,
        description="The tempi from `tempo_min_bpm` to `tempo_max_bpm` are ranked first.",
    ),
]


def routes(*, get: Callable[[GetAnalysis], Awaitable[Analysis]]) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/audio", tags=["analysis"])

    @router.get(
        "/{audio_id}/analysis",
        responses=problems(AnalysisNotFound, TempoRangeEmpty),
    )
    async def get_analysis(
        audio_id: Annotated[str, Path(max_length=64)],
        caller: Caller,
        tempo_min_bpm: Tempo = None,
        tempo_max_bpm: Tempo = None,
    ) -> AnalysisView:
        """Return the newest analysis of a recording, or its stages so far.

        A preferred tempo range ranks the finished result's readings anew; nothing is analysed
        again, and `result_id` stays that of the stored result.
        """
        query = GetAnalysis(
            audio_id=audio_id,
            account_id=caller.account_id,
            tempo_range_bpm=_range(tempo_min_bpm, tempo_max_bpm),
        )
        return AnalysisView.of(await get(query))

    return router


def _range(low: float | None, high: float | None) -> tuple[float, float] | None:
    if low is None and high is None:
        return None
    return (TEMPO_BPM_MIN if low is None else low, TEMPO_BPM_MAX if high is None else high)
