"""The ear of profile `fast`, and a part of that of `full`: a small convolutional network.

It hears coarse bands and was taught by the three networks of crnn.py.  It looks ten seconds to
either side and no further, so a long recording is read in windows with as much around each as it
can see: the same windows however the sound comes in, and values as if all had been read at once.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.fft import rfft

from tonearm_analysis.engine.models import open_network
from tonearm_analysis.engine.rhythm.bands import (
    HIGH_BANDS,
    HOP_SAMPLES,
    LOW_BANDS,
    SAMPLE_RATE_HZ,
    Floats,
    bank,
)
from tonearm_analysis.engine.rhythm.bands import WINDOW_SAMPLES as FULL_WINDOW_SAMPLES

NETWORK: Final = "beat_student"
N_BANDS: Final = 48
# A power of two: a frame's spectrum takes a fifth of the time that 1,411 samples take.
WINDOW_SAMPLES: Final = 1_024
# Frames measured at once.  Products of as many rows each sum alike wherever the sound was cut.
GROUP_FRAMES: Final = 128
# How far the network sees to either side, in frames: its convolutions' reach, twice 252 pairs.
REACH_FRAMES: Final = 504
# Frames read at once, two minutes; even, since the network takes frames in pairs.
SPAN_FRAMES: Final = 6_000
# Bands centred on one bin each end where these begin, one per quarter of an octave or so.
_FIRST_WIDE_BIN: Final = 16
_LAST_BIN: Final = 500
_N_WIDE_EDGES: Final = 34
# Low, middle and high bands: narrow products instead of a wide one of zeros.
_CUTS: Final = (0, 16, 32, N_BANDS)


class StudentEar:
    """Hears sound of one level; an `Ear` of listening.py."""

    def __init__(self) -> None:
        self.activations: list[Floats] = []
        self.onsets: list[Floats] = []
        self._network = open_network(NETWORK)
        self._sound = np.zeros(WINDOW_SAMPLES // 2, np.float32)
        self._sound_samples = 0
        self._n_frames = 0
        self._last: Floats | None = None
        self._features: list[Floats] = []
        self._ahead_frames = 0  # measured and not read
        self._behind_frames = 0  # read and kept for the sake of the next

    def hear(self, sound: Floats) -> None:
        """Hear the next samples."""
        self._sound_samples += len(sound)
        self._sound = np.concatenate([self._sound, sound])
        n_ready = (len(self._sound) - WINDOW_SAMPLES) // HOP_SAMPLES + 1
        if n_ready >= GROUP_FRAMES:
            self._measure(n_ready // GROUP_FRAMES * GROUP_FRAMES)
        while self._ahead_frames >= SPAN_FRAMES + REACH_FRAMES:
            self._read(SPAN_FRAMES)

    def finish(self) -> None:
        """Hear the end of the sound."""
        n_left = -(-self._sound_samples // HOP_SAMPLES) - self._n_frames
        if n_left > 0:
            self._sound = np.concatenate([self._sound, np.zeros(WINDOW_SAMPLES, np.float32)])
            self._measure(n_left)
        while self._ahead_frames:
            self._read(min(self._ahead_frames, SPAN_FRAMES))

    def _measure(self, n_frames: int) -> None:
        """Turn the first `n_frames` frames of the kept sound into features."""
        features = np.empty((n_frames, 2 * N_BANDS), np.float32)
        levels, rises = features[:, :N_BANDS], features[:, N_BANDS:]
        levels[:] = coarse_bands(self._sound, n_frames)
        self._sound = self._sound[n_frames * HOP_SAMPLES :]
        np.subtract(levels[0], levels[0] if self._last is None else self._last, out=rises[0])
        np.subtract(levels[1:], levels[:-1], out=rises[1:])
        np.maximum(rises, 0.0, out=rises)
        self._last = levels[-1].copy()
        for start in range(0, n_frames, GROUP_FRAMES):
            self.onsets.append(rises[start : start + GROUP_FRAMES] @ _onset_shares())
        self._features.append(features)
        self._n_frames += n_frames
        self._ahead_frames += n_frames

    def _read(self, count: int) -> None:
        """Run the network over the next `count` frames and what it can see around them."""
        kept = np.concatenate(self._features)
        behind = self._behind_frames
        seen = kept[: behind + count + REACH_FRAMES]
        even = np.concatenate([seen, np.zeros((len(seen) % 2, 2 * N_BANDS), np.float32)])
        (read,) = self._network.run(["probabilities"], {"features": even})
        self.activations.append(read[behind : behind + count, :2].copy())
        self._ahead_frames -= count
        self._behind_frames = min(REACH_FRAMES, behind + count)
        self._features = [kept[behind + count - self._behind_frames :].copy()]


@cache
def _triangles() -> Floats:
    """Weights that turn a spectrum's magnitudes into bands, (513, 48): one bin each up to 345 Hz.

    They stand for those of the longer window of the teachers, at its scale.
    """
    wide = np.geomspace(_FIRST_WIDE_BIN, _LAST_BIN, _N_WIDE_EDGES).round().astype(np.int64)
    edges = np.union1d(np.arange(_FIRST_WIDE_BIN + 1), wide)
    triangles = np.zeros((WINDOW_SAMPLES // 2 + 1, len(edges) - 2), np.float32)
    for band, (start, centre, stop) in enumerate(
        zip(edges[:-2], edges[1:-1], edges[2:], strict=True)
    ):
        triangles[start:centre, band] = np.arange(centre - start) / (centre - start)
        triangles[centre:stop, band] = 1.0 - np.arange(stop - centre) / (stop - centre)
    triangles *= np.float32(FULL_WINDOW_SAMPLES / WINDOW_SAMPLES) / triangles.sum(axis=0)
    return triangles


@cache
def _parts() -> tuple[tuple[slice, slice, Floats], ...]:
    """Neighbouring bands, the bins that they need, and their weights there."""
    parts = []
    for first, end in pairwise(_CUTS):
        used = np.flatnonzero(_triangles()[:, first:end].any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1)
        own = np.ascontiguousarray(_triangles()[bins, first:end])
        parts.append((slice(first, end), bins, own))
    return tuple(parts)


@cache
def _window() -> Floats:
    return np.hanning(WINDOW_SAMPLES).astype(np.float32)


def coarse_bands(padded: Floats, n_frames: int) -> Floats:
    """Band levels log10(1 + magnitude), shape (n_frames, 48).

    padded: mono sound at 22 050 Hz; frame k covers samples 441 k to 441 k + 1024 of it.
    """
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    levels = np.empty((n_frames, N_BANDS), np.float32)
    windowed = np.empty((GROUP_FRAMES, WINDOW_SAMPLES), np.float32)
    magnitudes = np.empty((GROUP_FRAMES, WINDOW_SAMPLES // 2 + 1), np.float32)
    for start in range(0, n_frames, GROUP_FRAMES):
        stop = min(start + GROUP_FRAMES, n_frames)
        count = stop - start
        np.multiply(frames[start:stop], _window(), out=windowed[:count])
        np.abs(rfft(windowed[:count], axis=1), out=magnitudes[:count])
        for bands, bins, triangles in _parts():
            levels[start:stop, bands] = magnitudes[:count, bins] @ triangles
    levels += np.float32(1.0)
    return np.log10(levels, out=levels)


@cache
def _onset_shares() -> Floats:
    """What turns the rises of all bands into the mean over all, low and high ones, (48, 3).

    A band stands for the bands of the teachers that it is nearest to, so that the means are alike.
    """
    theirs = bank().triangles
    theirs_hz = np.arange(len(theirs)) * (SAMPLE_RATE_HZ / 2 / len(theirs)) @ theirs
    own_hz = np.arange(len(_triangles())) * (SAMPLE_RATE_HZ / WINDOW_SAMPLES) @ _triangles()
    own_hz /= _triangles().sum(axis=0)
    nearest = np.abs(np.log(theirs_hz[:, None] / own_hz)).argmin(axis=1)
    shares = np.zeros((N_BANDS, 3), np.float32)
    for column, bands in enumerate((slice(None), LOW_BANDS, HIGH_BANDS)):
        chosen = nearest[bands]
        np.add.at(shares[:, column], chosen, np.float32(1.0 / len(chosen)))
    return shares
