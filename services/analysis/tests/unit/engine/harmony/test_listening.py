"""What was read of a recording may be let go of."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine import harmony
from tonearm_analysis.engine.harmony import HarmonyListener, HeardHarmony, listening

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


def test_what_is_forgotten_leaves_the_rest_as_it_was(
    chords: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "WINDOW_FRAMES", 640)
    whole = harmony.hear(chords)
    listener = HarmonyListener()
    listener.push(chords[: 2 * SEGMENT_SAMPLES])
    listener.forget(100)
    listener.push(chords[2 * SEGMENT_SAMPLES :])
    rest = listener.finish()
    assert listener.kept_from == 100
    for field in fields(HeardHarmony):
        expected, found = getattr(whole, field.name), getattr(rest, field.name)
        if field.name != "duration_s":
            expected = expected[100:]
        assert np.array_equal(expected, found)
