"""The constant-Q picture: tones land where they belong, and streaming changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_analysis.engine.harmony import cqt


def _tone(hz: float, seconds: float = 4.0) -> cqt.Floats:
    when = np.arange(int(seconds * cqt.SAMPLE_RATE_HZ)) / cqt.SAMPLE_RATE_HZ
    return np.asarray(0.3 * np.sin(2 * np.pi * hz * when), np.float32)


@pytest.mark.parametrize(("hz", "bin_number"), [(65.406, 36), (440.0, 135), (1_760.0, 207)])
def test_a_tone_lands_on_its_bin(hz: float, bin_number: int) -> None:
    picture = cqt.magnitudes(_tone(hz), 40)
    assert picture[15:25].mean(axis=0).argmax() == bin_number


def test_a_stream_gives_what_the_whole_gives() -> None:
    sound = np.random.default_rng(3).standard_normal(80 * cqt.SAMPLE_RATE_HZ).astype(np.float32)
    whole = cqt.magnitudes(sound, len(sound) // cqt.HOP_SAMPLES + 1)
    stream, parts = cqt.Stream(), []
    for start in range(0, len(sound), 50_001):
        parts += stream.push(sound[start : start + 50_001])
    parts += stream.finish()
    assert np.array_equal(np.concatenate(parts), whole)


def test_folding_adds_octaves() -> None:
    bins = np.zeros((1, cqt.N_BINS), np.float32)
    bins[0, [27, 27 + 36, 27 + 72]] = 1.0  # A1, A2, A3
    assert cqt.folded(bins, 0, 84)[0].argmax() == 9
    assert cqt.folded(bins, 0, 84)[0].max() == pytest.approx(3.0)
    assert cqt.folded(bins, 12, 24)[0].max() == pytest.approx(1.0)


def test_whitening_keeps_what_stands_out() -> None:
    bins = np.full((1, cqt.N_BINS), 0.1, np.float32)
    bins[0, 100] = 1.0
    white = cqt.whitened(bins, 1.0)
    assert white[0].argmax() == 100
    assert white[0, 10] == pytest.approx(0.0, abs=1e-5)
