"""The generator's loudness meter agrees with the definition."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_eval.loudness import integrated_lufs


@pytest.mark.parametrize("sample_rate_hz", [44_100, 48_000])
def test_a_stereo_sine_at_minus_23_dbfs_measures_minus_23_lufs(sample_rate_hz: int) -> None:
    when = np.arange(20 * sample_rate_hz) / sample_rate_hz
    sine = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1_000 * when)
    sound = np.stack([sine, sine], axis=1)
    assert integrated_lufs(sound, sample_rate_hz) == pytest.approx(-23.0, abs=0.05)


def test_silence_has_no_loudness() -> None:
    assert integrated_lufs(np.zeros((48_000, 2)), 48_000) == float("-inf")
