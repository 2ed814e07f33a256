"""How well a steady pulse of a given tempo explains a curve."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft

from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ

Doubles = npt.NDArray[np.float64]

# A log-normal prior over felt tempo: centre and width from recordings with tapped tempo.
PRIOR_CENTRE_BPM: Final = 130.0
PRIOR_WIDTH_OCTAVES: Final = 0.9
TEETH: Final = 4
# Weight of the comb in nats per second of music, and its floor: what the decoder is told.
COMB_WEIGHT: Final = 3.0
COMB_FLOOR: Final = -3.0
# Parts and multiples of a beat after which music may repeat: threes and twos, in beats and in bars.
ECHOES: Final = {
    "third": 1 / 3,
    "half": 1 / 2,
    "two_thirds": 2 / 3,
    "one": 1.0,
    "three_halves": 3 / 2,
    "two": 2.0,
    "three": 3.0,
    "four": 4.0,
    "six": 6.0,
}
ECHO_SLACK: Final = 0.015
# The largest autocorrelation between these lags (frames) counts as one.
ECHO_FULL_FRAMES: Final = (10, 200)
ECHO_FULL_LEAST: Final = 0.02


def autocorrelation(curve: npt.NDArray[np.floating]) -> Doubles:
    """Unbiased autocorrelation of a curve without its mean, 1 at lag 0; zeros for a flat curve."""
    values = curve.astype(np.float64) - float(curve.mean())
    n = len(values)
    spectrum = rfft(values, next_fast_len(2 * n, real=True))
    raw = irfft(np.abs(spectrum) ** 2, next_fast_len(2 * n, real=True))[:n]
    raw = raw / np.arange(n, 0, -1)
    return raw / raw[0] if raw[0] > 1e-12 else np.zeros(n)


def comb(correlation: Doubles, bpm: npt.NDArray[np.floating]) -> Doubles:
    """Mean autocorrelation at one to four periods of each tempo, at least 0, without a prior."""
    lag = 60.0 * FRAME_RATE_HZ / np.asarray(bpm, np.float64)
    grid = np.arange(len(correlation))
    total = sum(np.interp(lag * tooth, grid, correlation) for tooth in range(1, TEETH + 1))
    return np.maximum(np.asarray(total) / TEETH, 0.0)


def echoes(correlation: Doubles, bpm: npt.NDArray[np.floating]) -> Doubles:
    """How strongly a curve repeats after each of the `ECHOES` of each tempo, (tempi, echoes).

    Of the strongest repetition within four seconds; -.5 to 1.5, 0 beyond the curve's length.
    """
    shortest, longest = ECHO_FULL_FRAMES
    full = max(float(correlation[shortest:longest].max(initial=0.0)), ECHO_FULL_LEAST)
    period = 60.0 * FRAME_RATE_HZ / np.asarray(bpm, np.float64)
    lag = period[:, None] * np.array(list(ECHOES.values()))
    grid = np.arange(len(correlation))
    near = [np.interp(lag * (1 + k * ECHO_SLACK), grid, correlation, right=0.0) for k in (-1, 0, 1)]
    return np.asarray(np.clip(np.max(near, axis=0) / full, -0.5, 1.5), np.float64)


def tempo_prior(bpm: npt.NDArray[np.floating] | float) -> Doubles:
    """How usual a felt tempo is, 1 at the centre."""
    octaves = np.log2(np.asarray(bpm, np.float64) / PRIOR_CENTRE_BPM) / PRIOR_WIDTH_OCTAVES
    return np.exp(-0.5 * octaves**2)


def length_scores(activation: npt.NDArray[np.floating], lengths: npt.NDArray[np.int64]) -> Doubles:
    """Nats for one beat of each length (frames): how well that pulse explains the whole curve."""
    fine = np.linspace(lengths[0] - 0.4, lengths[-1] + 0.4, 2_000)
    bpm = 60.0 * FRAME_RATE_HZ / fine
    salience = comb(autocorrelation(activation), bpm) * tempo_prior(bpm)
    near = np.abs(fine[None, :] - lengths[:, None]) <= np.maximum(0.6, 0.04 * lengths)[:, None]
    best = np.where(near, salience[None, :], 0.0).max(axis=1)
    relative = np.log(best / (best.max() + 1e-9) + 1e-3)
    seconds = lengths / FRAME_RATE_HZ
    return np.asarray(COMB_WEIGHT * seconds * np.maximum(relative, COMB_FLOOR), np.float64)


def floor_scores(lengths: npt.NDArray[np.int64]) -> Doubles:
    """What `length_scores` gives lengths whose pulse explains next to nothing."""
    return np.asarray(COMB_WEIGHT * COMB_FLOOR * lengths / FRAME_RATE_HZ, np.float64)
