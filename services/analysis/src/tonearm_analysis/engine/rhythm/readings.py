"""The readings of a tempo: the same music counted faster, slower or in threes, and their chances.

The decoder gives one grid of beats.  Grids at simple ratios of it are decoded as well; each can be
read with beats that divide in two (3/4, 4/4) or in three (6/8).  Some fifty measures along each
grid go into a soft-max over all readings, fitted on generated music.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.models import read_numbers
from tonearm_analysis.engine.rhythm import decoder, periodicity, pulse
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.listening import Heard

Doubles = npt.NDArray[np.float64]

SEARCH_BPM: Final = (55.0, 215.0)
READING_BPM: Final = (45.0, 230.0)
# Of 720 clips none had its tempo at three times, 4:3 or 3:4 of the first choice.
RATIOS: Final = (2.0, 1 / 2, 3 / 2, 2 / 3, 1 / 3)
LENGTH_SLACK: Final = 0.06
FEWEST_BEATS: Final = 4
WEIGHTS: Final = "rhythm_weights"
CURVES: Final = ("activation", "onset", "low", "high")
# A recipe fitted on recordings with tapped tempo, one measure among others here.
DOUBLE_WEIGHTS: Final = np.array([-4.701, 0.703, 0.748, 2.031])
DOUBLE_BIAS: Final = 0.870


@dataclass(frozen=True)
class Grid:
    """One way to lay beats.

    ratio: of its tempo to the decoder's first choice.  times_s: from the first frame.  bpm: its
    tempo.  three_over_four: log-likelihood of bars of three over bars of four, per beat.
    """

    ratio: float
    times_s: Doubles
    bpm: float
    three_over_four: float


def grids(heard: Heard) -> list[Grid]:
    """The decoder's choice first, then those at other ratios; empty when no four beats are found."""
    activation = heard.activations.sum(axis=1)
    lengths = decoder.lengths_between(*SEARCH_BPM)
    scores = periodicity.length_scores(activation, lengths)
    likely = scores > periodicity.floor_scores(lengths) + 1e-6
    first = decoder.decode(heard.activations, lengths[likely], scores[likely])
    base = _grid(heard, 1.0, first)
    if base is None:
        return []
    shortest, longest = np.percentile(np.diff(first.frames), [5, 95])
    found = [base]
    for ratio in RATIOS:
        if READING_BPM[0] <= base.bpm * ratio <= READING_BPM[1]:
            low = max(2, int(np.floor(shortest / ratio * (1 - LENGTH_SLACK))))
            high = max(low, int(np.ceil(longest / ratio * (1 + LENGTH_SLACK))))
            allowed = np.arange(low, high + 1)
            path = decoder.decode(heard.activations, allowed, np.zeros(len(allowed)))
            grid = _grid(heard, ratio, path)
            if grid is not None:
                found.append(grid)
    return found


def _grid(heard: Heard, ratio: float, path: decoder.Path) -> Grid | None:
    times = pulse.beat_times_s(path.frames, heard.activations.sum(axis=1))
    if len(times) < FEWEST_BEATS:
        return None
    difference = (path.scores[3] - path.scores[4]) / len(times)
    return Grid(ratio, times, pulse.tempo_bpm(times), difference)


def measures(heard: Heard, harmonic: HeardHarmony, found: list[Grid]) -> list[dict[str, float]]:
    """What speaks for or against each grid, by name; none of it depends on gain."""
    activation = heard.activations.sum(axis=1)
    curves = dict(zip(CURVES, (activation, *heard.onsets.T), strict=True))
    fine_bpm = np.geomspace(40.0, 240.0, 400)
    combs = {
        name: periodicity.comb(periodicity.autocorrelation(curves[name]), fine_bpm)
        for name in ("activation", "onset")
    }
    sounding_s = max(len(activation) / FRAME_RATE_HZ, 1e-9)
    chord_rate_hz = harmonic.change_between(heard.start_s, heard.start_s + sounding_s) / sounding_s
    onset_rate_hz = pulse.onset_count(heard.onsets[:, 0]) / sounding_s
    out = []
    for grid in found:
        octaves = float(np.log2(grid.bpm / 110.0))
        values = {"octaves": octaves, "octaves2": octaves**2, "octaves3": octaves**3}
        for name, curve in curves.items():
            values |= {f"{name}_{k}": v for k, v in _along(curve, grid.times_s).items()}
        for name, salience in combs.items():
            share = np.interp(grid.bpm, fine_bpm, salience) / (salience.max() + 1e-9)
            values[f"{name}_comb"] = float(np.log(share + 0.03))
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
        out.append(values)
    return out


def _along(curve: pulse.Curve, times_s: Doubles) -> dict[str, float]:
    """Strengths between the beats against those on them, and how beats differ from each other."""
    on = pulse.within_beats(curve, times_s, 0.0)
    mean = float(on.mean()) + 1e-9

    def part(*parts: float) -> float:
        strength = np.mean([pulse.within_beats(curve, times_s, p).mean() for p in parts])
        return float(np.log(strength / mean + 0.02))

    half, thirds = part(0.5), (part(1 / 3), part(2 / 3))
    even, odd = float(on[::2].mean()), float(on[1::2].mean())
    by_three = [float(on[k::3].mean()) for k in range(3)]
    return {
        "half": half,
        "thirds": sum(thirds) / 2,
        "weaker_third": min(thirds),
        "compound": min(thirds) - half,
        "quarters": part(0.25, 0.75),
        "by_two": abs(even - odd) / (even + odd + 1e-9),
        "by_three": max(by_three) / (sum(by_three) / 3 + 1e-9) - 1.0,
    }


def _doubling(values: dict[str, float]) -> float:
    """Chance that the felt tempo is twice this one, by the recipe of tapped recordings."""
    terms = [values[k] for k in ("octaves", "activation_half", "onset_half", "onset_quarters")]
    return float(1.0 / (1.0 + np.exp(-(DOUBLE_WEIGHTS @ np.array(terms) + DOUBLE_BIAS))))


def probabilities(values: list[dict[str, float]]) -> Doubles:
    """Chance of each reading, shape (2, grids): beats that divide in two, and in three."""
    weights: dict[str, Any] = read_numbers(WEIGHTS)["readings"]
    table = np.array([[row[name] for name in weights["names"]] for row in values])
    table = (table - np.array(weights["mean"])) / np.array(weights["deviation"])
    scores = np.stack(
        [
            table @ np.array(weights[kind]) + weights[f"{kind}_bias"]
            for kind in ("simple", "compound")
        ]
    ) / float(weights["temperature"])
    chance = np.exp(scores - scores.max())
    return np.asarray(chance / chance.sum(), np.float64)
