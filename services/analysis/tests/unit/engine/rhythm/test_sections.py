"""Long recordings are cut into sections and joined again without losing or doubling beats."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate
from tonearm_analysis.engine.rhythm.sections import (
    OVERLAP_FRAMES,
    SECTION_FRAMES,
    in_turn,
    joined,
    sections,
)


@pytest.mark.parametrize("n", [0, 100, SECTION_FRAMES, SECTION_FRAMES + 1, 540_000])
def test_sections_cover_all_frames_and_overlap(n: int) -> None:
    ranges = sections(n)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == n
    assert all(stop - start <= SECTION_FRAMES for start, stop in ranges)
    for (_, stop), (start, _) in pairwise(ranges):
        assert stop - start == OVERLAP_FRAMES


@pytest.mark.parametrize("n", [0, SECTION_FRAMES + 1, 540_000])
def test_sections_come_in_turn(n: int) -> None:
    assert list(in_turn(sections(n))) == sections(n)


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


def test_beats_of_two_sections_join_on_one_grid() -> None:
    whole = joined([_part(0, 60, 120.0, 0.9), _part(40, 100, 120.0, 0.7)], onset_rate_hz=2.0)
    assert np.diff(whole.beats_s) == pytest.approx(0.5)
    assert len(whole.beats_s) == 200
    assert whole.candidates[0].probability == pytest.approx(0.8)


def test_the_tempo_of_most_beats_leads() -> None:
    parts = [_part(0, 30, 90.0, 0.99), _part(30, 100, 128.0, 0.6), _part(100, 170, 128.0, 0.8)]
    assert joined(parts, onset_rate_hz=1.0).tempo_bpm == 128.0
