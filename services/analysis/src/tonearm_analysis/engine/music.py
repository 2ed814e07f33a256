"""Stages `rhythm` and `harmony`: what the listeners hear, turned into the result's parts.

Up to HOLD_S of the low-rate signal waits until the cheaper stages have answered; a longer
recording is heard while it is decoded, so memory stays flat.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, Block, Floats
from tonearm_analysis.engine.parameters import Parameters

if TYPE_CHECKING:
    from tonearm_analysis.engine.harmony import HeardHarmony

HOLD_S = 6 * 60
HARMONY_S_MIN = 1.0
"""Less than this has no key that anyone could tell."""


class HeldSignal:
    """The low-rate signal of short recordings, shared by the stages that come last."""

    def __init__(self) -> None:
        self._blocks: list[Floats] = []
        self._samples = 0
        self.overflown = False

    def keep(self, block: Block) -> None:
        """Keep a block's low-rate samples."""
        if len(block.low):
            self._blocks.append(block.low.copy())
            self._samples += len(block.low)
        self.overflown = self.overflown or self._samples > HOLD_S * LOW_RATE_HZ

    def take(self) -> list[Floats]:
        """Return what is held and hold nothing any more."""
        blocks, self._blocks = self._blocks, []
        return blocks

    def blocks(self) -> list[Floats]:
        """Return what is held."""
        return self._blocks


class RhythmCollector:
    """Hears beats; answers `Rhythm`."""

    def __init__(self, parameters: Parameters) -> None:
        from tonearm_analysis.engine.rhythm import Listener

        self._parameters = parameters
        self._listener = Listener(parameters.profile)
        self.beats_s: tuple[float, ...] = ()

    def push(self, low: Floats) -> None:
        """Hear the next samples at LOW_RATE_HZ."""
        self._listener.push(low)

    def finish(self, harmonic: HeardHarmony) -> dict[str, Any]:
        """Return the part `rhythm` of the result; chord changes help to count bars."""
        from tonearm_analysis.engine.rhythm import estimate_heard

        estimate = estimate_heard(
            self._listener.finish(), harmonic, tempo_range_bpm=self._parameters.tempo_range_bpm
        )
        self.beats_s = estimate.beats_s
        return asdict(estimate)


class HarmonyCollector:
    """Hears pitch; answers `Harmony`."""

    def __init__(self) -> None:
        from tonearm_analysis.engine.harmony import HarmonyListener

        self._listener = HarmonyListener()
        self._heard: HeardHarmony | None = None

    def push(self, low: Floats) -> None:
        """Hear the next samples at LOW_RATE_HZ."""
        self._listener.push(low)

    def heard(self) -> HeardHarmony:
        """Return what was heard; nothing can be heard after that."""
        if self._heard is None:
            self._heard = self._listener.finish()
        return self._heard

    def finish(self, *, beats_s: tuple[float, ...]) -> dict[str, Any]:
        """Return the part `harmony` of the result; chords change on the given beats."""
        from tonearm_analysis.engine.harmony import estimate_heard

        heard = self.heard()
        if heard.duration_s < HARMONY_S_MIN:
            return {"key": None, "confidence": 0.0}
        estimate = estimate_heard(heard, beats_s=beats_s)
        first = estimate.candidates[0] if estimate.key and estimate.candidates else None
        return {
            **asdict(estimate),
            "camelot": first.camelot if first else None,
            "open_key": first.open_key if first else None,
        }


def no_harmony() -> HeardHarmony:
    """Return what stands in when the harmony stage has failed: a moment of silence."""
    from tonearm_analysis.engine.harmony import HeardHarmony

    return HeardHarmony(
        bass=_zeros(12),
        treble=_zeros(12),
        pitch=_zeros(12),
        root=_zeros(13),
        chord_bass=_zeros(13),
        chords=_zeros(12, 6),
        no_chord=_zeros(),
        tuning=np.zeros(1, dtype=np.complex64),
        level=_zeros(),
        duration_s=0.0,
    )


def _zeros(*shape: int) -> Floats:
    return np.zeros((1, *shape), dtype=np.float32)
