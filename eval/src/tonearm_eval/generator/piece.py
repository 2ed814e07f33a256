"""A composed piece before it sounds: parts of notes on a grid of quarters, and a tempo map."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Mode = Literal["major", "minor"]
Meter = Literal["4/4", "3/4", "6/8"]

BAR_QUARTERS: dict[str, float] = {"4/4": 4.0, "3/4": 3.0, "6/8": 3.0}
BEAT_QUARTERS: dict[str, float] = {"4/4": 1.0, "3/4": 1.0, "6/8": 1.5}
PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
CHORD_TONES: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "hdim7": (0, 3, 6, 10),
    "dim": (0, 3, 6),
    "sus4": (0, 5, 7),
    "5": (0, 7),
}


class Note(NamedTuple):
    """start, length: quarters.  pitch: MIDI number (drums: General MIDI percussion key)."""

    start: float
    length: float
    pitch: int
    velocity: int


class ChordSpan(NamedTuple):
    """start, length: quarters.  root: pitch class.  quality: a name of CHORD_TONES."""

    start: float
    length: float
    root: int
    quality: str

    @property
    def label(self) -> str:
        """The chord in the notation of the field: "A:min7", "C" for a major triad."""
        name = PITCH_NAMES[self.root]
        return name if self.quality == "maj" else f"{name}:{self.quality}"


@dataclass(frozen=True)
class Part:
    """One player: `role` is lead, chords, bass, pad or drums; `instrument` a name of the synth."""

    role: str
    instrument: str
    notes: list[Note]
    pan: float = 0.0
    gain: float = 1.0

    @property
    def is_drums(self) -> bool:
        """Whether pitches are percussion keys."""
        return self.role == "drums"


@dataclass(frozen=True)
class TempoMap:
    """Quarters to seconds: tempo (beats a minute) goes straight from start to end over the piece.

    lead_s: silence before quarter 0.  total_quarters: where `end_bpm` is reached.
    """

    meter: Meter
    start_bpm: float
    end_bpm: float
    lead_s: float
    total_quarters: float

    def seconds(self, quarters: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Time of positions on the grid."""
        beats = np.asarray(quarters, np.float64) / BEAT_QUARTERS[self.meter]
        if self.start_bpm == self.end_bpm:
            return self.lead_s + beats * 60.0 / self.start_bpm
        slope = (self.end_bpm - self.start_bpm) * BEAT_QUARTERS[self.meter] / self.total_quarters
        return self.lead_s + 60.0 / slope * np.log1p(slope * beats / self.start_bpm)


@dataclass(frozen=True)
class Piece:
    """Everything that is played, and the truth about it.

    pickup: quarters that sound before quarter 0, which is a downbeat; their notes start below 0.
    """

    style: str
    tonic: int
    mode: Mode
    tempo: TempoMap
    chords: list[ChordSpan]
    parts: list[Part]
    swing_eighths: float = 0.5
    swing_sixteenths: float = 0.5
    traits: dict[str, str] = field(default_factory=dict)
    pickup: float = 0.0

    @property
    def meter(self) -> Meter:
        """Meter of the whole piece."""
        return self.tempo.meter

    def swung(self, quarter: float) -> float:
        """Where a position of the straight grid is played."""
        whole, part = divmod(quarter + 1e-9, 1.0)
        half = self.swing_eighths
        part = part * 2 * half if part < 0.5 else half + (part - 0.5) * 2 * (1 - half)
        if self.swing_sixteenths != 0.5:
            eighth, rest = divmod(part * 2, 1.0)
            late = self.swing_sixteenths
            rest = rest * 2 * late if rest < 0.5 else late + (rest - 0.5) * 2 * (1 - late)
            part = (eighth + rest) / 2
        return whole + part

    def beats(self, duration_s: float) -> list[tuple[float, int]]:
        """(time, number in the bar) of every grid beat before the end."""
        beat, bar = BEAT_QUARTERS[self.meter], BAR_QUARTERS[self.meter]
        per_bar = round(bar / beat)
        count = int(self.tempo.total_quarters / beat)
        numbers = np.arange(-int(self.pickup / beat + 1e-6), count)
        times = self.tempo.seconds(numbers * beat)
        return [
            (float(t), int(k) % per_bar + 1)
            for k, t in zip(numbers, times, strict=True)
            if t < duration_s - 0.05
        ]
