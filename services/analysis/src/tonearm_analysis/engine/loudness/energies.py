"""Energies of a recording for gates and windows: every 10 ms, of a long recording every 100 ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.loudness.gating import (
    MOMENTARY_HOPS,
    SHORT_TERM_HOPS,
    highest,
    to_lufs,
    windows,
)

Doubles = NDArray[np.float64]

FINE_STEPS_PER_HOP: Final = 10
FINE_STEPS_MAX: Final = 15 * 60 * 100
"""A quarter of an hour. Of a longer recording, windows begin every 100 ms but for the maxima."""


@dataclass(frozen=True, slots=True)
class Energies:
    """Mean squares of equal steps, K-weighted.

    values: shape (whole steps,).  steps_per_hop: steps in the 100 ms from one gating block to the
    next.  momentary_max_lufs, short_term_max_lufs: over windows at every 10 ms; None below the
    absolute gate.
    """

    values: Doubles
    steps_per_hop: int
    momentary_max_lufs: float | None
    short_term_max_lufs: float | None

    def momentary(self) -> Doubles:
        """Loudness of the 400 ms from every step, LUFS."""
        return to_lufs(windows(self.values, MOMENTARY_HOPS * self.steps_per_hop))

    def short_term(self) -> Doubles:
        """Loudness of the 3 s from every step, LUFS."""
        return to_lufs(windows(self.values, SHORT_TERM_HOPS * self.steps_per_hop))


class EnergyKeeper:
    """Collects energies of 10 ms; those of 100 ms are left of them when they are too many."""

    def __init__(self) -> None:
        self._fine: list[Doubles] = []
        self._fine_steps = 0
        self._before = np.empty(0)
        self._coarse: list[NDArray[np.float32]] = []
        self._tops: dict[int, float] = dict.fromkeys((MOMENTARY_HOPS, SHORT_TERM_HOPS), 0.0)

    def add(self, energies: Doubles) -> None:
        """Add the next steps."""
        self._fine.append(energies)
        self._fine_steps += len(energies)
        if self._fine_steps > FINE_STEPS_MAX:
            self._condense()

    def finish(self) -> Energies:
        """Return what was collected; nothing may be added after that."""
        if not self._coarse:
            values, steps = np.concatenate([np.empty(0), *self._fine]), FINE_STEPS_PER_HOP
            self._look_for_tops(values)
        else:
            self._condense()
            values, steps = np.concatenate(self._coarse).astype(np.float64), 1
        maxima = (highest(to_lufs(np.array([top]))) for top in self._tops.values())
        return Energies(values, steps, *maxima)

    def _condense(self) -> None:
        fine = np.concatenate(self._fine)
        self._look_for_tops(np.concatenate([self._before, fine]))
        whole = len(fine) // FINE_STEPS_PER_HOP * FINE_STEPS_PER_HOP
        hops = fine[:whole].reshape(-1, FINE_STEPS_PER_HOP).mean(axis=1)
        self._coarse.append(hops.astype(np.float32))
        self._fine, self._fine_steps = [fine[whole:]], len(fine) - whole
        # Windows may begin in what is condensed and end behind it.
        self._before = fine[:whole][-SHORT_TERM_HOPS * FINE_STEPS_PER_HOP :]

    def _look_for_tops(self, energies: Doubles) -> None:
        for hops, top in self._tops.items():
            inside = windows(energies, hops * FINE_STEPS_PER_HOP)
            self._tops[hops] = max(top, float(inside.max(initial=0.0)))
