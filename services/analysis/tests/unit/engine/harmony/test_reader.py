"""Whether music begins where a recording does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.harmony.reader import HarmonyReader, beginning, sounding_frames

STEADY = np.full(80, 0.5)
Doubles = npt.NDArray[np.float64]


def of(level: Doubles) -> float:
    """The beginning of a recording of these levels."""
    return beginning(level, sounding_frames(level))


def heard(level: Doubles) -> HeardHarmony:
    """Flat harmony at these levels."""
    n = len(level)
    twelve, thirteen = np.ones((n, 12), np.float32), np.ones((n, 13), np.float32)
    return HeardHarmony(
        bass=twelve,
        treble=twelve,
        pitch=twelve,
        root=thirteen,
        chord_bass=thirteen,
        chords=np.full((n, 12, 6), 1 / 72, np.float32),
        no_chord=np.zeros(n, np.float32),
        tuning=np.ones(n, np.complex64),
        level=level.astype(np.float32),
        duration_s=n / 10.77,
    )


@pytest.mark.parametrize("lead", [0.0, 1e-3, 0.05], ids=["silence", "hiss", "noise"])
@pytest.mark.parametrize("frames", [1, 4, 12])
def test_music_begins_after_a_softer_lead_in(lead: float, frames: int) -> None:
    assert of(np.concatenate([np.full(frames, lead), STEADY])) > 0.99


def test_what_is_cut_out_of_music_goes_on_at_its_level() -> None:
    assert of(STEADY) < 0.05
    assert of(np.tile([0.3, 0.9, 0.6, 0.4], 20)) < 0.3


def test_silence_does_not_begin() -> None:
    assert of(np.zeros(30)) == of(np.zeros(0)) == 0.0


@pytest.mark.parametrize("gain", [0.1, 8.0])
def test_loudness_does_not_matter(gain: float) -> None:
    level = np.concatenate([np.full(2, 0.15), STEADY])
    assert of(gain * level) == pytest.approx(of(level))


def test_after_a_silent_stretch_music_begins() -> None:
    reader = HarmonyReader()
    reader.add(heard(np.zeros(50)), (), n_frames=50)
    assert reader.begins == 0.0
    reader.add(heard(STEADY), (), n_frames=len(STEADY))
    assert reader.begins == 1.0


def test_only_the_first_stretch_that_sounds_tells() -> None:
    reader = HarmonyReader()
    for level in (STEADY, np.concatenate([np.zeros(5), STEADY])):
        reader.add(heard(level), (), n_frames=len(level))
    assert reader.begins < 0.05
