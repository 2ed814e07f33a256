"""What is heard does not depend on blocks, gain or leading silence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.parameters import Profile
from tonearm_analysis.engine.rhythm import Heard, Listener, hear
from tonearm_analysis.engine.rhythm.bands import N_BANDS, bank

Floats = NDArray[np.float32]

profiles = pytest.mark.parametrize("profile", ["full", "fast"])


def heard_in_blocks(sound: Floats, size: int, profile: Profile) -> Heard:
    listener = Listener(profile)
    for start in range(0, len(sound), size):
        listener.push(sound[start : start + size])
    return listener.finish()


@profiles
def test_block_size_does_not_matter(four: Floats, profile: Profile) -> None:
    whole, pieces = hear(four, profile=profile), heard_in_blocks(four, 777, profile)
    assert np.array_equal(whole.activations, pieces.activations)
    assert np.array_equal(whole.onsets, pieces.onsets)


@profiles
def test_leading_silence_moves_the_start_and_nothing_else(four: Floats, profile: Profile) -> None:
    plain = hear(four, profile=profile)
    later = hear(np.concatenate([np.zeros(12_345, np.float32), four]), profile=profile)
    assert np.array_equal(plain.activations, later.activations)
    assert later.start_s - plain.start_s == np.float64(12_345 / 22_050)


@profiles
def test_gain_changes_nothing_that_matters(four: Floats, profile: Profile) -> None:
    plain, quiet = (hear(four * np.float32(gain), profile=profile) for gain in (1.0, 0.05))
    assert np.abs(quiet.activations - plain.activations).max() < 1e-3


@profiles
def test_frames_cover_the_sound(four: Floats, profile: Profile) -> None:
    heard = hear(four, profile=profile)
    assert heard.duration_s == len(four) / 22_050
    assert len(heard.activations) == -(-(len(four) - round(heard.start_s * 22_050)) // 441)


@profiles
def test_no_sound_gives_no_frames(profile: Profile) -> None:
    assert len(hear(np.zeros(0, np.float32), profile=profile).activations) == 0
    assert len(hear(np.zeros(30_000, np.float32), profile=profile).activations) == 0


@profiles
def test_what_is_no_number_counts_as_silence(four: Floats, profile: Profile) -> None:
    holes, silence = four.copy(), four.copy()
    holes[40_000:40_003] = np.nan, np.inf, -np.inf
    silence[40_000:40_003] = 0.0
    broken, whole = hear(holes, profile=profile), hear(silence, profile=profile)
    assert np.array_equal(broken.activations, whole.activations)


def test_every_band_sums_to_one() -> None:
    triangles = bank().triangles
    assert triangles.shape == (705, N_BANDS)
    assert np.allclose(triangles.sum(axis=0), 1.0, atol=1e-6)
