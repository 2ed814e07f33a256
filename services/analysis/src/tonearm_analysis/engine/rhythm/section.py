"""What is at hand when a section is read: what was heard, and the curves that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.rhythm import pulse
from tonearm_analysis.engine.rhythm.changes import change_curves
from tonearm_analysis.engine.rhythm.listening import Heard

Doubles = npt.NDArray[np.float64]

MOVES: Final = ("chord", "bass")


@dataclass(frozen=True)
class Section:
    """A recording, or ten minutes of a longer one; its curves are made once.

    heard, harmonic: with one count of time.
    """

    heard: Heard
    harmonic: HeardHarmony

    @cached_property
    def curves(self) -> dict[str, npt.NDArray[np.floating]]:
        """By frame: beats, downbeats and their sum, onsets of all, low and high bands, MOVES."""
        beat, down = self.heard.activations.T
        onset, low, high = self.heard.onsets.T
        return {
            "beat": beat,
            "down": down,
            "activation": self.heard.activations.sum(axis=1),
            "onset": onset,
            "low": low,
            "high": high,
            **change_curves(self.heard, self.harmonic),
        }

    @cached_property
    def _widened(self) -> dict[str, Doubles]:
        return {name: pulse.widened(curve) for name, curve in self.curves.items()}

    def widened(self, *names: str) -> Doubles:
        """The named curves, each frame as strong as the strongest of it and its neighbours."""
        return np.stack([self._widened[name] for name in names])
