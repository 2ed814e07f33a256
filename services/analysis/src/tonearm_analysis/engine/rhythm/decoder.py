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
from itertools import pairwise
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


def _side_by_side(moves: Sequence[Doubles]) -> Doubles:
    """Moves among several choices of lengths, one behind the other; none leads to another choice."""
    rows = max(len(table) for table in moves)
    margins = [(rows - len(table)) // 2 for table in moves]
    return np.concatenate(
        [
            np.pad(table, ((margin, margin), (0, 0)), constant_values=IMPOSSIBLE)
            for table, margin in zip(moves, margins, strict=True)
        ],
        axis=1,
    )


class Choice(NamedTuple):
    """Beat lengths to allow, frames, increasing, and the nats for a beat of each."""

    lengths: Ints
    scores: Doubles


def decode(
    activations: npt.NDArray[np.floating],
    choices: Sequence[Choice],
    *,
    bars: Sequence[int] = (3, 4),
) -> list[Path]:
    """The most likely beats of each choice of lengths, searched side by side.

    activations: (n, 2) probabilities of beat and downbeat, 50 a second, n > 0.
    bars: numbers of beats to the bar, tried side by side.
    """
    if not choices:
        return []
    search = _Search(choices, States.of(bars), len(activations))
    search.run(activations)
    ends = np.cumsum([len(choice.lengths) for choice in choices]).tolist()
    return [search.best_path(*some) for some in pairwise([0, *ends])]


class _Search:
    """Values of the best path into every beat, by block of start frames, length, state and frame.

    Frames here count from the longest length before the sound.  Before them and behind lie as many
    more, in which no beat starts: no look leaves the array.  A block is as long as the shortest
    beat, and all that is said of one lies together: one move of all its beats is one run through
    memory, and what ended in the next block lies one block further on.
    """

    def __init__(self, choices: Sequence[Choice], states: States, n_frames: int) -> None:
        self.lengths = np.concatenate([choice.lengths for choice in choices])
        self.length_scores = np.concatenate([choice.scores for choice in choices])
        self.states = states
        self.cost = _side_by_side([moves_among(choice.lengths) for choice in choices])
        self.block, self.lead = int(self.lengths.min()), int(self.lengths.max())
        self.n_starts = self.lead + n_frames
        self.margin, self.n_blocks = -(-self.lead // self.block), -(-self.n_starts // self.block)
        n_blocks = self.margin + self.n_blocks + self.margin + 1
        shape = (n_blocks, len(self.lengths), len(states.position), self.block)
        self.values = np.full(shape, IMPOSSIBLE, np.float32)
        self.pitch = self.values[0].size
        self.ended = self._places(np.arange(self.block) - self.lengths[:, None, None])

    def _places(self, starts: Ints) -> Ints:
        """Where in the flat values beats lie, (lengths, states, n), from (lengths, 1, n) starts."""
        _, n_lengths, n_states, block = self.values.shape
        row = np.arange(n_lengths * n_states).reshape(n_lengths, n_states, 1) * block
        which, frame = np.divmod(starts + self.margin * block, block)
        return np.asarray(which * self.pitch + row + frame)

    def run(self, activations: npt.NDArray[np.floating]) -> None:
        """Fill the values, a block at a time."""
        self._fill_scores(activations)
        inside = self.values[self.margin :]
        for k, best in zip(range(self.n_blocks), self._arrivals(), strict=False):
            start = k * self.block
            if start <= self.lead:  # a beat that runs when the sound starts is the first
                frames = np.arange(start, start + self.block)
                early = int(np.count_nonzero(frames <= self.lead))
                running = frames[:early] + self.lengths[:, None] > self.lead
                best[:, :, :early] = np.where(running[:, None], 0.0, IMPOSSIBLE)
            inside[k] += best

    def _fill_scores(self, activations: npt.NDArray[np.floating]) -> None:
        """Put into each value the score of its own beat: a downbeat's or a plain beat's."""
        lead, n_starts, n_downbeats = self.lead, self.n_starts, len(self.states.bars)
        beat = np.clip(activations[:, 0], PROBABILITY_FLOOR, 1).astype(np.float64)
        down = np.clip(activations[:, 1], PROBABILITY_FLOOR, 1).astype(np.float64)
        off = np.clip(1.0 - activations[:, 0] - activations[:, 1], PROBABILITY_FLOOR, 1)

        def sums(log_likelihood: Doubles) -> Doubles:
            total = np.cumsum(log_likelihood)
            tail = np.full(lead + 1, total[-1])
            return np.concatenate([np.zeros(lead + 1), total, tail])

        on_sums = sums(np.log(down)), sums(np.log(beat))
        kinds = slice(n_downbeats), slice(n_downbeats, None)
        off_sums = sums(np.log(off.astype(np.float64) / (ON_BEAT_SHARE - 1)))
        row = np.full(self.n_blocks * self.block, IMPOSSIBLE, np.float32)
        inside = self.values[self.margin : self.margin + self.n_blocks]
        for index, length in enumerate(self.lengths.tolist()):
            head = -(-length // ON_BEAT_SHARE)
            rest = off_sums[length : length + n_starts] - off_sums[head : head + n_starts]
            rest += self.length_scores[index]
            for on, states in zip(on_sums, kinds, strict=True):
                row[:n_starts] = on[head : head + n_starts] - on[:n_starts] + rest
                inside[:, index, states] = row.reshape(-1, 1, self.block)

    def _arrivals(self) -> Iterator[Floats]:
        """Block by block the value of the best beat before, for every length, state and start."""
        _, n_lengths, n_states, block = self.values.shape
        n_moves, row = len(self.cost), n_states * block
        reach, flat = n_moves // 2, self.values.reshape(-1)
        places = self.ended[:, self.states.previous]
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
        for k in range(self.n_blocks):
            # mode: it never clips, and needs no copy so
            flat[k * self.pitch :].take(places, out=inner, mode="clip")
            np.add(sources, cost, out=came)
            np.maximum.reduce(came, axis=0, out=best.reshape(-1))
            yield best

    def best_path(self, first: int, stop: int) -> Path:
        """Follow the best path of the lengths from index first to before stop back from the end."""
        states, flat = self.states, self.values.reshape(-1)
        ends = self.n_starts + np.arange(self.lead + 1)
        # The last beat started before the end; of equals the first state's, earliest and shortest.
        places = self._places(ends - self.lengths[:, None, None])[first:stop]
        final = flat[places].transpose(1, 2, 0)
        best = {bar: float(final[states.group == g].max()) for g, bar in enumerate(states.bars)}
        state, end, index = (int(k) for k in np.unravel_index(int(final.argmax()), final.shape))
        index += first
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
        position, previous = self.states.position.tolist(), self.states.previous.tolist()
        frames, numbers = [], []
        while True:
            frames.append(start - self.lead)
            numbers.append(position[state] + 1)
            if start <= self.lead:
                return frames, numbers
            state = previous[state]
            which, frame = divmod(start, self.block)
            first, stop = max(0, index - reach), min(len(lengths), index + reach + 1)
            moves = self.cost[first - index + reach : stop - index + reach, index]
            before = flat[self.ended[first:stop, state, frame] + which * self.pitch]
            index = first + int((before + moves).argmax())
            start -= lengths[index]
