"""From energies per 10 ms to loudness: windows, gates, range (BS.1770-4, Tech 3341, 3342)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

OFFSET_LU = -0.691
ABSOLUTE_GATE_LUFS = -70.0
MOMENTARY_HOPS = 4
SHORT_TERM_HOPS = 30
HOPS_PER_S = 10
"""Gating blocks begin every 100 ms and overlap by 75 %; so do the range's short-term values."""


def to_lufs(energy: Doubles) -> Doubles:
    """Return loudness of weighted mean squares; -inf for silence."""
    with np.errstate(divide="ignore"):
        return np.asarray(OFFSET_LU + 10 * np.log10(energy), dtype=np.float64)


def windows(energies: Doubles, steps: int, *, hop: int = 1) -> Doubles:
    """Return the mean energy of windows of so many steps, `hop` steps apart.

    Shape ((len(energies) - steps) // hop + 1,); empty when there is no whole window.
    """
    if len(energies) < steps:
        return np.empty(0)
    running = np.concatenate([[0.0], np.cumsum(energies)])
    # Differences of a running sum may fall a rounding error short of nothing.
    sums = np.maximum(running[steps:] - running[:-steps], 0.0)[::hop]
    return np.asarray(sums / steps, dtype=np.float64)


def integrated_lufs(energies: Doubles, *, steps_per_hop: int) -> float | None:
    """Return gated loudness over 400 ms blocks that overlap by 75 %.

    None when no block lies above the absolute gate, or the recording is under 400 ms.
    """
    blocks = windows(energies, MOMENTARY_HOPS * steps_per_hop, hop=steps_per_hop)
    loud = blocks[to_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return None
    relative_gate = float(to_lufs(loud.mean(keepdims=True))[0]) - 10
    loud = loud[to_lufs(loud) > relative_gate]
    return float(to_lufs(loud.mean(keepdims=True))[0])


def range_lu(energies: Doubles, *, steps_per_hop: int) -> float | None:
    """Return the loudness range: the spread of short-term loudness, gated at -20 LU.

    None when no 3 s window lies above the absolute gate.
    """
    blocks = windows(energies, SHORT_TERM_HOPS * steps_per_hop, hop=steps_per_hop)
    loud = blocks[to_lufs(blocks) >= ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return None
    relative_gate = float(to_lufs(loud.mean(keepdims=True))[0]) - 20
    levels = np.sort(to_lufs(loud))
    levels = levels[levels >= relative_gate]
    last = len(levels) - 1
    low, high = levels[math.floor(last * 0.10 + 0.5)], levels[math.floor(last * 0.95 + 0.5)]
    return float(high - low)


def highest(levels: Doubles) -> float | None:
    """Return the maximum above the absolute gate, or None."""
    if not len(levels):
        return None
    top = float(levels.max())
    return top if top > ABSOLUTE_GATE_LUFS else None
