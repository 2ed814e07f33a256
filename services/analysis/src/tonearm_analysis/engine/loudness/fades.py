"""Fade-in and fade-out, from momentary loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.loudness.gating import HOPS_PER_S as POINTS_PER_S

Doubles = NDArray[np.float64]

MOMENTARY_S = 0.4

FADE_S_MIN = 1.5
FADE_LU_MIN = 15.0
"""How far a fade leads down, at least."""
PLATEAU_LU = 3.0
"""A fall is looked at from where loudness last came this close to its usual level."""
_STRAIGHTNESS_MIN = 0.85
_FLOOR_LUFS = -80.0
_SMOOTH_POINTS = 10


def fade_out_s(levels: Doubles) -> float | None:
    """Return how many seconds before the end a fade-out starts, or None.

    levels: momentary loudness, POINTS_PER_S, from the first to the last sound, LUFS.
    A fade leads down by at least FADE_LU_MIN within at least FADE_S_MIN, without a pause in
    its fall (its decline correlates with time): an abrupt ending or a single decaying note
    does not count. It starts where the line of its fall meets the usual level.
    """
    if len(levels) < 4 * _SMOOTH_POINTS:
        return None
    held = np.maximum(levels, _FLOOR_LUFS)
    smooth = np.lib.stride_tricks.sliding_window_view(held, _SMOOTH_POINTS).mean(axis=1)
    usual = float(np.median(smooth))
    first = int(np.flatnonzero(smooth >= usual - PLATEAU_LU)[-1])
    fall = smooth[first:]
    if len(fall) < FADE_S_MIN * POINTS_PER_S or fall[0] - fall[-1] < FADE_LU_MIN:
        return None
    at = np.arange(len(fall)) - (len(fall) - 1) / 2
    if -float(np.corrcoef(at, fall)[0, 1]) < _STRAIGHTNESS_MIN:
        return None
    slope = float(np.dot(at, fall) / np.dot(at, at))
    meets = (usual - float(fall.mean())) / slope + (len(fall) - 1) / 2
    start = first + min(max(meets, -1.0 * _SMOOTH_POINTS), len(fall)) + _SMOOTH_POINTS / 2
    return (len(levels) - start) / POINTS_PER_S


def fades_s(
    momentary: Doubles, *, steps_per_point: int, start_s: float, end_s: float
) -> tuple[float | None, float | None]:
    """Return (end of the fade-in, start of the fade-out); None where there is none.

    momentary: of the whole recording, so many steps per point; start_s, end_s: first and last
    sound.
    """
    steps_per_s = steps_per_point * POINTS_PER_S
    first, last = int(start_s * steps_per_s), int(end_s * steps_per_s)
    sounding = momentary[first : max(last, first) : steps_per_point]
    rise_s, fall_s = fade_out_s(sounding[::-1]), fade_out_s(sounding)
    # The last window ends with the sound: its centre lies half a window earlier.
    sound_end_s = start_s + (len(sounding) + MOMENTARY_S * POINTS_PER_S) / POINTS_PER_S
    return (
        None if rise_s is None else start_s + rise_s + MOMENTARY_S / 2,
        None if fall_s is None else max(sound_end_s - fall_s - MOMENTARY_S / 2, 0.0),
    )
