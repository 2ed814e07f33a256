"""Which frames are beats: the best path through a bar-pointer model, searched beat by beat.

The model (Krebs, Böck and Widmer 2015): a pointer runs through bars at a tempo that changes at
beats only, less likely the larger the change.  A beat that starts at frame t and lasts m frames has
a score that two running sums give at once, so the search visits (start frame, beat of the bar,
length) and never the positions inside a beat.  No beat is shorter than the shortest length, so that
as many start frames are searched in one step as the shortest beat is long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Chosen on recordings and generated clips: at 50 frames a second one frame is 4 % of a beat at
# 120 bpm, so the usual stiffness of 100 would forbid what rounding alone needs.
STIFFNESS: Final = 30.0
LARGEST_CHANGE: Final = 0.16
ON_BEAT_SHARE: Final = 16  # the first 1/16 of a beat counts as "on the beat"
PROBABILITY_FLOOR: Final = 1e-6
IMPOSSIBLE: Final = -1e15
UNSTARTED: Final = 255


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


@dataclass(frozen=True)
class States:
    """Positions of the bars tried side by side: number in the bar, predecessor, which bar."""

    position: Ints
    previous: Ints
    group: Ints
    bars: tuple[int, ...]

    @classmethod
    def of(cls, bars: Sequence[int]) -> States:
        """States for bars of the given numbers of beats."""
        position = np.concatenate([np.arange(k) for k in bars])
        first = np.cumsum([0, *bars])[:-1]
        previous = np.concatenate(
            [f + (np.arange(k) - 1) % k for f, k in zip(first, bars, strict=True)]
        )
        group = np.concatenate([np.full(k, g) for g, k in enumerate(bars)])
        return cls(position, previous, group, tuple(bars))


class Moves(NamedTuple):
    """For every beat length the lengths that may come before it, with log-probabilities."""

    source: Ints  # (to, k) -> index of the length before
    cost: Doubles  # (to, k)


def lengths_between(low_bpm: float, high_bpm: float) -> Ints:
    """All beat lengths in frames whose tempo lies in the range, shortest first."""
    shortest = max(2, round(60.0 * FRAME_RATE_HZ / high_bpm))
    longest = max(shortest, round(60.0 * FRAME_RATE_HZ / low_bpm))
    return np.arange(shortest, longest + 1)


def moves_among(lengths: Ints) -> Moves:
    """Tempo changes between the given lengths, cut at 16 %."""
    ratio = lengths[None, :] / lengths[:, None]  # [from, to]
    weight = np.where(
        np.abs(ratio - 1) > LARGEST_CHANGE, 0.0, np.exp(-STIFFNESS * np.abs(ratio - 1))
    )
    total = weight.sum(axis=1, keepdims=True)
    log_weight = np.log(np.maximum(weight / total, 1e-300))
    reach = max(int(np.abs(np.subtract(*np.nonzero(weight))).max()), 1)
    n = len(lengths)
    source = np.arange(n)[:, None] + np.arange(-reach, reach + 1)[None]
    inside = (source >= 0) & (source < n)
    source = np.clip(source, 0, n - 1)
    allowed = inside & (weight[source, np.arange(n)[:, None]] > 0)
    cost = np.where(allowed, log_weight[source, np.arange(n)[:, None]], IMPOSSIBLE)
    return Moves(source, cost)


def _beat_scores(
    activations: npt.NDArray[np.floating], lengths: Ints, length_scores: Doubles
) -> Doubles:
    """Score of a plain beat [0] and a downbeat [1] of each length from each start frame.

    Start frames run from the longest length before the sound, shape (frames, 2, lengths).
    """
    lead, n = int(lengths[-1]), len(activations)
    beat = np.clip(activations[:, 0], PROBABILITY_FLOOR, 1).astype(np.float64)
    down = np.clip(activations[:, 1], PROBABILITY_FLOOR, 1).astype(np.float64)
    off = np.clip(1.0 - activations[:, 0] - activations[:, 1], PROBABILITY_FLOOR, 1)

    def sums(log_likelihood: Doubles) -> Doubles:
        total = np.cumsum(log_likelihood)
        tail = np.full(lead + 1, total[-1])
        return np.concatenate([np.zeros(lead + 1), total, tail])

    on_sums = [sums(np.log(beat)), sums(np.log(down))]
    off_sums = sums(np.log(off.astype(np.float64) / (ON_BEAT_SHARE - 1)))
    start = np.arange(lead + n)[:, None]
    head_end = start + np.ceil(lengths / ON_BEAT_SHARE).astype(int)
    rest = off_sums[start + lengths] - off_sums[head_end] + length_scores
    return np.stack([s[head_end] - s[start] + rest for s in on_sums], axis=1)


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
    states, moves = States.of(bars), moves_among(lengths)
    scores = _beat_scores(activations, lengths, length_scores)
    lead, shortest = int(lengths[-1]), int(lengths[0])
    n_starts = len(scores)
    shape = (n_starts + lead + 1, len(states.position), len(lengths))
    ended = np.full(shape, IMPOSSIBLE)
    back = np.full((n_starts, *shape[1:]), UNSTARTED, np.uint8)
    kind = np.where(states.position == 0, 1, 0)
    for start in range(0, n_starts, shortest):
        stop = min(start + shortest, n_starts)
        came = ended[start:stop][:, states.previous][:, :, moves.source]
        came += moves.cost
        choice = came.argmax(axis=-1)
        value = came.max(axis=-1)
        back[start:stop] = choice
        if start <= lead:  # only a beat that runs when the sound starts may be the first
            when = np.arange(start, stop)[:, None, None]
            first = np.broadcast_to(when <= lead, value.shape)
            running = when + lengths[None, None] > lead
            value = np.where(first, np.where(running, 0.0, IMPOSSIBLE), value)
            back[start:stop][first] = UNSTARTED
        value = value + scores[start:stop][:, kind]
        for index, length in enumerate(lengths):
            ended[start + length : stop + length, :, index] = value[:, :, index]
    return _trace(ended, back, states, moves, lengths, n_starts)


def _trace(
    ended: Doubles,
    back: npt.NDArray[np.uint8],
    states: States,
    moves: Moves,
    lengths: Ints,
    n_starts: int,
) -> Path:
    """Follow the best path back from the end of the sound."""
    lead = int(lengths[-1])
    final = ended[n_starts : n_starts + lead + 1]  # the last beat started before the end
    best = {bar: float(final[:, states.group == g].max()) for g, bar in enumerate(states.bars)}
    when, state, index = np.unravel_index(int(final.argmax()), final.shape)
    frame, frames, numbers = n_starts + int(when), [], []
    while True:
        frame -= int(lengths[index])
        frames.append(frame - lead)
        numbers.append(int(states.position[state]) + 1)
        step = back[frame, state, index]
        if step == UNSTARTED:
            break
        index, state = moves.source[index, step], states.previous[state]
    kept = [(f, n) for f, n in zip(reversed(frames), reversed(numbers), strict=True) if f >= 0]
    score = max(best.values())
    bar_beats = max(best, key=lambda bar: best[bar])
    return Path(
        np.array([f for f, _ in kept], np.int64),
        np.array([k for _, k in kept], np.int64),
        bar_beats,
        score,
        best,
    )
