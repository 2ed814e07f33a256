"""What the engine says about rhythm.  Times in seconds from the start, tempo in beats a minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Relation = Literal["same", "double", "half", "triple", "third", "3:2", "2:3", "other"]


@dataclass(frozen=True)
class TempoCandidate:
    """One reading of the tempo.

    bpm: beats a minute.  probability: that this reading is the felt tempo; the candidates'
    probabilities sum to 1 less the chance that none is.  relation: to the first candidate.
    """

    bpm: float
    probability: float
    relation: Relation


@dataclass(frozen=True)
class TempoPoint:
    """Tempo around one moment, over about eight beats."""

    time_s: float
    bpm: float


@dataclass(frozen=True)
class RhythmEstimate:
    """Tempo, beats, bars and how sure.

    tempo_bpm: None when no beat was found; then `beats_s` is empty too.
    confidence: probability that `tempo_bpm` is within 4 % of the felt tempo.
    candidates: most probable first.
    beats_s: strictly increasing.  beat_positions: of each beat in its bar, from 1.
    downbeats_s: the beats numbered 1.  beat_confidence: expected F-measure (70 ms) of the beats.
    meter: "3/4", "4/4" or "6/8" (beats are dotted quarters), None without beats.
    tempo_curve: one point every two seconds or so.  stability: 1 for a machine, 0 for free time.
    onset_rate_hz: note and drum starts a second.
    evidence: the numbers behind the verdicts, by name.
    """

    tempo_bpm: float | None
    confidence: float
    candidates: tuple[TempoCandidate, ...] = ()
    beats_s: tuple[float, ...] = ()
    beat_positions: tuple[int, ...] = ()
    downbeats_s: tuple[float, ...] = ()
    beat_confidence: float = 0.0
    meter: str | None = None
    meter_confidence: float = 0.0
    tempo_curve: tuple[TempoPoint, ...] = ()
    stability: float = 0.0
    onset_rate_hz: float = 0.0
    evidence: dict[str, float] = field(default_factory=dict)
