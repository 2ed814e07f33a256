"""What the key rests on: first chords, the chords that begin phrases, and keys that they tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_analysis.engine.harmony.key import NO_CHORD, opening_chord, phrase_chords
from tonearm_analysis.engine.harmony.model import Chord


def song(*labels: str) -> list[Chord]:
    """Two seconds of each."""
    return [Chord(2.0 * k, 2.0 * k + 2, label, 1.0) for k, label in enumerate(labels)]


def test_the_opening_chord_is_the_first_that_is_one() -> None:
    assert opening_chord(song("N", "A:min", "C")) == 21
    assert opening_chord(song("N")) == opening_chord([]) == NO_CHORD


def test_phrases_begin_on_every_fourth_downbeat() -> None:
    loop = song("G", "C", "D", "C", "G", "C", "D", "N")
    shares = phrase_chords(loop, [2.0 * k for k in range(8)])
    assert shares[7] == 1.0
    assert shares.sum() == 1.0


def test_a_pickup_of_one_bar_moves_the_phrases() -> None:
    shares = phrase_chords(song(*"GCDCGCDC"), [2.0 * k for k in range(1, 8)])
    assert shares[0] == 1.0


def test_a_chord_that_begins_just_after_its_downbeat_counts_for_it() -> None:
    chords = [Chord(0.0, 4.04, "F", 1.0), Chord(4.04, 9.0, "E:min", 1.0)]
    shares = phrase_chords(chords, [0.0, 1.0, 2.0, 3.0, 4.0])
    assert (shares[5], shares[16]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("labels", "downbeats"), [((), 8), (("C", "F", "G", "C"), 3), (("N", "N", "N", "N"), 4)]
)
def test_nothing_is_told_without_chords_or_bars(labels: tuple[str, ...], downbeats: int) -> None:
    shares = phrase_chords(song(*labels), [2.0 * k for k in range(downbeats)])
    assert not shares.any()
    assert shares.shape == (24,)
    assert np.isfinite(shares).all()
