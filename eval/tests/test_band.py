"""The band's truth is true, and the same arguments give the same sound."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_eval import band
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ
from tonearm_eval.loudness import integrated_lufs


def test_the_same_arguments_give_the_same_samples() -> None:
    piece = band.compose(120.0, 9, "minor", 6.0)
    first = band.play(piece, 6.0, seed=1, loudness_lufs=-18.0)
    again = band.play(piece, 6.0, seed=1, loudness_lufs=-18.0)
    assert np.array_equal(first, again)


def test_the_sound_has_the_stated_loudness_and_does_not_clip() -> None:
    piece = band.compose(90.0, 0, "major", 8.0)
    sound = band.play(piece, 8.0, seed=2, loudness_lufs=-18.0)
    assert integrated_lufs(sound, SAMPLE_RATE_HZ) == pytest.approx(-18.0, abs=1e-6)
    assert np.abs(sound).max() < 1.0


def test_truth_counts_four_beats_to_the_bar_at_the_stated_tempo() -> None:
    piece = band.compose(150.0, 4, "minor", 5.0)
    known = band.truth(piece, 5.0, -18.0)
    assert np.diff(known["beats_s"]) == pytest.approx(0.4, abs=1e-5)
    assert known["downbeats_s"] == known["beats_s"][::4]
    assert known["chords"][0]["label"] == "E:min"


@pytest.mark.parametrize(("text", "key"), [("A minor", (9, "minor")), ("gb major", (6, "major"))])
def test_keys_are_read(text: str, key: tuple[int, str]) -> None:
    assert band.parse_key(text) == key


def test_a_wrong_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no key"):
        band.parse_key("H minor")
