"""A drum pattern with chords, whose beats are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.rhythm.bands import SAMPLE_RATE_HZ

Floats = NDArray[np.float32]
DEGREES = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))


def band(bpm: float, *, duration_s: float = 16.0, bar_beats: int = 4) -> Floats:
    """Kick on one, snare on the other beats, hats in eighths, a new chord every bar; from 0 s."""
    random = np.random.default_rng(5)
    n = round(duration_s * SAMPLE_RATE_HZ)
    out = np.zeros(n + SAMPLE_RATE_HZ)
    decay = np.exp(-np.arange(2_000) / 400)
    kick = np.sin(
        2 * np.pi * np.cumsum(50 + 110 * np.exp(-np.arange(4_000) / 500)) / SAMPLE_RATE_HZ
    )
    kick *= np.exp(-np.arange(4_000) / 1_500)
    beat_s = 60 / bpm
    for eighth in range(int(duration_s / beat_s * 2)):
        at = round(eighth * beat_s / 2 * SAMPLE_RATE_HZ)
        out[at : at + 2_000] += 0.15 * decay * np.diff(random.standard_normal(2_001))
        beat, off = divmod(eighth, 2)
        if off:
            continue
        if beat % bar_beats == 0:
            out[at : at + 4_000] += 0.8 * kick
            length = min(round(bar_beats * beat_s * SAMPLE_RATE_HZ), len(out) - at)
            when = np.arange(length) / SAMPLE_RATE_HZ
            for degree in DEGREES[beat // bar_beats % 4]:
                hz = 261.6256 * 2 ** (degree / 12)
                tone = sum(np.sin(2 * np.pi * k * hz * when) / k**1.5 for k in range(1, 5))
                out[at : at + length] += 0.12 * np.exp(-when) * np.asarray(tone)
        else:
            out[at : at + 2_000] += 0.4 * decay * random.standard_normal(2_000)
    return np.asarray(out[:n] * 0.5, np.float32)


@pytest.fixture(scope="session")
def four() -> Floats:
    """Sixteen seconds at 120 beats a minute, four to the bar, the first beat at 0 s."""
    return band(120.0)
