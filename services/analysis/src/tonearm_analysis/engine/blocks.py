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
    the last block makes up for. May be empty."""
    minima: Floats
    """Shape (channels, buckets): the least sample of each BUCKET_FRAMES frames."""
    maxima: Floats
    is_last: bool


def low_rate_resampler(sample_rate_hz: int) -> soxr.ResampleStream | None:
    """Return what brings a mono signal to LOW_RATE_HZ; None where it is there already.

    What it gives does not depend on how its input is cut.
    """
    if sample_rate_hz == LOW_RATE_HZ:
        return None
    return soxr.ResampleStream(sample_rate_hz, LOW_RATE_HZ, 1, dtype="float32", quality="HQ")


class BlockMaker:
    """Turns decoded samples into blocks: cleans them, splits channels, mixes, resamples.

    The mono mix is the mean of all channels and the resampler soxr's HQ setting, as in
    `librosa.load`.
    """

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        self._channels = channels
        self._resampler = low_rate_resampler(sample_rate_hz)
        self.frames = 0
        self.non_finite_samples = 0

    def make(self, frames: Floats) -> Block:
        """Return the block of the next samples, shape (n, channels)."""
        frames = self._clean(frames)
        mono, planar = self._mix(frames)
        low = mono if self._resampler is None else self._resampler.resample_chunk(mono)
        minima, maxima = _extremes(planar)
        block = Block(self.frames, frames, planar, mono, low, minima, maxima, is_last=False)
        self.frames += len(frames)
        return block

    def last(self) -> Block:
        """Return the final block: no new samples, but what the resampler still holds."""
        none = np.empty(0, dtype=np.float32)
        low = none if self._resampler is None else self._resampler.resample_chunk(none, last=True)
        frames = np.empty((0, self._channels), dtype=np.float32)
        planar = np.empty((self._channels, 0), dtype=np.float32)
        return Block(self.frames, frames, planar, none, low, planar, planar, is_last=True)

    def _clean(self, frames: Floats) -> Floats:
        # NaN fails both comparisons. The mask is made for the rare file that needs it.
        if frames.min() >= -SAMPLE_MAX and frames.max() <= SAMPLE_MAX:
            return frames
        good = np.abs(frames) <= SAMPLE_MAX
        self.non_finite_samples += int(good.size - np.count_nonzero(good))
        return np.where(good, frames, np.float32(0))

    def _mix(self, frames: Floats) -> tuple[Floats, Floats]:
        planar = np.ascontiguousarray(frames.T)
        if self._channels == 1:
            return planar[0], planar
        if self._channels == 2:
            return (planar[0] + planar[1]) * np.float32(0.5), planar
        return planar.mean(axis=0, dtype=np.float32), planar


def _extremes(planar: Floats) -> tuple[Floats, Floats]:
    channels, frames = planar.shape
    whole = frames // BUCKET_FRAMES * BUCKET_FRAMES
    buckets = planar[:, :whole].reshape(channels, -1, BUCKET_FRAMES)
    minima, maxima = buckets.min(axis=2), buckets.max(axis=2)
    if whole == frames:
        return minima, maxima
    rest = planar[:, whole:]
    return (
        np.concatenate([minima, rest.min(axis=1, keepdims=True)], axis=1),
        np.concatenate([maxima, rest.max(axis=1, keepdims=True)], axis=1),
    )
