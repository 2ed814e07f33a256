"""Beat times from decoded frames, and what can be measured along them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ, Floats

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TEMPO_SPAN_BEATS: Final = 8


def beat_times_s(frames: Ints, activation: Floats) -> Doubles:
    """Each decoded frame moved to the strongest activation near it, between frames by a parabola.

    frames: (n,), increasing.  activation: one number a frame.  Returns (n,) seconds.
    """
    near = frames[:, None] + np.arange(-1, 3)[None]
    inside = (near >= 0) & (near < len(activation))
    values = np.where(inside, activation[np.clip(near, 0, len(activation) - 1)], -1.0)
    peak = near[np.arange(len(frames)), values.argmax(axis=1)]
    log = np.log(activation.astype(np.float64) + 1e-6)
    middle = np.clip(peak, 1, max(len(log) - 2, 1))
    before, top, after = (log[np.clip(middle + k, 0, len(log) - 1)] for k in (-1, 0, 1))
    bend = before - 2 * top + after
    shift = 0.5 * (before - after) / np.where(bend < -1e-9, bend, -1.0)
    shift = np.where((bend < -1e-9) & (peak == middle), np.clip(shift, -0.5, 0.5), 0.0)
    return np.asarray((peak + shift) / FRAME_RATE_HZ, np.float64)


def tempo_bpm(times_s: Doubles) -> float:
    """Median tempo over eight-beat spans (shorter when beats are few); 0 for fewer than three."""
    n = len(times_s)
    if n < 3:
        return 0.0
    span = min(TEMPO_SPAN_BEATS, max(1, n // 3))
    return 60.0 / float(np.median((times_s[span:] - times_s[:-span]) / span))


def strength_at(curve: npt.NDArray[np.floating], times_s: Doubles, *parts: float) -> float:
    """Mean of a curve, its maximum over three frames, at the given parts of every beat."""
    gaps = np.diff(times_s)
    when = np.concatenate([times_s[:-1] + gaps * part for part in parts])
    frame = np.round(when * FRAME_RATE_HZ).astype(int)
    frame = frame[(frame >= 0) & (frame < len(curve))]
    if not len(frame):
        return 0.0
    near = np.clip(frame[None] + np.array([[-1], [0], [1]]), 0, len(curve) - 1)
    return float(curve[near].max(axis=0).mean())


def with_beats_between(times_s: Doubles) -> Doubles:
    """Twice the beats: one more in the middle of each gap."""
    middles = (times_s[1:] + times_s[:-1]) / 2
    return np.sort(np.concatenate([times_s, middles]))


def onset_count(onsets: npt.NDArray[np.floating]) -> int:
    """Number of local maxima of the onset curve that stand out of their surroundings."""
    if len(onsets) < 3:
        return 0
    kernel = np.ones(15) / 15
    around = np.convolve(np.pad(onsets, 7, mode="edge"), kernel, "valid")
    middle = onsets[1:-1]
    peak = (middle > onsets[:-2]) & (middle >= onsets[2:])
    loud = (middle > 1.3 * around[1:-1]) & (middle > 0.02)
    return int((peak & loud).sum())
