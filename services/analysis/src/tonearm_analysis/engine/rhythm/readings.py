"""The readings of a tempo: the same music counted faster, slower or in threes, and their chances.

The decoder gives one grid of beats.  Grids at simple ratios of it are decoded as well; each can be
read with beats that divide in two (3/4, 4/4) or in three (6/8).  Some ninety measures of each grid
are scored by small networks, fitted on generated music, for a soft-max over all readings: strengths
along it, and after which parts and multiples of its beat the onsets, the beat networks' answers and
the harmony repeat.  Which tempi are usual is not left to the generated music, which has slow and fast
tempi as often as middling ones: people feel most music near 120 bpm (McKinney and Moelants, "Ambiguity
in tempo perception", Music Perception 24, 2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.models import read_numbers
from tonearm_analysis.engine.numerics import softmax
from tonearm_analysis.engine.rhythm import decoder, periodicity, pulse
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ, Floats
from tonearm_analysis.engine.rhythm.listening import Heard
from tonearm_analysis.engine.rhythm.section import MOVES, Section
from tonearm_analysis.engine.rhythm.slips import without_slips

Doubles = npt.NDArray[np.float64]

SEARCH_BPM: Final = (55.0, 215.0)
READING_BPM: Final = (45.0, 230.0)
# Octaves count from here.
MIDDLE_BPM: Final = 110.0
# Of 720 clips none had its tempo at three times, 4:3 or 3:4 of the first choice.
RATIOS: Final = (2.0, 1 / 2, 3 / 2, 2 / 3, 1 / 3)
LENGTH_SLACK: Final = 0.06
FEWEST_BEATS: Final = 4
# How usual a tempo is: normal over octaves, about the centre of tapped recordings, as wide as did
# best on music of other generators.
USUAL_BPM: Final = periodicity.PRIOR_CENTRE_BPM
USUAL_OCTAVES: Final = 0.6
# Measures count no farther than so many deviations from their mean.
FARTHEST: Final = 4.0
WEIGHTS: Final = "rhythm_weights"
CURVES: Final = ("activation", "onset", "low", "high")
REPEATING: Final = {
    **{name: name for name in ("activation", "onset", "down")},
    **{f"{name}_change": name for name in MOVES},
}
PARTS: Final = (0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4)
# A recipe fitted on recordings with tapped tempo, one measure among others here.
DOUBLE_WEIGHTS: Final = np.array([-4.701, 0.703, 0.748, 2.031])
DOUBLE_BIAS: Final = 0.870


@dataclass(frozen=True)
class Grid:
    """One way to lay beats.

    ratio: of its tempo to the decoder's first choice.  times_s: from the first frame.  bpm: its
    tempo.  three_over_four: log-likelihood of bars of three over bars of four, per beat.
    unevenness: deviation of the beats' lengths over their mean, as the decoder laid them.
    """

    ratio: float
    times_s: Doubles
    bpm: float
    three_over_four: float
    unevenness: float


def grids(heard: Heard) -> list[Grid]:
    """The decoder's choice first, then those at other ratios; empty when no four beats are found."""
    activation = heard.activations.sum(axis=1)
    lengths = decoder.lengths_between(*SEARCH_BPM)
    scores = periodicity.length_scores(activation, lengths)
    likely = scores > periodicity.floor_scores(lengths) + 1e-6
    (first,) = decoder.decode(heard.activations, [decoder.Choice(lengths[likely], scores[likely])])
    base = _grid(activation, 1.0, first)
    if base is None:
        return []
    ratios = [r for r in RATIOS if READING_BPM[0] <= base.bpm * r <= READING_BPM[1]]
    span = np.percentile(np.diff(first.frames), [5, 95])
    paths = decoder.decode(heard.activations, [_choice(*(span / ratio)) for ratio in ratios])
    others = (_grid(activation, *found) for found in zip(ratios, paths, strict=True))
    return [base, *(grid for grid in others if grid is not None)]


