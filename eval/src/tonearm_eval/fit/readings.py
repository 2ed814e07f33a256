"""Fit the networks that score the readings of a tempo."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm import readings
from tonearm_eval.fit.alternatives import networks
from tonearm_eval.fit.example import Example

Doubles = npt.NDArray[np.float64]

STRAIGHT_L2, HIDDEN_L2 = 30.0, 3.0
# Styles are dealt into so many hands; chances are checked on the hand that was left out.
STYLE_HANDS: Final = 5
Fits = list[tuple[dict[str, Any], list[Example]]]


def fit_readings(examples: list[Example]) -> dict[str, Any]:
    """Networks of the soft-max over readings."""
    names = list(examples[0].values[0])
    raw = [np.array([[row[n] for n in names] for row in e.values]) for e in examples]
    rows = np.concatenate(raw)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    far = readings.FARTHEST
    tables = [np.clip((table - mean) / deviation, -far, far) for table in raw]
    right = []
    for e in examples:
        compound = e.clip.meter == "6/8"
        right.append(np.stack([e.hit & (not compound), e.hit & compound]))
    found = networks(tables, right, straight_l2=STRAIGHT_L2, hidden_l2=HIDDEN_L2)
    return {
        "names": names,
        "mean": mean,
        "deviation": deviation,
        "networks": found,
        "temperature": 1.0,
    }


def left_out_fits(examples: list[Example]) -> Fits:
    """Readings fitted without some styles, each beside the examples of those styles."""
    styles = sorted({e.clip.style for e in examples})
    hand = {style: k % STYLE_HANDS for k, style in enumerate(styles)}
    out = []
    for number in range(min(STYLE_HANDS, len(styles))):
        kept = [e for e in examples if hand[e.clip.style] != number]
        left = [e for e in examples if hand[e.clip.style] == number]
        out.append((fit_readings(kept or left), left))
    return out


def fit_temperature(fits: Fits) -> float:
    """The soft-max temperature that makes chances come true on styles outside the fit."""
    best, best_loss = 1.0, np.inf
    for temperature in np.geomspace(0.7, 3.0, 24):
        loss = 0.0
        for numbers, left in fits:
            for e in left:
                chance = readings.chances(numbers | {"temperature": temperature}, e.values)
                loss -= float(np.log(chance[int(e.clip.meter == "6/8"), e.hit].sum() + 1e-3))
        if loss < best_loss:
            best, best_loss = float(temperature), loss
    return best


def report_left_out(fits: Fits, temperature: float) -> None:
    """Print how often the first reading is right in styles outside the fit, by its chance."""
    rows = []
    for numbers, left in fits:
        for e in left:
            both = readings.chances(numbers | {"temperature": temperature}, e.values)
            kind, first = np.unravel_index(int(both.argmax()), both.shape)
            right = (kind == 1) == (e.clip.meter == "6/8")
            rows.append((both.sum(axis=0)[first], e.hit[first], right))
    stated, right, compound = np.array(rows, float).T
    print(f"styles left out: tempo {right.mean():.3f}, stated {stated.mean():.3f}, "
          f"two or three {compound.mean():.3f}, n = {len(rows)}")  # fmt: skip
    for low, high in ((0.0, 0.5), (0.5, 0.65), (0.65, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = (stated >= low) & (stated < high)
        if inside.any():
            print(f"  stated {stated[inside].mean():.2f}: {right[inside].mean():.2f} right, "
                  f"n = {inside.sum()}")  # fmt: skip
