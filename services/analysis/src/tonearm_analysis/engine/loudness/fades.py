"""Fade-in and fade-out, from momentary loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.loudness.kweighting import STEPS_PER_S

Doubles = NDArray[np.float64]

FADE_S_MIN = 1.5
FADE_LU_MIN = 15.0
"""How far a fade leads down, at least."""
PLATEAU_LU = 3.0
"""A fade begins where loudness last came this close to its usual level."""
_STRAIGHTNESS_MIN = 0.85
_FLOOR_LUFS = -80.0
_SMOOTH_STEPS = 10


def fade_out_steps(momentary: Doubles) -> int | None:
    """Return how many steps before the end a fade-out starts, or None.

    momentary: loudness every 100 ms from the first to the last sound, LUFS.
    A fade leads down by at least FADE_LU_MIN within at least FADE_S_MIN, without a pause in
    its fall (its decline correlates with time): an abrupt ending or a single decaying note
    does not count.
    """
    if len(momentary) < 4 * _SMOOTH_STEPS:
        return None
    levels = np.maximum(momentary, _FLOOR_LUFS)
    smooth = np.lib.stride_tricks.sliding_window_view(levels, _SMOOTH_STEPS).mean(axis=1)
    usual = float(np.median(smooth))
    near = np.flatnonzero(smooth >= usual - PLATEAU_LU)
    start = int(near[-1])
    fall = smooth[start:]
    if len(fall) < FADE_S_MIN * STEPS_PER_S or fall[0] - fall[-1] < FADE_LU_MIN:
        return None
    straightness = -float(np.corrcoef(np.arange(len(fall)), fall)[0, 1])
    return len(fall) if straightness >= _STRAIGHTNESS_MIN else None


def fades_s(
    momentary: Doubles, *, start_s: float, end_s: float
) -> tuple[float | None, float | None]:
    """Return (end of the fade-in, start of the fade-out); None where there is none.

    momentary: every 100 ms of the whole recording; start_s, end_s: first and last sound.
    """
    first, last = int(start_s * STEPS_PER_S), int(end_s * STEPS_PER_S)
    sounding = momentary[first : max(last, first)]
    rise, fall = fade_out_steps(sounding[::-1]), fade_out_steps(sounding)
    return (
        None if rise is None else start_s + rise / STEPS_PER_S,
        None if fall is None else max(end_s - fall / STEPS_PER_S, 0.0),
    )