def _choice(shortest: float, longest: float) -> decoder.Choice:
    """All beat lengths between two, frames, with some slack and no favourite."""
    low = max(2, int(np.floor(shortest * (1 - LENGTH_SLACK))))
    high = max(low, int(np.ceil(longest * (1 + LENGTH_SLACK))))
    lengths = np.arange(low, high + 1)
    return decoder.Choice(lengths, np.zeros(len(lengths)))


def _grid(activation: Floats, ratio: float, path: decoder.Path) -> Grid | None:
    times = pulse.beat_times_s(path.frames, activation)
    if len(times) < FEWEST_BEATS:
        return None
    difference = (path.scores[3] - path.scores[4]) / len(times)
    gaps = np.diff(times)
    steady = without_slips(times, pulse.tempo_bpm(times))
    return Grid(ratio, steady, pulse.tempo_bpm(steady), difference, float(gaps.std() / gaps.mean()))


def measures(section: Section, found: list[Grid]) -> list[dict[str, float]]:
    """What speaks for or against each grid, by name; none of it depends on gain.

    Without harmony there is nothing that would be measured of it.
    """
    heard, harmonic, curves = section.heard, section.harmonic, section.curves
    repeating = {
        name: periodicity.autocorrelation(curves[curve]) for name, curve in REPEATING.items()
    }
    widened = section.widened(*CURVES, *MOVES)
    bpm = np.array([grid.bpm for grid in found])
    echoes = {name: periodicity.echoes(curve, bpm) for name, curve in repeating.items()}
    fine_bpm = np.geomspace(40.0, 240.0, 400)
    combs = {name: periodicity.comb(repeating[name], fine_bpm) for name in ("activation", "onset")}
    sounding_s = max(len(heard.activations) / FRAME_RATE_HZ, 1e-9)
    chord_rate_hz = harmonic.change_between(heard.start_s, heard.start_s + sounding_s) / sounding_s
    onset_rate_hz = pulse.onset_count(heard.onsets[:, 0]) / sounding_s
    out = []
    for index, grid in enumerate(found):
        octaves = float(np.log2(grid.bpm / MIDDLE_BPM))
        values = {"octaves": octaves, "octaves2": octaves**2, "octaves3": octaves**3}
        strengths = _strengths(widened, grid.times_s)
        for name, strength in zip(CURVES, strengths, strict=False):
            values |= {f"{name}_{k}": v for k, v in _along(strength).items()}
        for name, salience in combs.items():
            share = np.interp(grid.bpm, fine_bpm, salience) / (salience.max() + 1e-9)
            values[f"{name}_comb"] = float(np.log(share + 0.03))
        for name, strength in zip(MOVES, strengths[len(CURVES) :], strict=True):
            values |= {f"{name}_change_{k}": v for k, v in _moves_along(strength).items()}
        for name, table in echoes.items():
            after = zip(periodicity.ECHOES, table[index], strict=True)
            values |= {f"{name}_after_{k}": float(v) for k, v in after}
        beats_s = 60.0 / grid.bpm
        values["chord_pace"] = float(np.log2(chord_rate_hz * beats_s + 0.05))
        values["chord_pace2"] = values["chord_pace"] ** 2
        values["onset_pace"] = float(np.log2(onset_rate_hz * beats_s + 0.1))
        values["onset_pace2"] = values["onset_pace"] ** 2
        values["three_over_four"] = grid.three_over_four
        values["first_choice"] = float(grid.ratio == 1.0)
        gaps = np.diff(grid.times_s)
        values["unevenness"] = float(np.log(gaps.std() / gaps.mean() + 0.005))
        values["doubling"] = _doubling(values)
        if not harmonic.level.any():
            values = {name: v for name, v in values.items() if not _of_harmony(name)}
        out.append(values)
    return out


def _of_harmony(name: str) -> bool:
    return name.startswith(("chord_", "bass_"))


