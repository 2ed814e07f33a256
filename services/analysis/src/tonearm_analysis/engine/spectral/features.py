"""Per-frame features, each as librosa defines it with its default arguments.

Magnitudes have shape (frames, bins); bin k lies at k * rate / FRAME_LENGTH Hz.
References: librosa.feature.{spectral_centroid, spectral_bandwidth, spectral_rolloff,
spectral_flatness, spectral_contrast, zero_crossing_rate, rms, melspectrogram, mfcc}.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, Floats
from tonearm_analysis.engine.spectral.frames import FRAME_LENGTH, HOP_LENGTH

ROLLOFF_SHARE = 0.85
POWER_FLOOR = 1e-10
MEL_BANDS = 128
MEL_PART = 16
MFCC_COUNT = 20
CONTRAST_BANDS = 7
_CONTRAST_LOW_HZ = 200.0
_CONTRAST_QUANTILE = 0.02
_BINS = FRAME_LENGTH // 2 + 1
_GROUP = 32
_ZERO = 1e-10
"""Samples closer to zero than this count as zero for crossings."""


@cache
def bin_hz() -> Floats:
    """Return the frequency of each bin."""
    return (np.arange(_BINS) * (LOW_RATE_HZ / FRAME_LENGTH)).astype(np.float32)


@cache
def _window() -> Floats:
    phase = 2 * np.pi * np.arange(FRAME_LENGTH) / FRAME_LENGTH
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def magnitudes(frames: Floats) -> Floats:
    """Return the magnitude spectrum of Hann-windowed frames."""
    spectrum = scipy.fft.rfft(frames * _window(), axis=1, overwrite_x=True)
    sizes: Floats = np.abs(spectrum)
    return sizes


def row_sums(rows: Floats) -> Floats:
    """Return the sum of each row: a product, several times faster than adding along an axis."""
    sums: Floats = rows @ _ones(rows.shape[-1])
    return sums


@cache
def _ones(count: int) -> Floats:
    return np.ones(count, dtype=np.float32)


@cache
def _moment_weights() -> Floats:
    hz = bin_hz()
    return np.stack([np.ones_like(hz), hz, hz * hz], axis=1)


def moments(magnitudes: Floats) -> tuple[Floats, Floats, Floats]:
    """Return (sum of magnitudes, centroid in Hz, bandwidth in Hz); zero for empty frames."""
    sums = magnitudes @ _moment_weights()
    total = sums[:, 0].astype(np.float64)
    heard = total > np.finfo(np.float32).tiny
    safe = np.where(heard, total, 1.0)
    centroid = np.where(heard, sums[:, 1] / safe, 0.0)
    variance = np.where(heard, sums[:, 2] / safe, 0.0) - centroid**2
    bandwidth = np.sqrt(np.maximum(variance, 0.0))
    return sums[:, 0], centroid.astype(np.float32), bandwidth.astype(np.float32)


def rolloff_hz(magnitudes: Floats) -> Floats:
    """Return the lowest bin's frequency at which 85 % of the magnitude is reached.

    The sum runs over groups of bins first, then within the group that reaches the share.
    """
    count = len(magnitudes)
    groups = magnitudes[:, : _BINS - 1].reshape(count, -1, _GROUP)
    running = np.cumsum(row_sums(groups), axis=1)
    wanted = np.float32(ROLLOFF_SHARE) * (running[:, -1] + magnitudes[:, -1])
    reached = running >= wanted[:, None]
    group = np.argmax(reached, axis=1)
    rows = np.arange(count)
    before = np.where(group > 0, running[rows, group - 1], np.float32(0))
    within = np.cumsum(groups[rows, group], axis=1) + before[:, None]
    # Rounding may leave the group's own sum a shade short: then its last bin it is.
    within[:, -1] = np.inf
    bins = group * _GROUP + np.argmax(within >= wanted[:, None], axis=1)
    bins[~reached[:, -1]] = _BINS - 1
    hz: Floats = bin_hz()[bins]
    return hz


def flatness(power: Floats) -> Floats:
    """Return geometric over arithmetic mean of the power spectrum: 1 for white noise."""
    floored = np.maximum(power, np.float32(POWER_FLOOR))
    mean = row_sums(floored) / np.float32(_BINS)
    np.log(floored, out=floored)
    ratio: Floats = np.exp(row_sums(floored) / np.float32(_BINS)) / mean
    return ratio


@cache
def _contrast_bands() -> tuple[tuple[int, int, int], ...]:
    """Return (first bin, end bin, bins in each tail) per band."""
    hz = np.arange(_BINS) * (LOW_RATE_HZ / FRAME_LENGTH)
    edges = [0.0, *(_CONTRAST_LOW_HZ * 2.0**octave for octave in range(CONTRAST_BANDS))]
    bands = []
    for index in range(CONTRAST_BANDS):
        inside = np.flatnonzero((hz >= edges[index]) & (hz <= edges[index + 1]))
        first, end = int(inside[0]), int(inside[-1]) + 1
        first -= 1 if index > 0 else 0
        last_band = index == CONTRAST_BANDS - 1
        end = _BINS if last_band else end
        # The share is taken of the band with its upper edge, the values without it.
        tail = max(1, round(_CONTRAST_QUANTILE * (end - first)))
        bands.append((first, end if last_band else end - 1, tail))
    return tuple(bands)


def contrast_extremes(magnitudes: Floats) -> tuple[Floats, Floats]:
    """Return (peaks, valleys) per octave band, shape (frames, CONTRAST_BANDS) each.

    The mean of the highest and of the lowest 2 % of the band's bins.
    """
    bands = _contrast_bands()
    starts = [first for first, _, tail in bands if tail == 1]
    # One bin in each tail: the lowest bands, side by side. For rows this short, faster than
    # reducing an axis.
    lowest = magnitudes[:, : bands[len(starts) - 1][1]]
    peaks, valleys = np.empty((2, len(magnitudes), CONTRAST_BANDS), dtype=np.float32)
    np.maximum.reduceat(lowest, starts, axis=1, out=peaks[:, : len(starts)])
    np.minimum.reduceat(lowest, starts, axis=1, out=valleys[:, : len(starts)])
    for band, (first, end, tail) in enumerate(bands[len(starts) :], len(starts)):
        # A whole sort of short rows is faster than a partition at both ends.
        ordered = np.sort(magnitudes[:, first:end], axis=1)
        valleys[:, band] = row_sums(ordered[:, :tail]) / np.float32(tail)
        peaks[:, band] = row_sums(ordered[:, -tail:]) / np.float32(tail)
    return peaks, valleys


def power_db(power: Floats) -> Floats:
    """Return decibels over 1, floored at POWER_FLOOR, without librosa's top_db."""
    db: Floats = np.float32(10) * np.log10(np.maximum(power, np.float32(POWER_FLOOR)))
    return db


