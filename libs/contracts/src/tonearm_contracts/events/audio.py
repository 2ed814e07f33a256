"""What ingest says of recordings, and how it asks for an analysis."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from tonearm_contracts import topics
from tonearm_contracts.envelope import EventData


class _AudioEvent(EventData):
    TOPIC: ClassVar[str] = topics.INGEST_AUDIO.name

    audio_id: str
    account_id: str

    def key(self) -> str:
        """Return the recording's id."""
        return self.audio_id


class AudioUploaded(_AudioEvent):
    """The bytes of a recording are stored and will be analysed."""

    TYPE: ClassVar[str] = "tonearm.audio.uploaded.v1"

    filename: str
    sha256: str
    """Hex SHA-256 of the stored bytes."""
    size_bytes: int
    format: str
    codec: str | None
    duration_s: float | None
    sample_rate_hz: int | None
    channels: int | None
    uploaded_at: datetime


class AudioUpdated(_AudioEvent):
    """The status or the description of a recording changed."""

    TYPE: ClassVar[str] = "tonearm.audio.updated.v1"

    status: Literal["uploaded", "processing", "completed", "failed"]
    filename: str
    reason: str | None = None


class AudioDeleted(_AudioEvent):
    """A recording and its bytes are gone."""

    TYPE: ClassVar[str] = "tonearm.audio.deleted.v1"


class AnalysisRequested(_AudioEvent):
    """Please analyse this recording."""

    TYPE: ClassVar[str] = "tonearm.analysis.requested.v1"
    TOPIC: ClassVar[str] = topics.ANALYSIS_REQUEST.name
    ALSO_ON: ClassVar[tuple[str, ...]] = (topics.ANALYSIS_REQUEST_PRIORITY.name,)

    job_id: str
    object_key: str
    sha256: str
    size_bytes: int
    format: str
    lane: Literal["standard", "priority"]
    quota_reservation_id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
