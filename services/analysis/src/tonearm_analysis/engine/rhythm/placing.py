"""Where the beats of a reading lie, and which of them begin bars.

Networks follow off-beats now and then, and the upbeat where beats divide in three.  So each grid
is tried as it is and moved by half a beat, or by one and two thirds; each of these in bars of three
and of four beats (of two, where beats divide in three) that begin at every beat in turn.  A soft-max
over all these, fitted as one, looks at the mean evidence on the first, second, ... beat of the bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.models import read_numbers
from tonearm_analysis.engine.numerics import softmax
from tonearm_analysis.engine.rhythm import bars
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.readings import Grid
from tonearm_analysis.engine.rhythm.section import MOVES, Section

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WEIGHTS: Final = "rhythm_weights"
KINDS: Final = ("simple", "compound")
SHIFTS: Final = {"simple": (0.0, 1 / 2), "compound": (0.0, 1 / 3, 2 / 3)}
BARS: Final = {"simple": (3, 4), "compound": (2,)}
# Evidence counts as if every recording had so many beats.
USUAL_BEATS: Final = 50
CURVES: Final = ("beat", "down", "onset", "low", "high", *MOVES)
STRONGEST_SHARE: Final = 0.25
LAGS_BEATS: Final = (2, 3, 4, 6, 8)
# What a break in the count costs, nats: a bar too long or too short now and then is music.
BREAK_NATS: Final = 6.0


class Place(NamedTuple):
    """One hypothesis.  shift: index into the grids tried; first: number of the first downbeat."""

    shift: int
    bar_beats: int
    first: int


class Placed(NamedTuple):
    """Beats and their numbers in the bar.  chance: of that bar length, given the reading."""

    times_s: Doubles
    numbers: Ints
    bar_beats: int
    chance: float


@dataclass(frozen=True)
class Tried:
    """A grid as it is and moved.

    times_s, tables: of each move the beats and their evidence.  strengths: of each move logarithms
    of how strong networks, onsets and harmonic change are along it.  three_over_four: as of the grid.
    """

    kind: str
    times_s: tuple[Doubles, ...]
    tables: tuple[Doubles, ...]
    strengths: tuple[Doubles, ...]
    three_over_four: float


def tried(section: Section, grid: Grid, kind: str) -> Tried:
    """The grid moved as `kind` of beat allows, with the evidence along it."""
    gaps = np.append(np.diff(grid.times_s), np.median(np.diff(grid.times_s)))
    times = tuple(grid.times_s + gaps * shift for shift in SHIFTS[kind])
    widened = section.widened(*CURVES)
    return Tried(
        kind,
        times,
        tuple(bars.evidence(section.heard, section.harmonic, times)),
        tuple(_strengths(widened, t) for t in times),
        grid.three_over_four,
    )


def _strengths(widened: Doubles, times_s: Doubles) -> Doubles:
    """Of each curve the mean on the beats, and that of the strongest quarter of them."""
    frames = np.round(times_s * FRAME_RATE_HZ).astype(int)
    on = widened[:, np.clip(frames, 0, widened.shape[1] - 1)]
    strongest = np.sort(on, axis=1)[:, -max(int(len(times_s) * STRONGEST_SHARE), 1) :]
    return np.log(np.concatenate([on.mean(axis=1), strongest.mean(axis=1)]) + 1e-3)


def places(found: Tried) -> tuple[list[Place], Doubles]:
    """All hypotheses and what speaks for each, (hypotheses, terms).

    The terms of a bar length: the evidence on its first, second, ... beat.  Then, for bar lengths
    but the shortest, what does not depend on where bars begin; then what tells the moves apart.
    """
    lengths, columns = BARS[found.kind], found.tables[0].shape[1]
    per_length = [_returns(found.tables[0]), np.array([found.three_over_four, 1.0])]
    at_all = np.concatenate(per_length)
    hypotheses, rows = [], []
    for shift, table in enumerate(found.tables):
        strengths = found.strengths[shift]
        if found.kind == "compound":  # the beat before a beat's last third is strong as well
            following = found.strengths[(shift + 1) % len(found.strengths)]
            strengths = np.concatenate([strengths, following])
        moved = np.append(strengths, float(shift > 0))
        for which, length in enumerate(lengths):
            sums = np.stack([table[k::length].sum(axis=0) for k in range(length)])
            sums = sums * (length / USUAL_BEATS)
            whole = np.zeros((len(lengths), len(at_all)))
            whole[which] = at_all
            for first in range(length):
                on = [np.zeros(columns * beats) for beats in lengths]
                on[which] = np.roll(sums, -first, axis=0).ravel()
                hypotheses.append(Place(shift, length, first))
                rows.append(np.concatenate([*on, *whole[1:], moved]))
    return hypotheses, np.array(rows)


def _returns(table: Doubles) -> Doubles:
    """How much the evidence returns after two, three, ... beats: its autocorrelation."""
    centred = table - table.mean(axis=0)
    power = (centred * centred).sum() / len(centred) + 1e-9
    return np.array([
        (centred[lag:] * centred[:-lag]).sum() / (len(centred) - lag) / power
        if len(centred) > lag + 2 else 0.0
        for lag in LAGS_BEATS
    ])  # fmt: skip


def place(found: Tried) -> Placed:
    """The likeliest bar length, the likeliest place in it, and the beats numbered so."""
    weights = _weights(found.kind)
    hypotheses, rows = places(found)
    chance = softmax(rows @ weights)
    by_length = {
        length: sum(float(c) for h, c in zip(hypotheses, chance, strict=True)
                    if h.bar_beats == length)
        for length in BARS[found.kind]
    }  # fmt: skip
    length = max(by_length, key=lambda beats: by_length[beats])
    inside = [k for k, h in enumerate(hypotheses) if h.bar_beats == length]
    best = hypotheses[max(inside, key=lambda k: float(chance[k]))]
    numbers = count(found.tables[best.shift], _by_beat(found, weights, length))
    return Placed(found.times_s[best.shift], numbers, length, by_length[length])


def _weights(kind: str) -> Doubles:
    numbers: dict[str, Any] = read_numbers(WEIGHTS)["places"]
    return np.array(numbers[kind], np.float64)


def _by_beat(found: Tried, weights: Doubles, length: int) -> Doubles:
    """The weights of the evidence on each beat of a bar, (beats of the bar, measures)."""
    columns = found.tables[0].shape[1]
    start = columns * sum(beats for beats in BARS[found.kind] if beats < length)
    return weights[start : start + columns * length].reshape(length, columns)


def count(table: Doubles, by_beat: Doubles) -> Ints:
    """The best numbering of beats, from 1; a break in the count has its price."""
    bar_beats = len(by_beat)
    fits = table @ by_beat.T * (bar_beats / USUAL_BEATS)
    value, back = fits[0].copy(), np.zeros(fits.shape, np.int64)
    onward = (np.arange(bar_beats) - 1) % bar_beats
    for beat in range(1, len(fits)):
        step, best = value[onward], int(value.argmax())
        broken = value[best] - BREAK_NATS
        back[beat] = np.where(step >= broken, onward, best)
        value = np.maximum(step, broken) + fits[beat]
    number = int(value.argmax())
    numbers = [number]
    for beat in range(len(fits) - 1, 0, -1):
        number = int(back[beat, number])
        numbers.append(number)
    return np.array(numbers[::-1]) + 1
