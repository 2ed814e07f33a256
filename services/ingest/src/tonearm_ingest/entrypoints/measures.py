"""What ingest measures at its doors, beside what every HTTP route has."""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Counter

from tonearm_ingest.domain.errors import (
    EntitlementsUnavailable,
    StoreUnavailable,
    TooManyUploads,
    UnfinishedUploadsFull,
    UploadLost,
)
from tonearm_ingest.usecases.sweep import Swept
from tonearm_kit import telemetry

OUTCOMES_OF_OURS: Final = (
    StoreUnavailable.code,
    EntitlementsUnavailable.code,
    UploadLost.code,
    TooManyUploads.code,
    UnfinishedUploadsFull.code,
)
"""Refusals of uploads that operators look after (docs/operations.md)."""

_meter = telemetry.meter(__name__)

UPLOADS = _meter.create_counter(
    "tonearm.ingest.uploads",
    unit="{upload}",
    description="Uploads by outcome (accepted, replayed, or the code of the refusal) and format.",
)
UPLOAD_SIZE = _meter.create_histogram(
    "tonearm.ingest.upload.size",
    unit="By",
    description="Size of accepted files.",
    explicit_bucket_boundaries_advisory=[10.0**power for power in range(3, 11)],
)
UPLOADS_RUNNING = _meter.create_up_down_counter(
    "tonearm.ingest.uploads.running",
    unit="{upload}",
    description="Uploads that are being received.",
)
RESUMABLE = _meter.create_counter(
    "tonearm.ingest.resumable",
    unit="{upload}",
    description="Resumable uploads by event: opened, partial_opened, finished, given_up, expired.",
)
RESUMABLE_SIZE = _meter.create_counter(
    "tonearm.ingest.resumable.size",
    unit="By",
    description="Bytes that were added to resumable uploads and kept.",
)
SWEPT = _meter.create_counter(
    "tonearm.ingest.sweep.objects",
    unit="{object}",
    description="Ownerless objects that were removed from the object store.",
)
SWEEP_OVERDUE = _meter.create_gauge(
    "tonearm.ingest.sweep.overdue",
    unit="s",
    description="How long the oldest ownerless object or expired upload of a sweep had been due.",
)
STATUS_MOVES = _meter.create_counter(
    "tonearm.ingest.status.moves",
    unit="{move}",
    description="Recordings that moved to a status, by status.",
)


def begin_counts(uploads: Counter = UPLOADS) -> None:
    """Give the refusals that somebody is woken for a 0: a series that begins at 1 never increased."""
    for outcome in OUTCOMES_OF_OURS:
        uploads.add(0, {"outcome": outcome})


def count_swept(swept: Swept) -> None:
    """Measure one sweep."""
    SWEPT.add(swept.n_objects)
    RESUMABLE.add(swept.n_uploads, {"event": "expired"})
    SWEEP_OVERDUE.set(swept.overdue_s)
