"""A preferred range picks another reading without hearing anything again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tonearm_analysis.engine.rhythm import RhythmEstimate, TempoCandidate, ranked_for

BEATS = tuple(round(0.3 + 0.5 * k, 4) for k in range(41))
ESTIMATE = RhythmEstimate(
    tempo_bpm=120.0,
    confidence=0.7,
    candidates=(
        TempoCandidate(120.0, 0.7, "same"),
        TempoCandidate(60.0, 0.2, "half"),
        TempoCandidate(240.0, 0.05, "double"),
    ),
    beats_s=BEATS,
    beat_positions=tuple((k + 3) % 4 + 1 for k in range(41)),
    downbeats_s=BEATS[1::4],
    meter="4/4",
)


def test_half_the_tempo_keeps_the_downbeats_on_beats() -> None:
    found = ranked_for(ESTIMATE, (50.0, 80.0))
    assert (found.tempo_bpm, found.confidence) == (60.0, 0.2)
    assert np.diff(found.beats_s) == pytest.approx(1.0)
    assert found.downbeats_s[0] == ESTIMATE.downbeats_s[0]
    assert [c.relation for c in found.candidates] == ["same", "double", "other"]


def test_double_the_tempo_puts_beats_between() -> None:
    found = ranked_for(ESTIMATE, (200.0, 300.0))
    assert np.diff(found.beats_s) == pytest.approx(0.25)
    assert set(BEATS) <= set(found.beats_s)


def test_beats_do_not_drift_where_the_measured_tempi_are_no_exact_double() -> None:
    measured = (TempoCandidate(120.0, 0.7, "same"), TempoCandidate(239.4, 0.05, "double"))
    found = ranked_for(replace(ESTIMATE, candidates=measured), (200.0, 300.0))
    assert found.tempo_bpm == 239.4
    assert len(found.beats_s) == 2 * len(BEATS) - 1
    assert set(BEATS) <= set(found.beats_s)


@pytest.mark.parametrize("wanted", [(100.0, 130.0), (130.0, 140.0)])
def test_a_range_that_holds_the_first_reading_or_none_changes_nothing(
    wanted: tuple[float, float],
) -> None:
    assert ranked_for(ESTIMATE, wanted) is ESTIMATE


@pytest.mark.parametrize(("wanted", "bpm"), [((50.0, 70.0), 60.0), ((200.0, 300.0), 240.0)])
def test_half_and_double_can_be_had_of_a_tempo_without_rivals(
    wanted: tuple[float, float], bpm: float
) -> None:
    sure = replace(ESTIMATE, candidates=(TempoCandidate(120.0, 1.0, "same"),))
    found = ranked_for(sure, wanted)
    assert [(c.bpm, c.probability) for c in found.candidates] == [(bpm, 0.0), (120.0, 1.0)]
    assert found.tempo_bpm == bpm


def test_no_beat_stays_no_beat() -> None:
    none = RhythmEstimate(None, 0.0)
    assert ranked_for(none, (60.0, 90.0)) is none
