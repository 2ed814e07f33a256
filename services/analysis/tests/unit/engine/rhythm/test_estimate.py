"""Tempo, beats and bars of sounds whose truth is known, and "none" where there is no beat."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine import harmony, rhythm
from tonearm_analysis.engine.rhythm.estimate import relation

Floats = NDArray[np.float32]

RATE_HZ: Final = 22_050


def test_a_band_at_120_in_four(four: Floats) -> None:
    found = rhythm.estimate(four)
    assert found.tempo_bpm == pytest.approx(120.0, rel=0.01)
    assert found.meter == "4/4"
    assert found.confidence > 0.5
    beats = np.array(found.beats_s)
    assert np.abs(beats - 0.5 * np.round(beats / 0.5)).max() < 0.05
    assert np.all(np.diff(beats) > 0)
    assert found.downbeats_s == tuple(
        t for t, k in zip(found.beats_s, found.beat_positions, strict=True) if k == 1
    )
    assert found.stability > 0.8
    assert found.tempo_curve[0].bpm == pytest.approx(120.0, rel=0.05)


def test_the_same_sound_gives_the_same_estimate(four: Floats) -> None:
    assert rhythm.estimate(four) == rhythm.estimate(four)


def test_a_preferred_range_picks_another_reading_of_the_same_hearing(four: Floats) -> None:
    heard, harmonic = rhythm.hear(four), harmony.hear(four)
    slow = rhythm.estimate_heard(heard, harmonic, tempo_range_bpm=(50.0, 70.0))
    assert slow.tempo_bpm == pytest.approx(60.0, rel=0.02)
    assert np.median(np.diff(slow.beats_s)) == pytest.approx(1.0, rel=0.03)
    double = next(c for c in slow.candidates if c.relation == "double")
    assert double.bpm == pytest.approx(120.0, rel=0.02)
    assert double.probability > slow.confidence
    found = rhythm.estimate_heard(heard, harmonic)
    assert {c.bpm: c.probability for c in slow.candidates} == {
        c.bpm: c.probability for c in found.candidates
    }
    assert rhythm.ranked_for(found, (50.0, 70.0)).candidates == slow.candidates


def test_leading_silence_moves_the_beats(four: Floats) -> None:
    shift = 22_050 + 333
    plain = rhythm.estimate(four)
    later = rhythm.estimate(np.concatenate([np.zeros(shift, np.float32), four]))
    moved = np.array(later.beats_s[: len(plain.beats_s)]) - np.array(plain.beats_s)
    assert np.abs(moved - shift / RATE_HZ).max() < 2e-3


def _noise(seconds: float) -> Floats:
    return np.random.default_rng(1).standard_normal(int(seconds * RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(10 * RATE_HZ, np.float32),
        np.full(10 * RATE_HZ, np.nan, np.float32),
        np.ones(10 * RATE_HZ, np.float32),
        0.1 * _noise(12.0),
        np.zeros(0, np.float32),
        _noise(1.0),
        np.sin(2 * np.pi * 440 * np.arange(12 * RATE_HZ) / RATE_HZ).astype(np.float32),
    ],
    ids=["silence", "nan", "dc", "noise", "empty", "too short", "sine"],
)
def test_no_beat_is_answered_with_none(sound: Floats) -> None:
    found = rhythm.estimate(sound)
    assert found.tempo_bpm is None
    assert found.confidence < 0.2
    assert found.beats_s == ()
    assert found.meter is None


@pytest.mark.parametrize(
    ("ratio", "name"),
    [(1.01, "same"), (2.0, "double"), (0.5, "half"), (1.5, "3:2"), (0.667, "2:3"), (1.23, "other")],
)
def test_relations_have_names(ratio: float, name: str) -> None:
    assert relation(ratio) == name
