"""What can go wrong here, each with a stable code."""

from __future__ import annotations

from tonearm_kit.errors import AppError, Kind


class AnalysisNotFound(AppError):
    """No analysis of this recording is known."""

    code = "analysis_not_found"
    kind = Kind.NOT_FOUND


class ObjectMissing(AppError):
    """The bytes of the recording are not in the object store."""

    code = "object_missing"
    kind = Kind.NOT_FOUND


class ObjectStoreAway(AppError):
    """The object store does not answer; the job will be tried again."""

    code = "object_store_away"
    kind = Kind.UNAVAILABLE
    retryable = True


class WorkerDied(AppError):
    """The process that analysed the recording died; its memory may not have sufficed."""

    code = "worker_died"
    kind = Kind.INTERNAL


class TimedOut(AppError):
    """The analysis took longer than allowed."""

    code = "timed_out"
    kind = Kind.INTERNAL


class NotAnalysable(AppError):
    """The recording cannot be analysed."""

    code = "not_analysable"
    kind = Kind.INVALID

    def __init__(self, reason_code: str, detail: str) -> None:
        super().__init__(detail)
        self.reason_code = reason_code


class TempoRangeEmpty(AppError):
    """No tempo lies between tempo_min_bpm and tempo_max_bpm."""

    code = "tempo_range_empty"
    kind = Kind.INVALID
