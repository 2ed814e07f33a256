"""Unweighted levels: peak, mean square, offset, stereo image, clipping, silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import BUCKET_FRAMES, Block, Floats

SILENCE_DBFS = -60.0
SILENCE_S_MIN = 0.5
CLIP_CEILING = 0.9999
"""A 16-bit full-scale sample is 0.99997 or -1."""
CLIP_RUN_MIN = 3
CLIP_JOIN_S = 0.010
SPANS_MAX = 200
_SILENT = 10 ** (SILENCE_DBFS / 20)
_ONES = np.ones(BUCKET_FRAMES, dtype=np.float32)


def to_db(amplitude: float) -> float | None:
    """Return an amplitude ratio in dB; None for zero."""
    return 20 * math.log10(amplitude) if amplitude > 0 else None


def power_to_db(power: float) -> float | None:
    """Return a power ratio in dB; None for zero."""
    return 10 * math.log10(power) if power > 0 else None


class Levels:
    """Sums over the recording."""

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        self._rate = sample_rate_hz
        self.frames = 0
        self.sample_peak = 0.0
        self._sums = np.zeros(channels)
        self._squares = np.zeros(channels)
        self._cross = 0.0
        self._silences = SilenceFinder(sample_rate_hz=sample_rate_hz)
        self._clips = ClipFinder(sample_rate_hz=sample_rate_hz, channels=channels)

    def feed(self, block: Block, tops: Floats) -> None:
        """Add a block, with the greatest magnitude of each bucket, shape (channels, buckets)."""
        if not tops.size:
            return
        planar = block.channels
        top = float(tops.max())
        self.sample_peak = max(self.sample_peak, top)
        self._sums += _sums(planar)
        self._squares += [float(np.dot(channel, channel)) for channel in planar]
        if len(planar) >= 2:
            self._cross += float(np.dot(planar[0], planar[1]))
        self._silences.feed(tops.max(axis=0) < _SILENT)
        self._clips.feed(planar, tops, start_frame=block.start_frame)
        self.frames += planar.shape[1]

    def finish(self) -> dict[str, Any]:
        """Return the fields of `Loudness` that need no weighting."""
        frames = max(self.frames, 1)
        mean_square = float(self._squares.sum()) / frames / len(self._squares)
        peak_dbfs = to_db(self.sample_peak)
        return {
            "sample_peak_dbfs": peak_dbfs,
            "rms_dbfs": power_to_db(mean_square),
            "clipped_samples": self._clips.samples,
            "clipping": self._clips.finish(),
            "dc_offset": [float(offset) for offset in self._sums / frames],
            "stereo": self._stereo(frames),
            **self._silences.finish(self.frames),
        }

    def sound_span_s(self) -> tuple[float, float]:
        """Return when the first sound starts and the last one ends; (0, 0) for silence."""
        return self._silences.sound_span_s(self.frames)

    def _stereo(self, frames: int) -> dict[str, Any] | None:
        if len(self._squares) < 2:
            return None
        left, right = (float(energy) for energy in self._squares[:2])
        mid, side = left + right + 2 * self._cross, left + right - 2 * self._cross
        return {
            "correlation": self._correlation(frames),
            "width": max(side, 0.0) / (mid + side) if mid + side > 0 else None,
            "balance_db": power_to_db(left / right) if right > 0 else None,
        }

    def _correlation(self, frames: int) -> float | None:
        mean_left, mean_right = self._sums[:2] / frames
        left = self._squares[0] / frames - mean_left**2
        right = self._squares[1] / frames - mean_right**2
        if min(left, right) <= 1e-14:
            return None
        together = self._cross / frames - mean_left * mean_right
        return float(np.clip(together / math.sqrt(left * right), -1, 1))


def _sums(planar: Floats) -> NDArray[np.float64]:
    """Return the sum of each channel: float32 within a bucket, float64 from bucket to bucket."""
    whole = planar.shape[1] // BUCKET_FRAMES * BUCKET_FRAMES
    rest = planar[:, whole:].sum(axis=1, dtype=np.float64)
    buckets = planar[:, :whole].reshape(len(planar), -1, BUCKET_FRAMES) @ _ONES
    return np.asarray(buckets.sum(axis=1, dtype=np.float64) + rest, dtype=np.float64)


class SilenceFinder:
    """Finds runs of buckets without sound."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._buckets = 0
        self._silent_from: int | None = None
        self._first_loud: int | None = None
        self._last_loud = 0
        self._spans: list[dict[str, float]] = []
        self._total_s = 0.0

    def feed(self, silent: NDArray[np.bool_]) -> None:
        """Add buckets, of which some are silent."""
        if self._silent_from is None and not silent.any():
            # Nearly every block of music.
            self._heard(self._buckets, self._buckets + len(silent) - 1)
            self._buckets += len(silent)
            return
        turns = np.flatnonzero(np.diff(silent, prepend=self._silent_from is not None))
        for turn in (self._buckets + turns).tolist():
            if self._silent_from is None:
                self._silent_from = turn
            else:
                self._add(self._silent_from, turn * BUCKET_FRAMES)
                self._silent_from = None
        loud = np.flatnonzero(~silent)
        if len(loud):
            self._heard(self._buckets + int(loud[0]), self._buckets + int(loud[-1]))
        self._buckets += len(silent)

    def sound_span_s(self, frames: int) -> tuple[float, float]:
        """Return when the first sound starts and the last one ends; (0, 0) for silence."""
        if self._first_loud is None:
            return 0.0, 0.0
        end = min((self._last_loud + 1) * BUCKET_FRAMES, frames)
        return self._first_loud * BUCKET_FRAMES / self._rate, end / self._rate

    def finish(self, frames: int) -> dict[str, Any]:
        """Return the fields of `Loudness` about silence, in so many frames."""
        if self._silent_from is not None:
            self._add(self._silent_from, frames)
            self._silent_from = None
        duration_s = frames / self._rate
        start_s, end_s = self.sound_span_s(frames)
        whole = end_s == 0.0
        return {
            "silences": self._spans,
            "silence_share": self._total_s / duration_s if duration_s else 1.0,
            "lead_in_s": duration_s if whole else start_s,
            "lead_out_s": duration_s if whole else duration_s - end_s,
        }

    def _heard(self, first: int, last: int) -> None:
        """Note the first bucket with sound, and the last one so far."""
        if self._first_loud is None:
            self._first_loud = first
        self._last_loud = last

    def _add(self, start: int, end_frame: int) -> None:
        """Add a run of silence from a bucket on, if it is long enough."""
        start_s, end_s = start * BUCKET_FRAMES / self._rate, end_frame / self._rate
        if end_s - start_s >= SILENCE_S_MIN:
            self._total_s += end_s - start_s
            if len(self._spans) < SPANS_MAX:
                self._spans.append({"start_s": start_s, "end_s": end_s})


