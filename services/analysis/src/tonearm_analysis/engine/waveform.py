"""Stage `waveform`: peaks for display at several zooms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import BUCKET_FRAMES, Block, Floats

LEVEL_POINTS = (128, 512, 2048)
"""Points of each zoom, coarse to fine; the finest still fits an event."""
BUCKETS_MAX = 1 << 16
FULL_SCALE = 127


class WaveformCollector:
    """Keeps the extremes of at most BUCKETS_MAX stretches, whatever the duration.

    When they are full, neighbours are joined and the stretches double: extremes of joined
    stretches are exact.
    """

    def __init__(self, *, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._bucket_frames = BUCKET_FRAMES
        self._minima: list[Floats] = []
        self._maxima: list[Floats] = []
        self._rest = np.empty((2, 0), dtype=np.float32)
        self._count = 0
        self._frames = 0

    def feed(self, block: Block) -> None:
        """Add a block."""
        self._frames += len(block.frames)
        if not block.minima.size:
            return
        fresh = np.stack([block.minima.min(axis=0), block.maxima.max(axis=0)])
        self._rest = np.concatenate([self._rest, fresh], axis=1)
        while (ratio := self._bucket_frames // BUCKET_FRAMES) <= self._rest.shape[1]:
            stretches = min(self._rest.shape[1] // ratio, BUCKETS_MAX - self._count)
            self._keep(_join(self._rest[:, : stretches * ratio], ratio))
            self._rest = self._rest[:, stretches * ratio :]
            if self._count == BUCKETS_MAX:
                self._double()

    def finish(self) -> dict[str, Any]:
        """Return the part `waveform` of the result."""
        if self._rest.shape[1]:
            self._keep(_join(self._rest, self._rest.shape[1]))
        if not self._count:
            return {"levels": []}
        minima, maxima = np.concatenate(self._minima), np.concatenate(self._maxima)
        return {"levels": [self._level(minima, maxima, points) for points in LEVEL_POINTS]}

    def _keep(self, pairs: Floats) -> None:
        self._minima.append(pairs[0])
        self._maxima.append(pairs[1])
        self._count += pairs.shape[1]

    def _double(self) -> None:
        pairs = np.stack([np.concatenate(self._minima), np.concatenate(self._maxima)])
        joined = _join(pairs, 2)
        self._minima, self._maxima = [joined[0]], [joined[1]]
        self._count = joined.shape[1]
        self._bucket_frames *= 2

    def _level(self, minima: Floats, maxima: Floats, points: int) -> dict[str, Any]:
        points = min(points, len(minima))
        starts = np.arange(points) * len(minima) // points
        return {
            "points": points,
            "seconds_per_point": self._frames / self._sample_rate_hz / points,
            "minima": _steps(np.minimum.reduceat(minima, starts)),
            "maxima": _steps(np.maximum.reduceat(maxima, starts)),
        }


def _join(pairs: Floats, ratio: int) -> Floats:
    if ratio == 1 or not pairs.shape[1]:
        return pairs
    groups = pairs.reshape(2, -1, ratio)
    return np.stack([groups[0].min(axis=1), groups[1].max(axis=1)])


def _steps(values: NDArray[np.float32]) -> list[int]:
    held = np.clip(values.astype(np.float64), -1, 1)
    steps: list[int] = np.rint(held * FULL_SCALE).astype(np.int64).tolist()
    return steps
