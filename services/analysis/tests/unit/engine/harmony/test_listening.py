"""What is kept of long recordings is smaller, and says the same."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine import harmony
from tonearm_analysis.engine.harmony import HeardHarmony, listening

Floats = NDArray[np.float32]
SEGMENT_SAMPLES = 640 * 2_048


@pytest.fixture(scope="module")
def chords() -> Floats:
    """Return two minutes and some of C, F and G major, two seconds each."""
    when = np.arange(2 * 22_050) / 22_050
    bars = []
    for root in (0, 5, 7, 0):
        hz = [261.6256 * 2 ** ((root + degree) / 12) for degree in (-12, 0, 4, 7)]
        voices = [np.sin(2 * np.pi * f * k * when) / k for f in hz for k in (1, 2, 3)]
        bars.append(np.sum(voices, axis=0) * np.exp(-when))
    sound = np.tile(np.concatenate(bars), 17)
    assert len(sound) > 2 * SEGMENT_SAMPLES
    return np.asarray(0.05 * sound, np.float32)


def kept_types(heard: HeardHarmony) -> set[np.dtype[np.generic]]:
    names = {field.name for field in fields(heard)} - {"duration_s", *listening.KEPT_EXACT}
    return {getattr(heard, name).dtype for name in names}


def test_ten_minutes_and_less_are_kept_in_full(chords: Floats) -> None:
    assert listening.FULL_PRECISION_FRAMES > 600 * listening.FRAME_RATE_HZ
    assert kept_types(harmony.hear(chords)) == {np.dtype(np.float32)}


def test_frames_in_half_precision_tell_the_same(
    chords: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = harmony.hear(chords)
    monkeypatch.setattr(listening, "WINDOW_FRAMES", 640)
    monkeypatch.setattr(listening, "FULL_PRECISION_FRAMES", 10**9)
    full = harmony.hear(chords)
    monkeypatch.setattr(listening, "FULL_PRECISION_FRAMES", 1_000)
    half = harmony.hear(chords)
    assert len(whole.level) == len(half.level)
    assert kept_types(half) == {np.dtype(np.float16)}
    assert np.array_equal(half.level, full.level)
    assert np.abs(half.chords - full.chords).max() < 3e-4
    beats_s = np.arange(0.5, 135, 0.5).tolist()
    expected, found = (harmony.estimate_heard(heard, beats_s=beats_s) for heard in (full, half))
    assert found.key == expected.key == "C major"
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-3)
    assert found.tuning_cents == expected.tuning_cents
    assert [chord.label for chord in found.chords] == [chord.label for chord in expected.chords]
    assert half.change_between(2, 60) == pytest.approx(full.change_between(2, 60), rel=1e-3)
