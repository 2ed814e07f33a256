"""True peak (BS.1770-4, annex 2): the highest value between the samples.

A windowed-sinc interpolator evaluates a grid of points between the samples, of at least
176.4 kHz with the samples themselves, then a finer grid around the highest point. Stretches
that provably hold no new maximum are passed over. No interpolated value exceeds the largest
sample it is made from times the interpolator's gain; and none exceeds its two neighbours by more
than the sharpest bend (second difference) of those samples times another constant, which in music
rules out nearly all that the first bound leaves.

Only points with samples on both sides count. What precedes a recording and follows it is not
known, and taking it for silence would see an overshoot in every tone that starts abruptly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import BUCKET_FRAMES, Floats

TAPS = 16
"""Samples behind each interpolated value; flat within 0.05 dB to 0.42 of the sample rate."""
_KAISER_BETA = 6.0
_FINE = 32
"""Points per sample around the highest of a stretch: what the coarse grid misses."""
_FINE_GAIN = 1.09
"""How far the fine grid may exceed the coarse one: 1 / cos(pi / 8) between quarters of a sample."""
_ROW = 8
_FIRST_BUCKETS = 16
_SPAN = BUCKET_FRAMES + TAPS - 1
"""Samples behind the windows that end in one bucket."""
_ROUNDING = 1 + 1e-5
"""Bounds are float32: this much is more than they may fall short."""


def oversampling(sample_rate_hz: int) -> int:
    """Return the factor that brings a rate to at least 176.4 kHz, at most 4 below 44.1 kHz."""
    if sample_rate_hz >= 176_400:
        return 1
    return 2 if sample_rate_hz >= 88_200 else 4


def interpolator(factor: int) -> Floats:
    """Return the phases between two samples, shape (factor - 1, TAPS); each sums to 1."""
    taps = np.arange(TAPS) - (TAPS // 2 - 1)
    phases = np.arange(1, factor)[:, None] / factor
    reach = taps - phases
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (reach / (TAPS / 2)) ** 2, 0, 1)))
    kernel = np.sinc(reach) * window
    normal: Floats = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


def bend_gain(kernel: Floats) -> float:
    """Return by how much of the sharpest bend a value may exceed the two samples around it.

    kernel: shape (phases, TAPS), each summing to 1. Between the two middle taps lies a mean of
    them that has the same first moment; what is left of a phase sums to nothing and has no first
    moment, so it is a sum of second differences, whose weights are its running sum taken twice.
    """
    places = np.arange(TAPS) - (TAPS // 2 - 1)
    rest = kernel.astype(np.float64)
    moment = rest @ places
    rest[:, TAPS // 2 - 1] -= 1 - moment
    rest[:, TAPS // 2] -= moment
    weights = np.cumsum(np.cumsum(rest, axis=1), axis=1)
    return float(np.abs(weights).sum(axis=1).max())


class TruePeak:
    """Running true peak per channel."""

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        factor = oversampling(sample_rate_hz)
        self._kernel = interpolator(factor)
        self._fine = interpolator(_FINE)
        self._gain = float(np.abs(self._fine).sum(axis=1).max()) * _ROUNDING
        self._bend_gain = bend_gain(self._fine) * _ROUNDING
        self._rows = _row_matrix(self._kernel)
        self._tail = np.empty((channels, 0), dtype=np.float32)
        self._top_before = np.zeros(channels, dtype=np.float32)
        self.peaks = np.zeros(channels)

    def feed(self, planar: Floats, tops: Floats) -> None:
        """Add samples, shape (channels, n), with the greatest magnitude of each bucket."""
        if not planar.shape[1]:
            return
        np.maximum(self.peaks, tops.max(axis=1), out=self.peaks)
        if not len(self._kernel):
            return
        # A window that ends in one bucket may begin in the one before.
        near = np.concatenate([self._top_before[:, None], tops], axis=1)
        near = np.maximum(near[:, 1:], near[:, :-1])
        # Windows that begin in the block before: in music their bound hardly ever exceeds the peak.
        edges = np.concatenate([self._tail, planar[:, : TAPS - 1]], axis=1)
        for index, samples in enumerate(planar):
            if near[index, 0] * self._gain > self.peaks[index] and edges.shape[1] >= TAPS:
                self._note_windows(index, _sliding(edges[index], TAPS))
            self._search(index, samples, near[index])
        self._top_before = tops[:, -2:].max(axis=1)
        last = planar if planar.shape[1] >= TAPS else edges
        self._tail = last[:, -(TAPS - 1) :].copy()

    def _search(self, index: int, samples: Floats, near: Floats) -> None:
        """Look between the samples wherever a bound exceeds the peak, loudest bucket first.

        near: the greatest magnitude behind the windows that end in each bucket.
        """
        windows = len(samples) - TAPS + 1
        if windows < _ROW:
            self._note_windows(index, _sliding(samples, TAPS) if windows > 0 else samples[:0])
            return
        some = np.flatnonzero(near * self._gain > self.peaks[index])
        bounds = self._bounds(samples, near, some)
        over = bounds > self.peaks[index]
        some, bounds = some[over], bounds[over]
        if len(some) > _FIRST_BUCKETS:
            # A few first: their peak rules most of the others out.
            order = np.argsort(-bounds, kind="stable")
            self._look_into(index, samples, some[order[:_FIRST_BUCKETS]])
            left = np.sort(order[_FIRST_BUCKETS:])
            some = some[left[bounds[left] > self.peaks[index]]]
        if len(some):
            self._look_into(index, samples, some)

    def _bounds(self, samples: Floats, near: Floats, buckets: NDArray[np.intp]) -> Floats:
        """Return what no value between the samples of these buckets exceeds."""
        if not len(buckets) or len(samples) < _SPAN:
            return near[buckets] * np.float32(self._gain)
        starts = buckets * BUCKET_FRAMES - (TAPS - 1)
        # Where the first bucket or the last one is cut short, its samples lie in a whole span.
        starts = np.minimum(np.maximum(starts, 0), len(samples) - _SPAN)
        spans = _sliding(samples, _SPAN)[starts]
        steps = spans[:, 1:] - spans[:, :-1]
        bends = steps[:, 1:] - steps[:, :-1]
        np.abs(bends, out=bends)
        bounds: Floats = near[buckets] + np.float32(self._bend_gain) * bends.max(axis=1)
        return bounds

    def _look_into(self, index: int, samples: Floats, buckets: NDArray[np.intp]) -> None:
        starts = buckets[:, None] * BUCKET_FRAMES + np.arange(0, BUCKET_FRAMES, _ROW)
        starts -= TAPS - 1
        last = len(samples) - (_ROW + TAPS - 1)
        starts = np.minimum(np.maximum(starts, 0), last).ravel()
        self._note_rows(index, _sliding(samples, _ROW + TAPS - 1)[starts])

    def _note_rows(self, index: int, rows: Floats) -> None:
        """Take the peak of rows of samples, shape (n, _ROW + TAPS - 1)."""
        between = rows @ self._rows
        for find, top in ((np.argmax, float(between.max())), (np.argmin, -float(between.min()))):
            if top * _FINE_GAIN <= self.peaks[index]:
                continue
            row, column = divmod(int(find(between)), between.shape[1])
            self.peaks[index] = max(self.peaks[index], top)
            place = column % _ROW
            self._note_windows(index, _sliding(rows[row], TAPS)[max(place - 1, 0) : place + 2])

    def _note_windows(self, index: int, windows: Floats) -> None:
        """Take the peak of the fine grid in windows of samples, shape (n, TAPS)."""
        if len(windows):
            top = float(np.abs(windows @ self._fine.T).max())
            self.peaks[index] = max(self.peaks[index], top)


def _sliding(samples: Floats, length: int) -> Floats:
    # What sliding_window_view returns, without the checks that cost more than the view.
    shape, step = (len(samples) - length + 1, length), samples.strides[0]
    return np.ndarray(shape, np.float32, samples, strides=(step, step))


def _row_matrix(kernel: Floats) -> Floats:
    """Return the matrix that maps _ROW + TAPS - 1 samples to the values between _ROW of them.

    Columns run phase by phase.
    """
    phases = len(kernel)
    matrix = np.zeros((_ROW + TAPS - 1, phases, _ROW), dtype=np.float32)
    for column in range(_ROW):
        matrix[column : column + TAPS, :, column] = kernel.T
    return matrix.reshape(_ROW + TAPS - 1, phases * _ROW)
