"""What the engine says about harmony.  Times in seconds from the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["major", "minor"]
KeyRelation = Literal["same", "relative", "parallel", "fifth", "other"]


@dataclass(frozen=True)
class KeyCandidate:
    """One reading of the key.

    key: "F# minor".  tonic: "F#".  tonic_class: 0 is C.  probability: over all 24 keys, calibrated.
    camelot: "11A"; open_key: "4m": the wheels that DJs use.  relation: to the first candidate;
    "fifth" is a fifth up or down.
    """

    key: str
    tonic: str
    tonic_class: int
    mode: Mode
    probability: float
    camelot: str
    open_key: str
    relation: KeyRelation


@dataclass(frozen=True)
class KeySegment:
    """A stretch in one key; `key` is None where no key is heard."""

    start_s: float
    end_s: float
    key: str | None
    confidence: float


@dataclass(frozen=True)
class Chord:
    """One chord: "C", "A:min", ... or "N" where none sounds; confidence is the expected share
    of the stretch that carries this label."""

    start_s: float
    end_s: float
    label: str
    confidence: float


@dataclass(frozen=True)
class HarmonyEstimate:
    """Key, tuning and chords, and how sure.

    key: None for silence and unpitched sound.  confidence: probability that `key` is right.
    candidates: most probable first.  tuning_cents: deviation from A = 440 Hz, -50 to 50, None
    without pitch.  chords: back to back from 0 to the end.  chroma: twelve shares from C upwards,
    the greatest is 1.  evidence: the numbers behind the verdicts, by name.
    """

    key: str | None
    confidence: float
    candidates: tuple[KeyCandidate, ...] = ()
    key_segments: tuple[KeySegment, ...] = ()
    tuning_cents: float | None = None
    chords: tuple[Chord, ...] = ()
    chord_vocabulary: tuple[str, ...] = ()
    chroma: tuple[float, ...] = ()
    evidence: dict[str, float] = field(default_factory=dict)
