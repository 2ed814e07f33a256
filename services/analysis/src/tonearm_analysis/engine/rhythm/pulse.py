"""Beat times from decoded frames, and what can be measured along them.

Times here count from the first frame, in seconds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ, Floats

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Curve = npt.NDArray[np.floating]

TEMPO_SPAN_BEATS: Final = 8


def beat_times_s(frames: Ints, activation: Floats) -> Doubles:
    """Each decoded frame moved to the strongest activation near it, between frames by a parabola.

    frames: (n,), increasing.  activation: one number a frame.  Returns (n,) seconds, increasing.
    """
    near = frames[:, None] + np.arange(-1, 3)[None]
    inside = (near >= 0) & (near < len(activation))
    values = np.where(inside, activation[np.clip(near, 0, len(activation) - 1)], -1.0)
    peak = near[np.arange(len(frames)), values.argmax(axis=1)]
    last = len(activation) - 1
    middle = np.clip(peak, 1, max(last - 1, 1))
    around = activation[np.clip(middle + np.arange(-1, 2)[:, None], 0, last)]
    before, top, after = np.log(around.astype(np.float64) + 1e-6)
    bend = before - 2 * top + after
    shift = 0.5 * (before - after) / np.where(bend < -1e-9, bend, -1.0)
    shift = np.where((bend < -1e-9) & (peak == middle), np.clip(shift, -0.5, 0.5), 0.0)
    times = np.asarray((peak + shift) / FRAME_RATE_HZ, np.float64)
    return times[np.concatenate([[True], np.diff(times) > 0.0])] if len(times) else times


def tempo_bpm(times_s: Doubles) -> float:
    """Median tempo over eight-beat spans (shorter when beats are few); 0 for fewer than three."""
    n = len(times_s)
    if n < 3:
        return 0.0
    span = min(TEMPO_SPAN_BEATS, max(1, n // 3))
    return 60.0 / float(np.median((times_s[span:] - times_s[:-span]) / span))


def strongest_near(curve: Curve, times_s: Doubles, *, reach: int = 1) -> Doubles:
    """The curve's maximum within `reach` frames of each time, shape (n,)."""
    frame = np.clip(np.round(times_s * FRAME_RATE_HZ).astype(int), 0, len(curve) - 1)
    near = np.clip(frame + np.arange(-reach, reach + 1)[:, None], 0, len(curve) - 1)
    return np.asarray(curve[near].max(axis=0), np.float64)


def widened(curve: Curve) -> Doubles:
    """At every frame the curve's maximum there and one frame to either side, shape (n,)."""
    padded = np.pad(curve.astype(np.float64), 1, mode="edge")
    return np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])


def within_beats(curve: Curve, times_s: Doubles, part: float) -> Doubles:
    """The curve's maximum near the given part of every beat but the last, shape (n - 1,)."""
    return strongest_near(curve, times_s[:-1] + np.diff(times_s) * part)


def onset_peaks(onsets: Curve) -> npt.NDArray[np.bool_]:
    """Where the onset curve has a local maximum that stands out of its surroundings, shape (n,)."""
    peaks = np.zeros(len(onsets), bool)
    if len(onsets) < 3:
        return peaks
    around = np.convolve(np.pad(onsets, 7, mode="edge"), np.ones(15) / 15, "valid")
    middle = onsets[1:-1]
    peak = (middle > onsets[:-2]) & (middle >= onsets[2:])
    loud = (middle > 1.3 * around[1:-1]) & (middle > 0.02)
    peaks[1:-1] = peak & loud
    return peaks


def onset_count(onsets: Curve) -> int:
    """Number of peaks of the onset curve."""
    return int(np.count_nonzero(onset_peaks(onsets)))