class ClipFinder:
    """Finds runs of samples at the ceiling, per channel."""

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        self._rate = sample_rate_hz
        self._runs = [0] * channels
        self._found: list[list[tuple[int, int]]] = [[] for _ in range(channels)]
        self.samples = 0

    def feed(self, planar: Floats, tops: Floats, *, start_frame: int) -> None:
        """Add samples, shape (channels, n), with the extremes per bucket."""
        for index, samples in enumerate(planar):
            if tops[index].max() >= CLIP_CEILING:
                self._search(index, samples, start_frame)
            else:
                self._runs[index] = 0

    def finish(self) -> list[dict[str, Any]]:
        """Return the sections, in order of time, neighbours joined."""
        sections = [
            {"start_s": start / self._rate, "end_s": end / self._rate, "channel": index}
            for index, runs in enumerate(self._found)
            for start, end in runs
        ]
        sections.sort(key=lambda section: (section["start_s"], section["channel"]))
        return sections[:SPANS_MAX]

    def _search(self, index: int, samples: Floats, start_frame: int) -> None:
        before = self._runs[index]
        flags = np.abs(samples) >= CLIP_CEILING
        steps = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            # A run that touches the block's start goes on from the block before.
            carried = before if start == 0 else 0
            if end - start + carried >= CLIP_RUN_MIN:
                counted = carried if carried < CLIP_RUN_MIN else 0
                self.samples += end - start + counted
                self._add(index, start_frame + start - carried, start_frame + end)
        if len(ends) and ends[-1] == len(samples):
            whole = starts[-1] == 0
            self._runs[index] = int(ends[-1] - starts[-1]) + (before if whole else 0)
        else:
            self._runs[index] = 0

    def _add(self, index: int, start: int, end: int) -> None:
        runs = self._found[index]
        if runs and start - runs[-1][1] <= CLIP_JOIN_S * self._rate:
            runs[-1] = (min(runs[-1][0], start), end)
        elif len(runs) < SPANS_MAX:
            runs.append((start, end))
