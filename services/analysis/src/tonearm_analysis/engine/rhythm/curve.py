"""Tempo over time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm.model import TempoPoint
from tonearm_analysis.engine.rhythm.pulse import TEMPO_SPAN_BEATS

Doubles = npt.NDArray[np.float64]


def _span(times_s: Doubles) -> int:
    return min(TEMPO_SPAN_BEATS, max(1, len(times_s) // 3))


def tempo_curve(times_s: Doubles, *, step_s: float = 2.0) -> tuple[TempoPoint, ...]:
    """Tempo of eight-beat spans around a moment every two seconds; empty for few beats."""
    span = _span(times_s)
    middle = (times_s[span:] + times_s[:-span]) / 2
    if len(middle) < 2:
        return ()
    bpm = 60.0 * span / (times_s[span:] - times_s[:-span])
    when = np.arange(middle[0], middle[-1] + 1e-9, step_s)
    return tuple(
        TempoPoint(round(float(t), 3), round(float(v), 2))
        for t, v in zip(when, np.interp(when, middle, bpm), strict=True)
    )


def stability(times_s: Doubles) -> float:
    """1 where every eight-beat span has the same tempo, 0 where they differ by a fifth."""
    span = _span(times_s)
    gaps = (times_s[span:] - times_s[:-span]) / span
    if len(gaps) < 2:
        return 0.0
    spread = float(np.percentile(gaps, 90) - np.percentile(gaps, 10)) / float(np.median(gaps))
    return round(float(np.clip(1.0 - 5.0 * spread, 0.0, 1.0)), 4)
