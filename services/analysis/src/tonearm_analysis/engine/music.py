"""Stages `rhythm` and `harmony`: what the listeners hear, turned into the result's parts.

Up to HOLD_S of the low-rate signal waits until the cheaper stages have answered; a longer
recording is heard while it is decoded, so memory stays flat. What is heard begins with the first
sound; its times are moved to the recording's here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, Floats
from tonearm_analysis.engine.parameters import Parameters

if TYPE_CHECKING:
    from tonearm_analysis.engine.harmony import Chord, HarmonyEstimate, HeardHarmony
    from tonearm_analysis.engine.rhythm import RhythmEstimate

HOLD_S = 6 * 60
HARMONY_S_MIN = 1.0
"""Less than this has no key that anyone could tell."""


NO_CHORD = "N"
SILENT_CHORD_S_MIN = 2_048 / LOW_RATE_HZ
"""Digital silence at either end is "no chord" if it is as long as a frame of harmony; less of it
belongs to the chord beside it."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where what was heard lies in the recording.

    start_s: when the first sound starts.  duration_s: of the recording.
    """

    start_s: float
    duration_s: float


class HeldSignal:
    """The low-rate signal of short recordings, shared by the stages that come last."""

    def __init__(self) -> None:
        self._blocks: list[Floats] = []
        self._samples = 0
        self.overflown = False

    def keep(self, samples: Floats) -> None:
        """Keep the next samples at LOW_RATE_HZ."""
        self._blocks.append(samples)
        self._samples += len(samples)
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
        self.downbeats_s: tuple[float, ...] = ()

    def push(self, low: Floats) -> None:
        """Hear the next samples at LOW_RATE_HZ."""
        self._listener.push(low)

    def finish(self, harmonic: HeardHarmony, *, span: Span) -> dict[str, Any]:
        """Return the part `rhythm` of the result; chord changes help to count bars.

        `beats_s` and `downbeats_s` then hold the beats from the first sound on.
        """
        from tonearm_analysis.engine.rhythm import estimate_heard

        estimate = estimate_heard(
            self._listener.finish(), harmonic, tempo_range_bpm=self._parameters.tempo_range_bpm
        )
        self.beats_s, self.downbeats_s = estimate.beats_s, estimate.downbeats_s
        return asdict(_rhythm_in(span, estimate))


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

    def finish(
        self, *, beats_s: tuple[float, ...], downbeats_s: tuple[float, ...], span: Span
    ) -> dict[str, Any]:
        """Return the part `harmony` of the result; chords change on the given beats.

        beats_s, downbeats_s: from the first sound on.
        """
        from tonearm_analysis.engine.harmony import estimate_heard

        heard = self.heard()
        if heard.duration_s < HARMONY_S_MIN:
            return {"key": None, "confidence": 0.0}
        estimate = _harmony_in(
            span, estimate_heard(heard, beats_s=beats_s, downbeats_s=downbeats_s)
        )
        first = estimate.candidates[0] if estimate.key and estimate.candidates else None
        return {
            **asdict(estimate),
            "camelot": first.camelot if first else None,
            "open_key": first.open_key if first else None,
        }


def _rhythm_in(span: Span, estimate: RhythmEstimate) -> RhythmEstimate:
    """Return the estimate with the recording's times."""
    curve = estimate.tempo_curve
    return replace(
        estimate,
        beats_s=tuple(time_s + span.start_s for time_s in estimate.beats_s),
        downbeats_s=tuple(time_s + span.start_s for time_s in estimate.downbeats_s),
        tempo_curve=tuple(replace(at, time_s=at.time_s + span.start_s) for at in curve),
    )


def _harmony_in(span: Span, estimate: HarmonyEstimate) -> HarmonyEstimate:
    """Return the estimate with the recording's times, from its start to its end."""
    segments = [
        replace(part, start_s=part.start_s + span.start_s, end_s=part.end_s + span.start_s)
        for part in estimate.key_segments
    ]
    if segments:
        segments[0] = replace(segments[0], start_s=0.0)
        segments[-1] = replace(segments[-1], end_s=span.duration_s)
    return replace(estimate, key_segments=tuple(segments), chords=_chords_in(span, estimate.chords))


def _chords_in(span: Span, heard: tuple[Chord, ...]) -> tuple[Chord, ...]:
    """Return the chords at the recording's times, with "no chord" in the silence around them."""
    if not heard:
        return ()
    chords = [
        replace(chord, start_s=chord.start_s + span.start_s, end_s=chord.end_s + span.start_s)
        for chord in heard
    ]
    first, last = chords[0], chords[-1]
    silent = replace(first, start_s=0.0, end_s=first.start_s, label=NO_CHORD, confidence=1.0)
    if first.start_s >= SILENT_CHORD_S_MIN and first.label != NO_CHORD:
        chords.insert(0, silent)
    if span.duration_s - last.end_s >= SILENT_CHORD_S_MIN and last.label != NO_CHORD:
        chords.append(replace(silent, start_s=last.end_s, end_s=span.duration_s))
    chords[0] = replace(chords[0], start_s=0.0)
    chords[-1] = replace(chords[-1], end_s=span.duration_s)
    return tuple(chords)


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
