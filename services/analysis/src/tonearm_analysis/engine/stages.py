"""The stages of an analysis, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STAGES: tuple[str, ...] = (
    "properties",
    "waveform",
    "loudness",
    "spectral",
    "rhythm",
    "harmony",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What one stage found, or why it found nothing.

    stage: one of STAGES.  index: 1 for the first stage; equals the number of stages done.
    duration_s: seconds spent in this stage alone (decoding counts as `properties`).
    value: the JSON of the stage's part in `AnalysisResult`; None exactly when `error` is set.
    error: one sentence; the other stages go on.
    """

    stage: str
    index: int
    total: int
    duration_s: float
    value: dict[str, Any] | None
    error: str | None = None
