"""Key, tuning and chords of cadences whose truth is known, and "none" where there is no pitch."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine import harmony
from tonearm_analysis.engine.harmony.chords import best_path

Floats = NDArray[np.float32]

RATE_HZ: Final = 22_050
CADENCES: Final = {
    "major": ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)),
    "minor": ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7)),
    "vamp": ((0, 4, 7), (5, 9, 12)),
}


def cadence(tonic: int, mode: str, *, cents: float = 0.0, rounds: int = 2) -> Floats:
    """I-IV-V-I, two seconds a chord, with a bass an octave below."""
    when = np.arange(2 * RATE_HZ) / RATE_HZ
    parts = []
    for degrees in CADENCES[mode] * rounds:
        chord = np.zeros(len(when))
        for degree in (degrees[0] - 12, *degrees):
            hz = 261.6256 * 2 ** ((tonic + degree + cents / 100) / 12)
            wave = sum(np.sin(2 * np.pi * k * hz * when) / k**1.5 for k in range(1, 7))
            chord += np.exp(-1.5 * when) * np.asarray(wave)
        parts.append(chord)
    return np.asarray(0.08 * np.concatenate(parts), np.float32)


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", [0, 4, 9])
def test_the_key_of_a_cadence(tonic: int, mode: str) -> None:
    found = harmony.estimate(cadence(tonic, mode))
    best = found.candidates[0]
    assert (best.tonic_class, best.mode) == (tonic, mode)
    assert found.key == best.key
    assert found.confidence == best.probability
    assert [c.probability for c in found.candidates] == sorted(
        (c.probability for c in found.candidates), reverse=True
    )


def test_chords_follow_each_other_without_gaps_and_change_on_beats() -> None:
    found = harmony.estimate(cadence(0, "major"), beats_s=[float(t) for t in np.arange(0, 16, 0.5)])
    assert [c.label for c in found.chords] == ["C", "F", "G", "C", "F", "G", "C"]
    assert found.chords[0].start_s == 0.0
    assert found.chords[-1].end_s == pytest.approx(16.0)
    for before, after in zip(found.chords[:-1], found.chords[1:], strict=True):
        assert before.end_s == after.start_s
        assert abs(after.start_s - round(after.start_s)) < 0.06


def test_of_two_chords_the_one_that_begins_phrases_is_the_likelier_tonic() -> None:
    vamp, beats_s = cadence(0, "vamp", rounds=6), [0.5 * k for k in range(48)]
    on_c, on_f = (
        harmony.estimate(vamp, beats_s=beats_s, downbeats_s=beats_s[first::4]).candidates
        for first in (0, 4)
    )
    chance_c, chance_f = (
        next(c.probability for c in found if c.key == "C major") for found in (on_c, on_f)
    )
    assert on_c[0].key == "C major"
    assert chance_f < chance_c


@pytest.mark.parametrize("cents", [-30.0, 0.0, 25.0])
def test_tuning(cents: float) -> None:
    found = harmony.estimate(cadence(2, "major", cents=cents))
    assert found.tuning_cents == pytest.approx(cents, abs=8.0)
    assert found.candidates[0].key == "D major"


@pytest.mark.parametrize("cents", [-44.0, -30.0, 30.0, 44.0])
def test_music_between_the_semitones_is_heard_as_if_it_were_in_tune(cents: float) -> None:
    tuned, off = (harmony.estimate(cadence(2, "major", cents=c)) for c in (0.0, cents))
    assert off.tuning_cents == pytest.approx(cents, abs=8.0)
    assert off.key == tuned.key
    assert off.confidence == pytest.approx(tuned.confidence, abs=0.005)
    assert [chord.label for chord in off.chords] == [chord.label for chord in tuned.chords]
    assert np.corrcoef(off.chroma, tuned.chroma)[0, 1] > 0.98


def test_gain_does_not_matter() -> None:
    sound = cadence(7, "minor")
    loud, quiet = harmony.estimate(sound), harmony.estimate(sound * np.float32(0.1))
    assert loud.key == quiet.key
    assert loud.confidence == pytest.approx(quiet.confidence, abs=1e-3)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(8 * RATE_HZ, np.float32),
        np.full(8 * RATE_HZ, np.nan, np.float32),
        np.zeros(0, np.float32),
        np.random.default_rng(2).standard_normal(8 * RATE_HZ).astype(np.float32),
    ],
    ids=["silence", "nan", "empty", "noise"],
)
def test_no_pitch_is_answered_with_none(sound: Floats) -> None:
    found = harmony.estimate(sound)
    assert found.key is None
    assert found.confidence < 0.2
    assert found.candidates == ()


def test_a_change_costs_what_it_costs() -> None:
    evidence = np.zeros((6, 3))
    evidence[:3, 0] = evidence[3:, 1] = 1.0
    assert best_path(evidence, 1.0).tolist() == [0, 0, 0, 1, 1, 1]
    assert len(set(best_path(evidence, 10.0).tolist())) == 1
