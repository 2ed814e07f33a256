"""Which frames are beats: the best path through a bar-pointer model, searched beat by beat.

The model (Krebs, Böck and Widmer 2015): a pointer runs through bars at a tempo that changes at
beats only, less likely the larger the change.  A beat that starts at frame t and lasts m frames has
a score that two running sums give at once, so the search visits (start frame, beat of the bar,
length) and never the positions inside a beat.  No beat is shorter than the shortest length, so that
as many start frames are searched in one step as the shortest beat is long.  Which beat came before
is not written down on the way: the walk back works it out again for the few beats of the best path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ, Floats

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Chosen on recordings and generated clips: at 50 frames a second one frame is 4 % of a beat at
# 120 bpm, so the usual stiffness of 100 would forbid what rounding alone needs.
STIFFNESS: Final = 30.0
LARGEST_CHANGE: Final = 0.16
ON_BEAT_SHARE: Final = 16  # the first 1/16 of a beat counts as "on the beat"
PROBABILITY_FLOOR: Final = 1e-6
IMPOSSIBLE: Final = -1e15


class Path(NamedTuple):
    """Beats of one decoded stretch.

    frames: (n,) frame of each beat; numbers: (n,) its number in the bar, from 1;
    bar_beats: beats to the bar; score: log-likelihood of the path; scores: of the best path for
    each bar length tried.
    """

    frames: Ints
    numbers: Ints
    bar_beats: int
    score: float
    scores: dict[int, float]


class States(NamedTuple):
    """Beats of the bars tried side by side, the downbeats first, one to a bar.

    position: number in the bar, from 0.  previous: index of the beat before.  group: which bar.
    """

    position: Ints
    previous: Ints
    group: Ints
    bars: tuple[int, ...]

    @classmethod
    def of(cls, bars: Sequence[int]) -> States:
        """States for bars of the given numbers of beats."""
        found = [(0, g) for g in range(len(bars))]
        found += [(k, g) for g, bar in enumerate(bars) for k in range(1, bar)]
        before = [((k - 1) % bars[g], g) for k, g in found]
        position, group = (np.array(column) for column in zip(*found, strict=True))
        return cls(position, np.array([found.index(b) for b in before]), group, tuple(bars))


def lengths_between(low_bpm: float, high_bpm: float) -> Ints:
    """All beat lengths in frames whose tempo lies in the range, shortest first."""
    shortest = max(2, round(60.0 * FRAME_RATE_HZ / high_bpm))
    longest = max(shortest, round(60.0 * FRAME_RATE_HZ / low_bpm))
    return np.arange(shortest, longest + 1)


def moves_among(lengths: Ints) -> Doubles:
    """Log-probabilities of tempo changes, cut at 16 %, shape (2 reach + 1, lengths).

    Row k, column m: from the length with index m + k - reach to the one with index m.
    """
    ratio = lengths[None, :] / lengths[:, None]  # [from, to]
    weight = np.where(
        np.abs(ratio - 1) > LARGEST_CHANGE, 0.0, np.exp(-STIFFNESS * np.abs(ratio - 1))
    )
    total = weight.sum(axis=1, keepdims=True)
    log_weight = np.log(np.maximum(weight / total, 1e-300))
    reach = int(np.abs(np.subtract(*np.nonzero(weight))).max())
    n = len(lengths)
    to = np.arange(n)[None]
    source = to + np.arange(-reach, reach + 1)[:, None]
    inside = (source >= 0) & (source < n)
    source = np.clip(source, 0, n - 1)
    allowed = inside & (weight[source, to] > 0)
    return np.where(allowed, log_weight[source, to], IMPOSSIBLE)


def _beat_scores(
    activations: npt.NDArray[np.floating], lengths: Ints, length_scores: Doubles
) -> Floats:
    """Score of a downbeat [0] and a plain beat [1] of each length from each start frame.

    Start frames run from the longest length before the sound, shape (2, lengths, frames).
    """
    lead, n = int(lengths[-1]), len(activations)
    beat = np.clip(activations[:, 0], PROBABILITY_FLOOR, 1).astype(np.float64)
    down = np.clip(activations[:, 1], PROBABILITY_FLOOR, 1).astype(np.float64)
    off = np.clip(1.0 - activations[:, 0] - activations[:, 1], PROBABILITY_FLOOR, 1)

    def sums(log_likelihood: Doubles) -> Doubles:
        total = np.cumsum(log_likelihood)
        tail = np.full(lead + 1, total[-1])
        return np.concatenate([np.zeros(lead + 1), total, tail])

    on_sums = [sums(np.log(down)), sums(np.log(beat))]
    off_sums = sums(np.log(off.astype(np.float64) / (ON_BEAT_SHARE - 1)))
    scores = np.empty((2, len(lengths), lead + n), np.float32)
    for index, length in enumerate(lengths):
        head = -(-int(length) // ON_BEAT_SHARE)
        rest = off_sums[length : length + lead + n] - off_sums[head : head + lead + n]
        rest += length_scores[index]
        for kind, on in enumerate(on_sums):
            scores[kind, index] = on[head : head + lead + n] - on[: lead + n] + rest
    return scores


def decode(
    activations: npt.NDArray[np.floating],
    lengths: Ints,
    length_scores: Doubles,
    *,
    bars: Sequence[int] = (3, 4),
) -> Path:
    """The most likely beats.

    activations: (n, 2) probabilities of beat and downbeat, 50 a second, n > 0.
    lengths: beat lengths to allow, frames, increasing.  length_scores: nats for a beat of each.
    bars: numbers of beats to the bar, tried side by side.
    """
    search = _Search(lengths, States.of(bars), len(activations))
    search.run(_beat_scores(activations, lengths, length_scores))
    return search.best_path()


class _Search:
    """Values of the best path into every beat, by length, state and start frame.

    Frames here count from the longest length before the sound.  The values lie behind that many
    frames more, and before as many, in which no beat starts: no look leaves the array.  Lengths
    come first and frames last, so that one move of all states and frames of a block is one run
    through memory.
    """

    def __init__(self, lengths: Ints, states: States, n_frames: int) -> None:
        self.lengths, self.states = lengths, states
        self.cost = moves_among(lengths)
        self.lead, self.n_starts = int(lengths[-1]), int(lengths[-1]) + n_frames
        rows = self.lead + self.n_starts + self.lead + 1
        shape = (len(lengths), len(states.position), rows)
        self.values = np.full(shape, IMPOSSIBLE, np.float32)

    def _ended(self, frames: Ints) -> Ints:
        """Where in the flat values the beats lie that end at these frames, (lengths, states, n)."""
        n_lengths, n_states, n_rows = self.values.shape
        first_row = np.arange(n_lengths * n_states).reshape(n_lengths, n_states, 1) * n_rows
        return np.asarray(first_row + self.lead + frames - self.lengths[:, None, None])

    def run(self, scores: Floats) -> None:
        """Fill the values, a block as long as the shortest beat at a time."""
        n_downbeats = len(self.states.bars)
        for start, stop, value in self._arrivals():
            if start <= self.lead:  # a beat that runs when the sound starts is the first
                running = np.arange(start, stop) + self.lengths[:, None] > self.lead
                early = min(stop, self.lead + 1) - start
                value[:, :, :early] = np.where(running[:, None, :early], 0.0, IMPOSSIBLE)
            kept = self.values[:, :, self.lead + start : self.lead + stop]
            for kind, states in enumerate((slice(n_downbeats), slice(n_downbeats, None))):
                own = scores[kind, :, None, start:stop]
                np.add(value[:, states], own, out=kept[:, states])

    def _arrivals(self) -> Iterator[tuple[int, int, Floats]]:
        """Block by block the value of the best beat before, for every length, state and start."""
        block, (n_lengths, n_states, _) = int(self.lengths[0]), self.values.shape
        n_moves, row = len(self.cost), n_states * block
        reach, flat = n_moves // 2, self.values.reshape(-1)
        places = self._ended(np.arange(block))[:, self.states.previous]
        padded = np.full((n_lengths + 2 * reach, n_states, block), IMPOSSIBLE, np.float32)
        inner = padded[reach : reach + n_lengths]
        # Row k holds what each length may come from by move k: the same rows, k further on.
        step = padded.itemsize
        sources: Floats = np.ndarray(
            (n_moves, n_lengths * row), np.float32, padded, strides=(row * step, step)
        )
        # Written out for every state and frame: adding it is one run through memory as well.
        cost = np.repeat(self.cost.astype(np.float32), row, axis=1)
        came, best = np.empty_like(cost), np.empty(inner.shape, np.float32)
        for start in range(0, self.n_starts, block):
            flat.take(places, out=inner, mode="clip")  # never clips, and needs no copy so
            np.add(sources, cost, out=came)
            np.maximum.reduce(came, axis=0, out=best.reshape(-1))
            stop = min(start + block, self.n_starts)
            yield start, stop, best[:, :, : stop - start]
            places += block

    def best_path(self) -> Path:
        """Follow the best path back from the end of the sound."""
        states, flat = self.states, self.values.reshape(-1)
        ends = self.n_starts + np.arange(self.lead + 1)
        # The last beat started before the end; of equals the first state's, earliest and shortest.
        final = flat[self._ended(ends)].transpose(1, 2, 0)
        best = {bar: float(final[states.group == g].max()) for g, bar in enumerate(states.bars)}
        state, end, index = (int(k) for k in np.unravel_index(int(final.argmax()), final.shape))
        frames, numbers = self._walked_back(state, int(ends[end] - self.lengths[index]), index)
        kept = [(f, n) for f, n in zip(reversed(frames), reversed(numbers), strict=True) if f >= 0]
        return Path(
            np.array([f for f, _ in kept], np.int64),
            np.array([k for _, k in kept], np.int64),
            max(best, key=lambda bar: best[bar]),
            max(best.values()),
            best,
        )

    def _walked_back(self, state: int, start: int, index: int) -> tuple[list[int], list[int]]:
        """Frames, from the sound's start, and numbers of the beats up to the given one, last first.

        state, start, index: of the given beat, the last one as an index of lengths.
        """
        lengths, reach, flat = self.lengths.tolist(), len(self.cost) // 2, self.values.reshape(-1)
        ended = self._ended(np.zeros(1, np.int64))[:, :, 0]
        position, previous = self.states.position.tolist(), self.states.previous.tolist()
        frames, numbers = [], []
        while True:
            frames.append(start - self.lead)
            numbers.append(position[state] + 1)
            if start <= self.lead:
                return frames, numbers
            state = previous[state]
            first, stop = max(0, index - reach), min(len(lengths), index + reach + 1)
            moves = self.cost[first - index + reach : stop - index + reach, index]
            index = first + int((flat[ended[first:stop, state] + start] + moves).argmax())
            start -= lengths[index]
