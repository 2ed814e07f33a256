"""A recording: what it is, and how its status moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Status(StrEnum):
    """Where a recording stands. Order of declaration is the order of progress."""

    UPLOADED = "uploaded"
    PROCESSING = "processing"
    FAILED = "failed"
    COMPLETED = "completed"


_RANK = {status: rank for rank, status in enumerate(Status)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What the header of a file tells. None = the header does not say."""

    format: str
    codec: str | None = None
    duration_s: float | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    bit_depth: int | None = None
    bitrate_bps: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the analysis gave up; `code` is stable, `reason` is a sentence."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """One recording of one account. `summary` is that of the last finished analysis."""

    id: str
    account_id: str
    filename: str
    object_key: str
    sha256: str
    size_bytes: int
    properties: Properties
    job_id: str
    reservation_id: str | None
    idempotency_key: str | None
    uploaded_at: datetime
    updated_at: datetime
    status: Status = Status.UPLOADED
    completed_at: datetime | None = None
    failure: Failure | None = None
    summary: Mapping[str, Any] | None = None

    def moved(
        self,
        status: Status,
        *,
        job_id: str,
        at: datetime,
        failure: Failure | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> Self | None:
        """Return the recording in its new status, or None where the news is old.

        Status only goes forward: uploaded, processing, failed, completed. A success after a
        failure counts (the job was run again); the reverse does not. News of another job than
        the current one is old by definition. Replays therefore change nothing.
        """
        if job_id != self.job_id or _RANK[status] <= _RANK[self.status]:
            return None
        return replace(
            self,
            status=status,
            updated_at=max(at, self.updated_at),
            completed_at=at if status is Status.COMPLETED else None,
            failure=failure,
            summary=summary if summary is not None else self.summary,
        )


def object_key(account_id: str, audio_id: str) -> str:
    """Return where the bytes of a recording lie in the object store."""
    return f"accounts/{account_id}/audio/{audio_id}"


def clean_filename(raw: str, *, chars_max: int) -> str:
    """Return the last path component without control characters, at most `chars_max` long.

    The extension survives the cut. An empty name becomes `untitled`.
    """
    name = raw.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(char for char in name if char.isprintable()).strip()
    if name in {"", ".", ".."}:
        return "untitled"
    if len(name) <= chars_max:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > 8:
        return name[:chars_max]
    return stem[: chars_max - len(extension) - 1] + "." + extension
