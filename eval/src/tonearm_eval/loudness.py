"""Integrated loudness by ITU-R BS.1770-4, written apart from the engine so that truth is truth."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Doubles = npt.NDArray[np.float64]

ABSOLUTE_GATE_LUFS: Final = -70.0
RELATIVE_GATE_LU: Final = -10.0
BLOCK_S, STEP_S = 0.4, 0.1


def _shelf(sample_rate_hz: int) -> tuple[Doubles, Doubles]:
    """The head's high shelf: +4 dB from about 1.7 kHz."""
    k = np.tan(np.pi * 1681.974450955533 / sample_rate_hz)
    q, gain = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    root = gain**0.4996667741545416
    b = np.array([gain + root * k / q + k * k, 2 * (k * k - gain), gain - root * k / q + k * k])
    a = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    return b / a[0], a / a[0]


def _high_pass(sample_rate_hz: int) -> tuple[Doubles, Doubles]:
    """The low cut at about 38 Hz."""
    k = np.tan(np.pi * 38.13547087602444 / sample_rate_hz)
    q = 0.5003270373238773
    a = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    return np.array([1.0, -2.0, 1.0]), a / a[0]


def integrated_lufs(sound: npt.NDArray[np.floating], sample_rate_hz: int) -> float:
    """Loudness of sound (n, channels), gated; -inf when no block passes the absolute gate."""
    weighted = np.asarray(sound, np.float64)
    for b, a in (_shelf(sample_rate_hz), _high_pass(sample_rate_hz)):
        weighted = lfilter(b, a, weighted, axis=0)
    total = np.concatenate([[0.0], np.cumsum((weighted**2).sum(axis=1))])
    block, step = round(BLOCK_S * sample_rate_hz), round(STEP_S * sample_rate_hz)
    starts = np.arange(0, len(weighted) - block + 1, step)
    power = (total[starts + block] - total[starts]) / block
    level = -0.691 + 10 * np.log10(np.maximum(power, 1e-15))
    loud = power[level > ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return float("-inf")
    gate = -0.691 + 10 * np.log10(loud.mean()) + RELATIVE_GATE_LU
    kept = power[(level > ABSOLUTE_GATE_LUFS) & (level > gate)]
    return float(-0.691 + 10 * np.log10(kept.mean()))
