"""What a client sees of a recording. No field has a default, so every field is always there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from tonearm_ingest.domain.audio import Audio, Status
from tonearm_ingest.domain.formats import media_type
from tonearm_ingest.usecases.browse import Page


class FailureView(BaseModel):
    """Why the analysis gave up."""

    code: str
    reason: str


class LinksView(BaseModel):
    """Where to go from here, relative to the server."""

    self: str
    download: str
    analysis: str


class AudioView(BaseModel):
    """A recording. null where the file's header does not say."""

    model_config = ConfigDict(frozen=True)

    id: str
    filename: str
    status: Status
    format: str
    media_type: str
    codec: str | None
    size_bytes: int
    sha256: str
    duration_s: float | None
    sample_rate_hz: int | None
    channels: int | None
    bit_depth: int | None
    bitrate_bps: int | None
    tags: dict[str, str]
    job_id: str
    failure: FailureView | None
    summary: dict[str, Any] | None
    uploaded_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    links: LinksView

    @classmethod
    def of(cls, audio: Audio) -> Self:
        """Return the view of a recording."""
        properties = audio.properties
        path = f"/v1/audio/{audio.id}"
        return cls(
            id=audio.id,
            filename=audio.filename,
            status=audio.status,
            format=properties.format,
            media_type=media_type(properties.format),
            codec=properties.codec,
            size_bytes=audio.size_bytes,
            sha256=audio.sha256,
            duration_s=properties.duration_s,
            sample_rate_hz=properties.sample_rate_hz,
            channels=properties.channels,
            bit_depth=properties.bit_depth,
            bitrate_bps=properties.bitrate_bps,
            tags=dict(properties.tags),
            job_id=audio.job_id,
            failure=(
                FailureView(code=audio.failure.code, reason=audio.failure.reason)
                if audio.failure
                else None
            ),
            summary=None if audio.summary is None else dict(audio.summary),
            uploaded_at=audio.uploaded_at,
            updated_at=audio.updated_at,
            completed_at=audio.completed_at,
            links=LinksView(self=path, download=f"{path}/download", analysis=f"{path}/analysis"),
        )


class PageView(BaseModel):
    """One page of a library; pass `next_cursor` as `cursor` for the next, null at the end."""

    items: list[AudioView]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page) -> Self:
        """Return the view of a page."""
        return cls(items=[AudioView.of(item) for item in page.items], next_cursor=page.next_cursor)
