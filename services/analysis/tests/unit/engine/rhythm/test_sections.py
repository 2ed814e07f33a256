"""Long recordings are cut into sections and joined again without losing or doubling beats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate
from tonearm_analysis.engine.rhythm.sections import Sections


def _part(start_s: float, stop_s: float, bpm: float, confidence: float) -> RhythmEstimate:
    beats = tuple(float(t) for t in np.arange(np.ceil(start_s * bpm / 60), stop_s * bpm / 60)
                  * 60 / bpm)  # fmt: skip
    return RhythmEstimate(
        tempo_bpm=bpm,
        confidence=confidence,
        candidates=(TempoCandidate(bpm, confidence, "same"),),
        beats_s=beats,
        beat_positions=tuple(k % 4 + 1 for k in range(len(beats))),
        beat_confidence=confidence,
        meter="4/4",
        meter_confidence=0.9,
    )


def _joined(*parts: RhythmEstimate | None, handovers_s: tuple[float, ...]) -> RhythmEstimate:
    found = Sections()
    for part, handover_s in zip(parts, (*handovers_s, np.inf), strict=True):
        found.add(part, handover_s=handover_s)
    return found.joined(onset_rate_hz=2.0)


def test_beats_of_two_sections_join_on_one_grid() -> None:
    whole = _joined(_part(0, 60, 120.0, 0.9), _part(40, 100, 120.0, 0.7), handovers_s=(50.0,))
    assert np.diff(whole.beats_s) == pytest.approx(0.5)
    assert len(whole.beats_s) == 200
    assert whole.candidates[0].probability == pytest.approx(0.8)


@pytest.mark.parametrize("shift_s", [0.0, -0.01, 0.01])
def test_a_beat_heard_twice_at_the_seam_counts_once(shift_s: float) -> None:
    early, late = _part(0, 60, 120.0, 0.9), _part(40, 100, 120.0, 0.9)
    late = replace(late, beats_s=tuple(time_s + shift_s for time_s in late.beats_s))
    whole = _joined(early, late, handovers_s=(50.0,))
    assert np.diff(whole.beats_s) == pytest.approx(0.5, abs=0.011)


def test_beats_in_doubt_stand_where_the_next_section_has_none() -> None:
    whole = _joined(_part(0, 60, 120.0, 0.9), None, handovers_s=(50.0,))
    assert whole.beats_s[-1] == 59.5
    again = _joined(
        _part(0, 60, 120.0, 0.9), None, _part(80, 140, 120.0, 0.9), handovers_s=(50.0, 90.0)
    )
    assert np.diff(again.beats_s).max() == 80 - 59.5


def test_without_a_beat_anywhere_there_is_none() -> None:
    whole = _joined(None, None, handovers_s=(50.0,))
    assert (whole.tempo_bpm, whole.confidence, whole.beats_s) == (None, 0.0, ())


def test_the_tempo_of_most_beats_leads() -> None:
    parts = [_part(0, 30, 90.0, 0.99), _part(30, 100, 128.0, 0.6), _part(100, 170, 128.0, 0.8)]
    assert _joined(*parts, handovers_s=(30.0, 100.0)).tempo_bpm == 128.0
