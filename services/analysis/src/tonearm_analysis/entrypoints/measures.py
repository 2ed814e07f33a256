"""What analysis measures of its jobs, beside what every consumer has."""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Meter

from tonearm_analysis.domain.errors import TimedOut, WorkerDied
from tonearm_analysis.usecases.analyze_recording import GAVE_UP, Ending
from tonearm_kit import telemetry

OUTCOMES_OF_OURS: Final = (WorkerDied.code, TimedOut.code, GAVE_UP)
"""Ends of jobs that are no fault of the recording's and that operators are woken for."""


class JobMeasures:
    """Counts jobs by how they ended."""

    def __init__(self, meter: Meter | None = None) -> None:
        meter = meter or telemetry.meter(__name__)
        self._jobs = meter.create_counter(
            "tonearm.analysis.jobs",
            unit="{job}",
            description="Runs of jobs by outcome: completed, reused (a stored result of equal "
            "bytes), idle (nothing left to do) or the code of the failure.",
        )
        # A series that begins at 1 has not increased: an alert would sleep through the first one.
        for outcome in OUTCOMES_OF_OURS:
            self._jobs.add(0, {"outcome": outcome})
        self._engine_duration = meter.create_histogram(
            "tonearm.analysis.engine.duration",
            unit="s",
            description="What the engine took for one recording.",
            explicit_bucket_boundaries_advisory=[0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 300],
        )

    def count(self, ending: Ending) -> None:
        """Count one run of a job."""
        self._jobs.add(1, {"outcome": ending.outcome})
        if ending.engine_duration_s is not None:
            self._engine_duration.record(ending.engine_duration_s)
