"""Beats that slipped from a steady pulse are laid along it; all others stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_analysis.engine.rhythm.slips import without_slips

BEAT_S = 0.5
STEADY = 0.3 + BEAT_S * np.arange(60)


def slipped(from_beat: int, to_beat: int, by_beats: float = 0.5) -> np.ndarray:
    """The steady beats, moved between two of them; four beats long the move comes and goes."""
    number = np.arange(len(STEADY))
    moved = np.interp(
        number, [from_beat, from_beat + 4, to_beat, to_beat + 4], [0, by_beats, by_beats, 0]
    )
    return np.asarray(STEADY + moved * BEAT_S)


def test_a_slip_to_the_off_beat_and_back_is_undone() -> None:
    found = without_slips(slipped(20, 40), 120.0)
    assert found == pytest.approx(STEADY, abs=1e-3)


def test_where_the_slip_lasts_longer_the_off_beats_stay_for_the_places_to_judge() -> None:
    found = without_slips(slipped(8, 52), 120.0)
    off = (found - STEADY[0]) / BEAT_S % 1
    assert off == pytest.approx(0.5, abs=0.01)
    assert np.diff(found) == pytest.approx(BEAT_S, abs=1e-3)


def test_the_pulse_is_found_though_the_tempo_given_is_a_little_off() -> None:
    assert without_slips(slipped(20, 40), 121.0) == pytest.approx(STEADY, abs=1e-3)


@pytest.mark.parametrize(
    "times",
    [
        STEADY,
        STEADY[:15],
        slipped(20, 40, by_beats=0.2),  # played early or late, not counted on the off-beat
        slipped(30, 32),  # a few ornaments
        np.cumsum(np.geomspace(0.6, 0.4, 60)),  # an accelerando
        np.cumsum(np.random.default_rng(3).uniform(0.3, 0.7, 60)),  # no tempo at all
    ],
)
def test_what_did_not_slip_stays(times: np.ndarray) -> None:
    bpm = 60.0 / float(np.median(np.diff(times)))
    assert without_slips(times, bpm) is times


def test_no_beat_lies_before_the_sound() -> None:
    found = without_slips(slipped(20, 40) - STEADY[0], 120.0)
    assert found[0] >= 0.0
