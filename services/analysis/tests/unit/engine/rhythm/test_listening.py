"""What is heard does not depend on blocks, gain or leading silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.rhythm import Heard, Listener, hear
from tonearm_analysis.engine.rhythm.bands import N_BANDS, bank

Floats = NDArray[np.float32]


def heard_in_blocks(sound: Floats, size: int) -> Heard:
    listener = Listener()
    for start in range(0, len(sound), size):
        listener.push(sound[start : start + size])
    return listener.finish()


def test_block_size_does_not_matter(four: Floats) -> None:
    whole, pieces = hear(four), heard_in_blocks(four, 777)
    assert np.array_equal(whole.activations, pieces.activations)
    assert np.array_equal(whole.onsets, pieces.onsets)


def test_leading_silence_moves_the_start_and_nothing_else(four: Floats) -> None:
    plain = hear(four)
    later = hear(np.concatenate([np.zeros(12_345, np.float32), four]))
    assert np.array_equal(plain.activations, later.activations)
    assert later.start_s - plain.start_s == np.float64(12_345 / 22_050)


def test_gain_changes_nothing_that_matters(four: Floats) -> None:
    quiet = hear(four * np.float32(0.05))
    assert np.abs(quiet.activations - hear(four).activations).max() < 1e-3


def test_frames_cover_the_sound(four: Floats) -> None:
    heard = hear(four)
    assert heard.duration_s == len(four) / 22_050
    assert len(heard.activations) == -(-(len(four) - round(heard.start_s * 22_050)) // 441)


def test_no_sound_gives_no_frames() -> None:
    assert len(hear(np.zeros(0, np.float32)).activations) == 0
    assert len(hear(np.zeros(30_000, np.float32)).activations) == 0


def test_every_band_sums_to_one() -> None:
    triangles = bank().triangles
    assert triangles.shape == (705, N_BANDS)
    assert np.allclose(triangles.sum(axis=0), 1.0, atol=1e-6)
