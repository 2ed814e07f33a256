"""What the key rests on: first chords, the chords that begin phrases, and keys that they tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_analysis.engine.harmony.key import (
    FEATURES,
    FROM_START,
    NO_CHORD,
    PLACED,
    key_scores,
    measures_of,
    opening_chord,
    phrase_chords,
)
from tonearm_analysis.engine.harmony.model import Chord
from tonearm_analysis.engine.harmony.sums import KeySums


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


def test_first_chords_count_as_surely_as_the_music_begins_with_them() -> None:
    flat, loop = KeySums(8, *np.ones((3, 12))), song(*"CGCGCGCG")
    bars = [2.0 * k for k in range(8)]
    cut, unsure, begun = (
        measures_of(flat, chords=loop, downbeats_s=bars, begins=begins) for begins in (0, 0.5, 1)
    )
    placed, from_start = (slice(FEATURES.index(n[0]), None) for n in (PLACED, FROM_START))
    width = len(PLACED)
    assert not cut[:, from_start].any()
    assert np.array_equal(unsure[:, from_start], 0.5 * cut[:, placed][:, :width])
    assert np.array_equal(begun[:, from_start], cut[:, placed][:, :width])


def test_a_vamp_of_two_chords_is_told_by_where_it_begins() -> None:
    seven = [0, 2, 4, 5, 7, 9, 11]
    chroma = np.bincount([*seven, 0, 0, 4, 7, 7, 11, 2], minlength=12).astype(np.float64)
    sums, bars = KeySums(8, chroma, chroma, chroma), [2.0 * k for k in range(8)]
    margins = []
    for labels in ("CGCGCGCG", "GCGCGCGC"):
        for begins in (0.0, 1.0):
            found = measures_of(sums, chords=song(*labels), downbeats_s=bars, begins=begins)
            scores = key_scores(found)
            margins.append(scores[0] - scores[7])
    c_cut, c_begun, g_cut, g_begun = margins
    assert c_begun - g_begun > 2 * abs(c_cut - g_cut) > 0
