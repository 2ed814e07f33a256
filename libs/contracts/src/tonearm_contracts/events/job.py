"""What analysis says of its jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from tonearm_contracts import topics
from tonearm_contracts.envelope import EventData


class AnalysisSummary(BaseModel):
    """The few numbers that lists and dashboards show. None means the engine answered "none"."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    duration_s: float
    tempo_bpm: float | None
    tempo_confidence: float | None
    key: str | None
    """Tonic and mode, for example `F# minor`."""
    key_confidence: float | None
    loudness_lufs: float | None
    """Integrated loudness, BS.1770; None for silence."""
    meter: str | None = None


class _JobEvent(EventData):
    TOPIC: ClassVar[str] = topics.ANALYSIS_JOB.name

    job_id: str
    audio_id: str
    account_id: str

    def key(self) -> str:
        """Return the recording's id: the events of one recording stay in order."""
        return self.audio_id


class AnalysisStarted(_JobEvent):
    """A worker took the job."""

    TYPE: ClassVar[str] = "tonearm.analysis.started.v1"

    engine_version: str
    started_at: datetime


class AnalysisProgressed(_JobEvent):
    """One stage finished; `result` holds what it found."""

    TYPE: ClassVar[str] = "tonearm.analysis.progressed.v1"

    stage: str
    stages_done: int
    stages_total: int
    stage_duration_s: float
    result: dict[str, Any]
    """Partial result of this stage, as in the stored result under the stage's name."""
    error: str | None = None
    """Set when the stage failed; the others go on."""


class AnalysisCompleted(_JobEvent):
    """The whole result is stored and can be fetched."""

    TYPE: ClassVar[str] = "tonearm.analysis.completed.v1"

    result_id: str
    """Hash of (decoded PCM hash, engine version, parameters)."""
    engine_version: str
    engine_duration_s: float
    cached: bool
    """True when the same bytes had been analysed before with the same engine and parameters."""
    summary: AnalysisSummary
    quota_reservation_id: str | None = None
    completed_at: datetime


class AnalysisFailed(_JobEvent):
    """The recording cannot be analysed; trying again will not help."""

    TYPE: ClassVar[str] = "tonearm.analysis.failed.v1"

    code: str
    """Stable reason: `not_audio`, `truncated`, `too_long`, `timed_out`, `worker_died`, ..."""
    reason: str
    quota_reservation_id: str | None = None
    failed_at: datetime


class AnalysisCorrected(_JobEvent):
    """A person corrected a value; `overrides` holds the new ones."""

    TYPE: ClassVar[str] = "tonearm.analysis.corrected.v1"

    overrides: dict[str, Any]
    corrected_at: datetime
