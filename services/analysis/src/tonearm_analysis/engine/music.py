"""Stages `rhythm` and `harmony`: estimates, turned into the result's parts.

What is heard begins with the first sound; its times are moved to the recording's here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, Floats
from tonearm_analysis.engine.rounding import rounded

if TYPE_CHECKING:
    from tonearm_analysis.engine.harmony import Chord, Excerpt, HarmonyEstimate
    from tonearm_analysis.engine.rhythm import RhythmEstimate

HARMONY_S_MIN = 1.0
"""Less than this has no key that anyone could tell."""
NO_HARMONY: dict[str, Any] = {"key": None, "confidence": 0.0}

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


def rhythm_part(estimate: RhythmEstimate, span: Span) -> dict[str, Any]:
    """Return the part `rhythm` of the result."""
    return asdict(_rhythm_in(span, estimate))


def rhythm_in_range(
    rhythm: Mapping[str, Any], tempo_range_bpm: tuple[float, float]
) -> dict[str, Any]:
    """Return part `rhythm` of a stored result with its tempi ranked for another range."""
    from pydantic import TypeAdapter

    from tonearm_analysis.engine.rhythm import RhythmEstimate, ranked_for

    estimate = TypeAdapter(RhythmEstimate).validate_python(rhythm)
    ranked: dict[str, Any] = rounded(asdict(ranked_for(estimate, tempo_range_bpm)))
    return ranked


def harmony_part(estimate: HarmonyEstimate, span: Span) -> dict[str, Any]:
    """Return the part `harmony` of the result."""
    estimate = _harmony_in(span, estimate)
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


def no_harmony() -> Excerpt:
    """Return what stands in when the harmony stage has failed: a moment of silence."""
    from tonearm_analysis.engine.harmony import Excerpt, HeardHarmony

    silence = HeardHarmony(
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
    return Excerpt(silence)


def _zeros(*shape: int) -> Floats:
    return np.zeros((1, *shape), dtype=np.float32)
