"""What the small network hears does not depend on how a recording is cut into windows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.models import open_network, read_card
from tonearm_analysis.engine.rhythm import student
from tonearm_analysis.engine.rhythm.student import StudentEar, coarse_bands

Floats = NDArray[np.float32]


def heard_by(ear: StudentEar, sound: Floats, size: int) -> Floats:
    for start in range(0, len(sound), size):
        ear.hear(sound[start : start + size])
    ear.finish()
    return np.concatenate(ear.activations)


def test_windows_read_as_the_whole(four: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.resize(four, 60 * 22_050)
    whole = heard_by(StudentEar(), sound, 100_000)
    monkeypatch.setattr(student, "SPAN_FRAMES", 640)
    windows = heard_by(StudentEar(), sound, 100_000)
    assert len(windows) == len(whole) == 3_000
    assert np.abs(windows - whole).max() < 1e-5


def test_windows_are_the_same_to_the_bit_whatever_the_blocks(
    four: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student, "SPAN_FRAMES", 640)
    sound = np.resize(four, 45 * 22_050)
    small, large = StudentEar(), StudentEar()
    assert np.array_equal(heard_by(small, sound, 7_777), heard_by(large, sound, len(sound)))
    assert np.array_equal(np.concatenate(small.onsets), np.concatenate(large.onsets))


def test_the_network_reaches_no_further_than_said() -> None:
    network = open_network(student.NETWORK)
    features = np.random.default_rng(5).random((2_400, 2 * student.N_BANDS)).astype(np.float32)
    changed = features.copy()
    changed[1_200:1_202] = 3.0
    (one,) = network.run(["probabilities"], {"features": features})
    (two,) = network.run(["probabilities"], {"features": changed})
    differs = np.flatnonzero(np.abs(one - two).max(axis=1) > 1e-6)
    assert differs[0] >= 1_200 - student.REACH_FRAMES
    assert differs[-1] < 1_202 + student.REACH_FRAMES
    assert differs[0] < 1_200 < differs[-1]


def test_probabilities_are_as_the_card_says() -> None:
    card = read_card(student.NETWORK)
    assert card["input"]["shape"][1] == 2 * student.N_BANDS
    features = np.zeros((10, 2 * student.N_BANDS), np.float32)
    (read,) = open_network(student.NETWORK).run(["probabilities"], {"features": features})
    assert read.shape == (10, len(card["output"]["columns"]))
    assert np.allclose(read.sum(axis=1), 1.0, atol=1e-6)


def test_a_tone_sounds_in_its_band_and_nowhere_else() -> None:
    times_s = np.arange(22_050, dtype=np.float32) / np.float32(22_050)
    tone = np.sin(2 * np.pi * 5_000 * times_s, dtype=np.float32)
    levels = coarse_bands(tone, 40)
    assert levels.shape == (40, student.N_BANDS)
    assert levels[20, 37:42].max() > 1.0 > 10 * levels[20, :30].max()