def mel_powers(power: Floats) -> Floats:
    """Return the power in each mel band, shape (frames, MEL_BANDS)."""
    # Each band spans few bins: several narrow products instead of a wide one.
    powers = np.empty((len(power), MEL_BANDS), dtype=np.float32)
    for part, (first, end, weights) in enumerate(_mel_parts()):
        bands = slice(part * MEL_PART, (part + 1) * MEL_PART)
        np.matmul(power[:, first:end], weights, out=powers[:, bands])
    return powers


@cache
def _mel_parts() -> tuple[tuple[int, int, Floats], ...]:
    """Return (first bin, end bin, their weights) of each MEL_PART bands."""
    parts = []
    for band in range(0, MEL_BANDS, MEL_PART):
        weights = mel_weights()[:, band : band + MEL_PART]
        bins = np.flatnonzero(weights.any(axis=1))
        first, end = int(bins[0]), int(bins[-1]) + 1
        parts.append((first, end, np.ascontiguousarray(weights[first:end])))
    return tuple(parts)


@cache
def mel_weights() -> Floats:
    """Return the mel filter bank (Slaney's scale and norm), shape (bins, MEL_BANDS)."""
    hz = np.arange(_BINS) * (LOW_RATE_HZ / FRAME_LENGTH)
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(LOW_RATE_HZ / 2), MEL_BANDS + 2))
    rise = (hz[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - hz[:, None]) / np.diff(edges)[1:]
    weights = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))
    return np.ascontiguousarray(weights.astype(np.float32))


_MEL_HZ = 200.0 / 3
_LOG_FROM_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    if hz < _LOG_FROM_HZ:
        return hz / _MEL_HZ
    return float(_LOG_FROM_HZ / _MEL_HZ + np.log(hz / _LOG_FROM_HZ) / _LOG_STEP)


def _mel_to_hz(
    mel: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    log_from = _LOG_FROM_HZ / _MEL_HZ
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mel - log_from))
    return np.where(mel < log_from, mel * _MEL_HZ, logarithmic)


def mfcc(mel_db: Floats) -> Floats:
    """Return the first MFCC_COUNT coefficients (DCT-II, orthonormal) per frame."""
    coefficients: Floats = scipy.fft.dct(mel_db, type=2, axis=1, norm="ortho")[:, :MFCC_COUNT]
    return coefficients


def crossing_rates(samples: Floats, *, first: int, end: int) -> Floats:
    """Return the share of sign changes in each frame of a batch; one at its start is not its own.

    samples: of the batch. first, end: where in them the signal starts and ends; beyond lie zeros,
    which it does not cross into.
    """
    negative = samples < -np.float32(_ZERO)
    changes = np.zeros(len(samples), dtype=np.bool_)
    np.not_equal(negative[1:], negative[:-1], out=changes[1:])
    for edge in (first, end):
        if 0 <= edge < len(changes):
            changes[edge] = False
    # Eight flags are one word, whose bits are counted.
    words = np.bitwise_count(changes.view(np.uint64)).astype(np.float32)
    within = hop_windows(row_sums(words.reshape(-1, HOP_LENGTH // 8)))
    starts = changes[: len(within) * HOP_LENGTH : HOP_LENGTH]
    rates: Floats = ((within - starts) / FRAME_LENGTH).astype(np.float32)
    return rates


def rms(samples: Floats) -> Floats:
    """Return the root mean square of each frame of a batch, from the samples behind them."""
    hops = samples.reshape(-1, HOP_LENGTH)
    levels: Floats = np.sqrt(hop_windows(np.vecdot(hops, hops)) / np.float32(FRAME_LENGTH))
    return levels


def hop_windows(hops: NDArray[Any]) -> NDArray[Any]:
    """Return the sums over each frame, given those over each hop."""
    count = len(hops) - FRAME_LENGTH // HOP_LENGTH + 1
    total = hops[:count].copy()
    for lag in range(1, FRAME_LENGTH // HOP_LENGTH):
        total += hops[lag : lag + count]
    return total
