"""Distributions of frame values in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import Floats

ROWS_MAX = 1 << 16
"""Frames kept for percentiles: 25 minutes at 43 frames/s; longer recordings are thinned."""
PERCENTILES = (5, 25, 50, 75, 95)


class FrameTable:
    """Frames of several values each: exact mean and deviation, percentiles of kept frames.

    Once ROWS_MAX frames are kept, every second one is let go and the pace doubles, so what is
    kept always covers the recording evenly.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._rows = np.empty((1024, columns), dtype=np.float32)
        self._kept = 0
        self._pace = 1
        self.frames = 0
        self._mean = np.zeros(columns)
        self._squares = np.zeros(columns)

    def add(self, rows: Floats) -> None:
        """Add frames, shape (n, columns)."""
        if not len(rows):
            return
        self._merge_moments(rows)
        first = -self.frames % self._pace
        self.frames += len(rows)
        chosen = rows[first :: self._pace]
        while len(chosen):
            room = ROWS_MAX - self._kept
            self._append(chosen[:room])
            chosen = chosen[room:]
            if self._kept == ROWS_MAX:
                self._thin()
                chosen = chosen[::2]

    def column(self, index: int) -> Floats:
        """Return the kept values of one column, in order of time."""
        return self._rows[: self._kept, index]

    def stats(self) -> list[dict[str, Any]]:
        """Return one `Stats` per column; zeros when there are no frames."""
        if not self.frames:
            return [dict.fromkeys(_NAMES, 0.0) for _ in range(self._columns)]
        deviations = np.sqrt(self._squares / self.frames)
        spread = _percentiles(self._rows[: self._kept])
        table = np.vstack([self._mean, deviations, spread])
        return [
            dict(zip(_NAMES, map(float, column), strict=True)) for column in np.transpose(table)
        ]

    def _append(self, rows: Floats) -> None:
        needed = self._kept + len(rows)
        if needed > len(self._rows):
            size = min(ROWS_MAX, max(needed, 2 * len(self._rows)))
            grown = np.empty((size, self._columns), dtype=np.float32)
            grown[: self._kept] = self._rows[: self._kept]
            self._rows = grown
        self._rows[self._kept : needed] = rows
        self._kept = needed

    def _thin(self) -> None:
        half = self._rows[: self._kept : 2].copy()
        self._kept = len(half)
        self._rows[: self._kept] = half
        self._pace *= 2

    def _merge_moments(self, rows: Floats) -> None:
        exact: NDArray[np.float64] = rows.astype(np.float64)
        count, mean = len(exact), exact.mean(axis=0)
        squares = ((exact - mean) ** 2).sum(axis=0)
        total = self.frames + count
        step = mean - self._mean
        self._squares += squares + step**2 * (self.frames * count / total)
        self._mean += step * (count / total)


def _percentiles(rows: Floats) -> NDArray[np.float64]:
    """Return PERCENTILES of each column, between neighbours linearly: numpy.percentile's default.

    A sort of contiguous float32 is several times faster than its partition in float64.
    """
    ordered = np.sort(np.ascontiguousarray(rows.T), axis=1)
    places = np.array(PERCENTILES) / 100 * (ordered.shape[1] - 1)
    below = np.floor(places).astype(np.intp)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    low, high = ordered[:, below].astype(np.float64), ordered[:, above].astype(np.float64)
    return np.asarray((low + (high - low) * (places - below)).T, np.float64)


_NAMES = ("mean", "sd", *(f"p{percentile}" for percentile in PERCENTILES))
