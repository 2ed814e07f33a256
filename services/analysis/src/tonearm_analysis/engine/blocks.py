"""The one pass: each decoded block, with the views that several stages share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LOW_RATE_HZ = 22_050
"""Rate of the mono signal for spectral, rhythm and harmony: librosa's default."""
BUCKET_FRAMES = 256
"""Frames behind each pair of extremes; every block but the last holds whole buckets."""
SAMPLE_MAX = 1e6
"""Samples beyond this are no sound (a float file of something else): they count as zero."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of the recording. All arrays are float32 and belong to the block's reader
    only until the next block: copy what you keep.
    """

    start_frame: int
    frames: Floats
    """Shape (n, channels), interleaved."""
    channels: Floats
    """Shape (channels, n), C-contiguous."""
    mono: Floats
    """Shape (n,): mean of the channels."""
    low: Floats
    """The next samples of the mono signal at LOW_RATE_HZ; lags by the resampler's delay, which
    the last block makes up for. May be empty. The signal is resampled from its first sample that
    is not zero on, behind as many zeros as fit the time before."""
    low_lead: int
    """How many samples of `low`, its first ones, lie before the first sound."""
    minima: Floats
    """Shape (channels, buckets): the least sample of each BUCKET_FRAMES frames."""
    maxima: Floats
    is_last: bool


class LowRate:
    """Brings the mono signal to LOW_RATE_HZ.

    Digital silence before the first sound is not resampled but counted: any number of zeros in
    front leaves the samples behind them the same to the bit. What it gives does not depend on how
    its input is cut.
    """

    def __init__(self, *, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate_hz != LOW_RATE_HZ:
            self._resampler = soxr.ResampleStream(
                sample_rate_hz, LOW_RATE_HZ, 1, dtype="float32", quality="HQ"
            )
        self._has_begun = False
        self._silent_frames = 0

    def feed(self, mono: Floats, *, is_last: bool = False) -> tuple[Floats, int]:
        """Return the next samples, and how many of them lie before the first sound.

        They are the given ones where the rate is LOW_RATE_HZ already.
        """
        if self._has_begun:
            return self._resampled(mono, is_last=is_last), 0
        loud = len(mono) and (0 if mono[0] else int(np.argmax(mono != 0)))
        self._has_begun = bool(len(mono) and mono[loud])
        silent = loud if self._has_begun else len(mono)
        lead = self._zeros(self._silent_frames + silent) - self._zeros(self._silent_frames)
        self._silent_frames += silent
        if not self._has_begun:
            return np.zeros(lead, dtype=np.float32), lead
        low = self._resampled(mono[silent:], is_last=is_last)
        return (np.concatenate([np.zeros(lead, np.float32), low]) if lead else low), lead

    def _zeros(self, frames: int) -> int:
        return frames * LOW_RATE_HZ // self._rate_hz

    def _resampled(self, mono: Floats, *, is_last: bool) -> Floats:
        if self._resampler is None:
            return mono
        low: Floats = self._resampler.resample_chunk(mono, last=is_last)
        return low


class BlockMaker:
    """Turns decoded samples into blocks: cleans them, splits channels, mixes, resamples.

    The mono mix is the mean of all channels and the resampler soxr's HQ setting, as in
    `librosa.load`.
    """

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        self._channels = channels
        self._planar: Floats = np.empty((channels, 0), dtype=np.float32)
        self._low = LowRate(sample_rate_hz=sample_rate_hz)
        self.frames = 0
        self.non_finite_samples = 0

    def make(self, frames: Floats) -> Block:
        """Return the block of the next samples, shape (n, channels)."""
        planar = self._split(frames)
        minima, maxima = _extremes(planar)
        # NaN fails both comparisons. Samples are looked at one by one in the rare file that needs it.
        if not (minima.min() >= -SAMPLE_MAX and maxima.max() <= SAMPLE_MAX):
            frames = self._clean(frames)
            planar = self._split(frames)
            minima, maxima = _extremes(planar)
        mono = _mono(planar)
        low, lead = self._low.feed(mono)
        block = Block(self.frames, frames, planar, mono, low, lead, minima, maxima, is_last=False)
        self.frames += len(frames)
        return block

    def last(self) -> Block:
        """Return the final block: no new samples, but what the resampler still holds."""
        none = np.empty(0, dtype=np.float32)
        low, lead = self._low.feed(none, is_last=True)
        frames = np.empty((0, self._channels), dtype=np.float32)
        planar = np.empty((self._channels, 0), dtype=np.float32)
        return Block(self.frames, frames, planar, none, low, lead, planar, planar, is_last=True)

    def _split(self, frames: Floats) -> Floats:
        """Return the channels one after the other; the next call overwrites them."""
        if self._channels == 1:
            return frames.T
        if self._planar.shape[1] != len(frames):
            # Kept from block to block: fresh memory of this size costs more than what is written.
            self._planar = np.empty((self._channels, len(frames)), dtype=np.float32)
        np.copyto(self._planar, frames.T)
        return self._planar

    def _clean(self, frames: Floats) -> Floats:
        good = np.abs(frames) <= SAMPLE_MAX
        self.non_finite_samples += int(good.size - np.count_nonzero(good))
        clean: Floats = np.where(good, frames, np.float32(0))
        return clean


def _mono(planar: Floats) -> Floats:
    mono: Floats = planar[0]
    if len(planar) == 2:
        mono = planar[0] + planar[1]
        mono *= np.float32(0.5)
    elif len(planar) > 2:
        mono = planar.mean(axis=0, dtype=np.float32)
    return mono


def _extremes(planar: Floats) -> tuple[Floats, Floats]:
    """Return the least and the greatest sample of each bucket; NaN where it holds one."""
    starts = np.arange(0, planar.shape[1], BUCKET_FRAMES)
    # For rows this short, several times faster than reducing an axis.
    minima: Floats = np.minimum.reduceat(planar, starts, axis=1)
    maxima: Floats = np.maximum.reduceat(planar, starts, axis=1)
    return minima, maxima