def _strengths(widened: Doubles, times_s: Doubles) -> Doubles:
    """Each curve's strength near parts of every beat but the last, (curves, PARTS, beats)."""
    places_s = times_s[:-1] + np.diff(times_s) * np.array(PARTS)[:, None]
    frames = np.round(places_s * FRAME_RATE_HZ).astype(int)
    return np.asarray(widened[:, np.clip(frames, 0, widened.shape[1] - 1)], np.float64)


def _along(strength: Doubles) -> dict[str, float]:
    """Strengths between the beats against those on them, and how beats differ from each other.

    strength: (PARTS, beats).
    """
    mean = float(strength[0].mean()) + 1e-9
    parts = strength.mean(axis=1) / mean
    half = float(np.log(parts[3] + 0.02))
    thirds = float(np.log(parts[2] + 0.02)), float(np.log(parts[4] + 0.02))
    return {
        "half": half,
        "thirds": sum(thirds) / 2,
        "weaker_third": min(thirds),
        "compound": min(thirds) - half,
        "quarters": float(np.log((parts[1] + parts[5]) / 2 + 0.02)),
        **_differences(strength[0], 1e-9),
    }


def _moves_along(strength: Doubles) -> dict[str, float]:
    """Harmonic change between the beats against that on them, and how beats differ."""
    parts = strength.mean(axis=1) / (float(strength[0].mean()) + 1e-3)
    half, third, two_thirds = (float(np.log(parts[k] + 0.05)) for k in (3, 2, 4))
    return {
        "half": half,
        "thirds": (third + two_thirds) / 2,
        **_differences(strength[0], 1e-3),
    }


def _differences(on: Doubles, floor: float) -> dict[str, float]:
    """How every second and every third beat stands out, 0 where all are alike."""
    even, odd = float(on[::2].mean()), float(on[1::2].mean())
    by_three = [float(on[k::3].mean()) for k in range(3)]
    return {
        "by_two": abs(even - odd) / (even + odd + floor),
        "by_three": max(by_three) / (sum(by_three) / 3 + floor) - 1.0,
    }


def _doubling(values: dict[str, float]) -> float:
    """Chance that the felt tempo is twice this one, by the recipe of tapped recordings."""
    terms = [values[k] for k in ("octaves", "activation_half", "onset_half", "onset_quarters")]
    return float(1.0 / (1.0 + np.exp(-(DOUBLE_WEIGHTS @ np.array(terms) + DOUBLE_BIAS))))


def probabilities(values: list[dict[str, float]]) -> Doubles:
    """Chance of each reading, shape (2, grids): beats that divide in two, and in three."""
    numbers: dict[str, Any] = read_numbers(WEIGHTS)["readings"]
    return chances(numbers, values)


def chances(numbers: dict[str, Any], values: list[dict[str, float]]) -> Doubles:
    """The chances that the numbers of a fit give: of the mean score of some small networks, and of
    how usual the tempo is.

    What was not measured counts as its mean.
    """
    usual = dict(zip(numbers["names"], numbers["mean"], strict=True))
    table = np.array([[row.get(name, mean) for name, mean in usual.items()] for row in values])
    table = (table - np.array(numbers["mean"])) / np.array(numbers["deviation"])
    table = np.clip(table, -FARTHEST, FARTHEST)
    scores = np.mean([network_scores(net, table) for net in numbers["networks"]], axis=0)
    octaves = np.array([row["octaves"] for row in values]) - np.log2(USUAL_BPM / MIDDLE_BPM)
    usualness = -0.5 * np.square(octaves / USUAL_OCTAVES)
    return softmax(scores.T / float(numbers["temperature"]) + usualness)


def network_scores(net: dict[str, Any], table: Doubles) -> Doubles:
    """Scores (grids, 2) of a linear part and one hidden layer beside it."""
    hidden = np.tanh(table @ np.array(net["into"]) + np.array(net["into_bias"]))
    straight = table @ np.array(net["straight"]) + np.array(net["bias"])
    return np.asarray(straight + hidden @ np.array(net["out"]), np.float64)
