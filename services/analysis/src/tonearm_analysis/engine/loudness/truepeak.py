"""True peak (BS.1770-4, annex 2): the highest value between the samples.

A windowed-sinc interpolator evaluates a grid of points between the samples, of at least
176.4 kHz with the samples themselves, then a finer grid around the highest point. Stretches
that provably hold no new maximum are passed over: no interpolated value exceeds the largest
sample it is made from times the interpolator's gain.

Only points with samples on both sides count. What precedes a recording and follows it is not
known, and taking it for silence would see an overshoot in every tone that starts abruptly.
"""

from __future__ import annotations

import numpy as np

from tonearm_analysis.engine.blocks import BUCKET_FRAMES, Floats

TAPS = 16
"""Samples behind each interpolated value; flat within 0.05 dB to 0.42 of the sample rate."""
_KAISER_BETA = 6.0
_FINE = 32
"""Points per sample around the highest of a stretch: what the coarse grid misses."""
_ROW = 8
_STRETCH_BUCKETS = 8
_STRETCH = _STRETCH_BUCKETS * BUCKET_FRAMES


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


class TruePeak:
    """Running true peak per channel."""

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        factor = oversampling(sample_rate_hz)
        self._kernel = interpolator(factor)
        self._fine = interpolator(_FINE)
        self._gain = float(np.abs(self._fine).sum(axis=1).max())
        self._rows = _row_matrix(self._kernel)
        self._tail = np.empty((channels, 0), dtype=np.float32)
        self.peaks = np.zeros(channels)

    def feed(self, planar: Floats) -> None:
        """Add samples, shape (channels, n)."""
        if not planar.shape[1]:
            return
        np.maximum(self.peaks, planar.max(axis=1), out=self.peaks)
        np.maximum(self.peaks, -planar.min(axis=1), out=self.peaks)
        if len(self._kernel):
            joined = np.concatenate([self._tail, planar], axis=1)
            for index, samples in enumerate(joined):
                self._search(index, samples)
            self._tail = joined[:, -(TAPS - 1) :]

    def _search(self, index: int, samples: Floats) -> None:
        outputs = len(samples) - TAPS + 1  # none, if the recording is shorter than a window
        for start in range(0, outputs, _STRETCH):
            stretch = samples[start : start + _STRETCH + TAPS - 1]
            top = max(float(stretch.max()), -float(stretch.min()))
            if top * self._gain <= self.peaks[index]:
                continue
            self.peaks[index] = max(self.peaks[index], self._highest(stretch))

    def _highest(self, stretch: Floats) -> float:
        outputs = len(stretch) - TAPS + 1
        short = -outputs % _ROW
        if short:
            stretch = np.concatenate([stretch, np.zeros(short, dtype=np.float32)])
        rows = np.lib.stride_tricks.sliding_window_view(stretch, _ROW + TAPS - 1)[::_ROW]
        between = rows @ self._rows
        if short:
            # What the padding made up must not count.
            between.reshape(len(rows), -1, _ROW)[-1, :, _ROW - short :] = 0
        return self._refined(stretch, np.abs(between))

    def _refined(self, stretch: Floats, between: Floats) -> float:
        """Return the peak near the highest point of the grid, on a finer one.

        stretch: samples; between: magnitudes, shape (rows, phases * _ROW), of the grid's points.
        """
        row, column = divmod(int(between.argmax()), between.shape[1])
        place = row * _ROW + column % _ROW
        near = slice(max(place - 1, 0), place + 2)
        windows = np.lib.stride_tricks.sliding_window_view(stretch, TAPS)[near]
        return max(float(between[row, column]), float(np.abs(windows @ self._fine.T).max()))


def _row_matrix(kernel: Floats) -> Floats:
    """Return the matrix that maps _ROW + TAPS - 1 samples to the values between _ROW of them.

    Columns run phase by phase.
    """
    phases = len(kernel)
    matrix = np.zeros((_ROW + TAPS - 1, phases, _ROW), dtype=np.float32)
    for column in range(_ROW):
        matrix[column : column + TAPS, :, column] = kernel.T
    return matrix.reshape(_ROW + TAPS - 1, phases * _ROW)
