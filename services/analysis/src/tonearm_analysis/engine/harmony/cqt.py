"""Constant-Q picture of sound: 36 bins an octave over seven octaves from C1, on a stream.

One bank of filters serves every octave: the signal is halved in rate before each.  The sound is cut
into segments with margins wide enough that each frame comes out as if the whole were at hand.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SAMPLE_RATE_HZ: Final = 22_050
HOP_SAMPLES: Final = 2_048
FRAME_RATE_HZ: Final = SAMPLE_RATE_HZ / HOP_SAMPLES
BINS_PER_OCTAVE: Final = 36
N_OCTAVES: Final = 7
N_BINS: Final = BINS_PER_OCTAVE * N_OCTAVES
LOWEST_HZ: Final = 440.0 * 2.0 ** (-45 / 12)  # C1

# The longest filter of an octave has 273.
_WINDOW_SAMPLES: Final = 288
_STEP: Final = 2.0 ** (1 / BINS_PER_OCTAVE)
_QUALITY: Final = (_STEP**2 + 1) / (_STEP**2 - 1)
_HALF_BAND_TAPS: Final = 47
_ROW: Final = 16
# Halved, and whitened, at a time: what this needs on the way stays near the processor.
_CHUNK: Final = 1024 * _ROW
_FRAMES_AT_ONCE: Final = 64
# The lowest octave's filters reach 16 hops to either side, the half-band filters two.
MARGIN_HOPS: Final = 18
SEGMENT_HOPS: Final = 640


class Bank(NamedTuple):
    """The top octave's filters, which see the sound at half its rate.

    filters: (_WINDOW_SAMPLES, 72), cosines then sines.  lengths: (36,) samples at the full rate.
    half_band: low-pass for halving the rate, flat up to .38 of Nyquist, where the octave ends.
    """

    filters: Floats
    lengths: npt.NDArray[np.float64]
    half_band: Floats


@cache
def bank() -> Bank:
    """The filters; the same object at every call."""
    hz = LOWEST_HZ * 2.0 ** (N_OCTAVES - 1 + np.arange(BINS_PER_OCTAVE) / BINS_PER_OCTAVE)
    lengths, rate_hz = _QUALITY * SAMPLE_RATE_HZ / hz, SAMPLE_RATE_HZ / 2
    when = np.arange(_WINDOW_SAMPLES) - _WINDOW_SAMPLES // 2
    turns = np.outer(when, hz / rate_hz)
    phase = np.clip(when[:, None] / (lengths / 2), -0.5, 0.5)
    window = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    filters = window / window.sum(axis=0) * np.exp(2j * np.pi * turns)
    both = np.concatenate([filters.real, filters.imag], axis=1).astype(np.float32)
    reach = np.arange(_HALF_BAND_TAPS) - _HALF_BAND_TAPS // 2
    low_pass = np.sinc(reach / 2) * np.kaiser(_HALF_BAND_TAPS, 8.0)
    return Bank(both, lengths, (low_pass / low_pass.sum()).astype(np.float32))


@cache
def _halving() -> Floats:
    """The half-band filter as a matrix from odd samples to _ROW outputs; even ones pass it by."""
    taps = bank().half_band[0::2]
    matrix = np.zeros((_ROW + len(taps) - 1, _ROW), np.float32)
    for column in range(_ROW):
        matrix[column : column + len(taps), column] = taps
    return matrix


def _halve(sound: Floats, out: Floats) -> None:
    """Write the sound at half its rate, without delay, into (n + 1) // 2 samples of n."""
    even, odd, matrix = sound[0::2], sound[1::2], _halving()
    before, centre = (_HALF_BAND_TAPS + 1) // 4, bank().half_band[_HALF_BAND_TAPS // 2]
    near = np.zeros(_CHUNK + len(matrix), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(near, len(matrix))[:_CHUNK:_ROW]
    for start in range(0, len(out), _CHUNK):
        first, kept = max(start - before, 0), out[start : start + _CHUNK]
        some = odd[first : start - before + len(near)]
        skip = first - (start - before)
        near[skip : skip + len(some)] = some
        near[skip + len(some) :] = 0.0
        np.multiply(even[start : start + _CHUNK], centre, out=kept)
        kept += (np.ascontiguousarray(windows) @ matrix).reshape(-1)[: len(kept)]


def magnitudes(sound: Floats, n_frames: int) -> Floats:
    """Magnitudes (n_frames, 252); frame k is centred on sample 2048 k.

    sound: mono at 22 050 Hz, silence assumed around it.  Gain: square root of filter length.
    """
    filters, lengths, _ = bank()
    out = np.zeros((n_frames, N_BINS), np.float32)
    half, hop = _WINDOW_SAMPLES // 2, HOP_SAMPLES
    for octave in range(N_OCTAVES):
        hop //= 2
        n_samples = (len(sound) + 1) // 2
        n_needed = (n_frames - 1) * hop + _WINDOW_SAMPLES
        padded = np.zeros(max(half + n_samples, n_needed), np.float32)
        _halve(sound, padded[half : half + n_samples])
        sound = padded[half : half + n_samples]
        frames = np.lib.stride_tricks.sliding_window_view(padded[:n_needed], _WINDOW_SAMPLES)[::hop]
        parts = frames @ filters
        column = BINS_PER_OCTAVE * (N_OCTAVES - 1 - octave)
        gain = np.sqrt(lengths * 2**octave).astype(np.float32)
        size = np.hypot(parts[:, :BINS_PER_OCTAVE], parts[:, BINS_PER_OCTAVE:])
        np.multiply(size, gain, out=out[:, column : column + BINS_PER_OCTAVE])
    return out


class Stream:
    """Blocks of mono sound in, frames of magnitudes out, as if all the sound had been at hand."""

    def __init__(self) -> None:
        self._sound = np.zeros(0, np.float32)
        self._blocks: list[Floats] = []
        self._waiting = 0
        self._margin_hops = 0
        self._n_samples = 0
        self._n_frames = 0

    def push(self, block: Floats) -> list[Floats]:
        """Hear one block, and keep it; returns the segments of frames that are complete by now."""
        self._blocks.append(block)
        self._waiting += len(block)
        self._n_samples += len(block)
        done: list[Floats] = []
        need = self._margin_hops + SEGMENT_HOPS + MARGIN_HOPS
        if len(self._sound) + self._waiting < need * HOP_SAMPLES:
            return done
        self._join()
        while len(self._sound) >= need * HOP_SAMPLES:
            done.append(self._take(SEGMENT_HOPS, self._sound[: need * HOP_SAMPLES]))
            need = self._margin_hops + SEGMENT_HOPS + MARGIN_HOPS
        return done

    def finish(self) -> list[Floats]:
        """The frames that are left, as at most one segment."""
        if not self._n_samples:
            return []
        self._join()
        left = self._n_samples // HOP_SAMPLES + 1 - self._n_frames
        return [self._take(left, self._sound)] if left > 0 else []

    def _join(self) -> None:
        """Join what waits to the sound: once a segment, as joining block by block costs more."""
        self._sound = np.concatenate([self._sound, *self._blocks])
        self._blocks, self._waiting = [], 0

    def _take(self, hops: int, sound: Floats) -> Floats:
        frames = magnitudes(sound, self._margin_hops + hops)[self._margin_hops :]
        self._n_frames += hops
        keep_from = max(self._margin_hops + hops - MARGIN_HOPS, 0)
        self._sound = self._sound[keep_from * HOP_SAMPLES :]
        self._margin_hops = self._margin_hops + hops - keep_from
        return frames


def folded(bins: Floats, low_semitone: int, high_semitone: int) -> Floats:
    """Pitch classes (n, 12) of bins (n, 252), semitones above C1 from low to before high.

    A semitone is its centre bin and half of each neighbour.
    """
    padded = np.pad(bins, ((0, 0), (1, 0)))
    centre, left, right = bins[:, 0::3], padded[:, 0:-1:3], bins[:, 1::3]
    semitones = (centre + 0.5 * left + 0.5 * right)[:, low_semitone:high_semitone]
    start = low_semitone % 12
    width = -(-(start + semitones.shape[1]) // 12) * 12
    wide = np.zeros((len(bins), width), np.float32)
    wide[:, start : start + semitones.shape[1]] = semitones
    return np.asarray(wide.reshape(len(bins), -1, 12).sum(axis=1), np.float32)


def whitened(bins: Floats, loudest: float) -> Floats:
    """What stands out of each frame's surroundings: log magnitude less its mean over an octave.

    loudest: the largest magnitude of the recording, which sets the scale.
    """
    reach = BINS_PER_OCTAVE // 2
    width, scale = 2 * reach + 1, np.float32(1000.0 / (loudest + 1e-9))
    out = np.empty_like(bins)
    for start in range(0, len(bins), _FRAMES_AT_ONCE):
        log = np.log1p(bins[start : start + _FRAMES_AT_ONCE] * scale)
        total = np.empty((len(log), bins.shape[1] + width), np.float64)
        total[:, : reach + 1] = log[:, :1]
        total[:, reach + 1 : -reach] = log
        total[:, -reach:] = log[:, -1:]
        np.cumsum(total, axis=1, out=total)
        mean = (total[:, width:] - total[:, :-width]) / width
        np.maximum(log - mean, 0.0, out=mean)
        out[start : start + _FRAMES_AT_ONCE] = mean
    return out
