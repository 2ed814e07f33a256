"""Whether there is a beat: what it is told by, and that unmeasured counts as usual."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_analysis.engine.rhythm import Heard, presence
from tonearm_analysis.engine.rhythm.readings import Grid

NUMBERS = {
    "names": ["beats_contrast", "chord_pace"],
    "mean": [1.0, -1.0],
    "deviation": [0.5, 2.0],
    "weights": [2.0, 1.0],
    "bias": 0.5,
    "none_below": 0.1,
}


def test_clear_beats_stand_out_of_what_is_between() -> None:
    on = np.arange(10, 500, 25)
    clear, vague = (np.full((500, 2), low, np.float32) for low in (0.01, 0.3))
    clear[on, 0] = vague[on, 0] = 0.6
    rows = []
    for activations in (clear, vague):
        heard = Heard(activations, np.zeros((500, 3), np.float32), start_s=0.0, duration_s=10.0)
        grid = Grid(1.0, on / 50, 120.0, 0.0, 0.02)
        rows.append(presence.measures(heard, grid, {"half": 0.25}))
    assert rows[0]["beats_contrast"] > rows[1]["beats_contrast"] + 1
    assert rows[0]["beats_mean"] == pytest.approx(np.log(0.61 + 0.01), abs=0.02)
    assert all(row["half"] == 0.25 for row in rows)


def test_what_was_not_measured_counts_as_its_mean() -> None:
    known = presence.chance(NUMBERS, {"beats_contrast": 1.5, "chord_pace": -1.0})
    assert presence.chance(NUMBERS, {"beats_contrast": 1.5}) == known
    assert known == pytest.approx(1 / (1 + np.exp(-2.5)))


def test_one_strange_measure_does_not_outweigh_all() -> None:
    far = [presence.chance(NUMBERS, {"beats_contrast": value}) for value in (3.0, 30.0)]
    assert far[0] == far[1]
