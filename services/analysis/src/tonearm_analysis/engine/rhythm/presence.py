"""Whether there is a beat at all: logistic regression on music and on sound without a beat.

It looks at all that the readings are told by, for a beat shows in what repeats after it, and at how
clearly and evenly the networks heard this one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tonearm_analysis.engine.models import read_numbers
from tonearm_analysis.engine.rhythm import pulse, readings
from tonearm_analysis.engine.rhythm.listening import Heard

WEIGHTS: Final = "rhythm_weights"


def measures(heard: Heard, grid: readings.Grid, values: dict[str, float]) -> dict[str, float]:
    """A grid's measures, `values`, and how the networks' answers lie along it."""
    activation = heard.activations.sum(axis=1)
    on = pulse.within_beats(activation, grid.times_s, 0.0)
    between = pulse.within_beats(activation, grid.times_s, 0.5)
    mean, elsewhere = float(on.mean()) + 0.01, float(between.mean()) + 0.01
    return values | {
        "beats_mean": float(np.log(mean)),
        "beats_contrast": float(np.log(mean / elsewhere)),
        "beats_deviation": float(np.log(float(on.std()) + 0.01)),
        "beats_median": float(np.log(float(np.median(on)) + 0.01)),
        "laid_unevenness": float(np.log(grid.unevenness + 0.005)),
    }


def probability(heard: Heard, grid: readings.Grid, values: dict[str, float]) -> float:
    """Chance that there is a beat at all, of one grid and its measures."""
    return chance(numbers(), measures(heard, grid, values))


def numbers() -> dict[str, Any]:
    """The numbers of the fit; below the chance `none_below` there is no beat."""
    found: dict[str, Any] = read_numbers(WEIGHTS)["presence"]
    return found


def chance(numbers: dict[str, Any], row: dict[str, float]) -> float:
    """The chance that the numbers of a fit give; what was not measured counts as its mean."""
    usual = zip(numbers["names"], numbers["mean"], strict=True)
    values = np.array([row.get(name, mean) for name, mean in usual])
    away = (values - np.array(numbers["mean"])) / np.array(numbers["deviation"])
    away = np.clip(away, -readings.FARTHEST, readings.FARTHEST)
    odds = float(away @ np.array(numbers["weights"])) + float(numbers["bias"])
    return float(1.0 / (1.0 + np.exp(-odds)))
