"""The picture of sound that the beat networks were trained on: quarter-tone bands, 50 a second."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

Floats = npt.NDArray[np.float32]

SAMPLE_RATE_HZ: Final = 22_050
HOP_SAMPLES: Final = 441
WINDOW_SAMPLES: Final = 1_411
FRAME_RATE_HZ: Final = SAMPLE_RATE_HZ / HOP_SAMPLES
N_BANDS: Final = 136
LOW_BANDS: Final = slice(0, 36)  # up to about 600 Hz: kick drum and bass
HIGH_BANDS: Final = slice(100, N_BANDS)  # from about 4 kHz: hi-hat, snare, consonants

_BLOCK_FRAMES: Final = 128
# Low bands end where high bands start: some narrow products instead of a wide one of zeros.
_CUTS: Final = (0, 40, 70, 96, 118, N_BANDS)
_BANDS_PER_OCTAVE: Final = 24
_LOWEST_HZ: Final = 30.0
_REFERENCE_HZ: Final = 440.0


class Bank(NamedTuple):
    """The window and the triangles that turn a stretch of sound into band magnitudes."""

    window: Floats
    triangles: Floats  # (bins, bands)


def _band_edges(n_bins: int) -> npt.NDArray[np.int64]:
    """Bins nearest to the quarter-tone grid around A=440, doubles dropped."""
    bin_hz = np.arange(n_bins) * (SAMPLE_RATE_HZ / 2.0 / n_bins)
    nyquist_hz = SAMPLE_RATE_HZ / 2.0
    low = np.floor(np.log2(_LOWEST_HZ / _REFERENCE_HZ) * _BANDS_PER_OCTAVE)
    high = np.ceil(np.log2(17_000.0 / _REFERENCE_HZ) * _BANDS_PER_OCTAVE)
    grid = _REFERENCE_HZ * 2.0 ** (np.arange(low, high) / _BANDS_PER_OCTAVE)
    grid = grid[(grid >= _LOWEST_HZ) & (grid <= max(17_000.0, nyquist_hz))]
    right = np.clip(np.searchsorted(bin_hz, grid), 1, n_bins - 1)
    nearer_left = grid - bin_hz[right - 1] < bin_hz[right] - grid
    return np.unique(np.where(nearer_left, right - 1, right))


@cache
def bank() -> Bank:
    """Symmetric Hann window and triangles of sum one; the same object at every call."""
    n_bins = WINDOW_SAMPLES // 2
    edges = _band_edges(n_bins)
    triangles = np.zeros((n_bins, len(edges) - 2), np.float32)
    for band, (start, centre, stop) in enumerate(
        zip(edges[:-2], edges[1:-1], edges[2:], strict=True)
    ):
        if stop - start < 2:
            centre, stop = start, start + 1
        rise = np.arange(start, centre)
        fall = np.arange(centre, stop)
        triangles[rise, band] = (rise - start) / max(centre - start, 1)
        triangles[fall, band] = 1.0 - (fall - centre) / (stop - centre)
        triangles[:, band] /= triangles[:, band].sum()
    return Bank(np.hanning(WINDOW_SAMPLES).astype(np.float32), triangles)


class _Part(NamedTuple):
    """Some neighbouring bands: which ones, of which bins, and their triangles there."""

    bands: slice
    bins: slice
    triangles: Floats


@cache
def _parts() -> tuple[_Part, ...]:
    triangles = bank().triangles
    parts = []
    for first, end in pairwise(_CUTS):
        used = np.flatnonzero(triangles[:, first:end].any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1)
        own = np.ascontiguousarray(triangles[bins, first:end])
        parts.append(_Part(slice(first, end), bins, own))
    return tuple(parts)


def log_bands(padded: Floats, n_frames: int) -> Floats:
    """Band levels log10(1 + magnitude), shape (n_frames, 136).

    padded: mono sound at 22 050 Hz; frame k covers samples 441 k to 441 k + 1411 of it.
    """
    window = bank().window
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    levels = np.empty((n_frames, N_BANDS), np.float32)
    for start in range(0, n_frames, _BLOCK_FRAMES):
        stop = min(start + _BLOCK_FRAMES, n_frames)
        magnitudes = np.abs(rfft(frames[start:stop] * window, axis=1, overwrite_x=True))
        for part in _parts():
            levels[start:stop, part.bands] = magnitudes[:, part.bins] @ part.triangles
    levels += np.float32(1.0)
    return np.log10(levels, out=levels)
