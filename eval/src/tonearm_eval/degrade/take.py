"""A stretch of sound and its truth, which keep together whatever is done to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from tonearm_eval.clips import Clip

Floats = npt.NDArray[np.float32]

RATE_HZ: Final = 44_100


@dataclass(frozen=True)
class Take:
    """sound: (n,) mono at 44.1 kHz.  beats, chords, tempo_bpm, tuning_cents: as of a `Clip`."""

    sound: Floats
    beats: tuple[tuple[float, int], ...]
    chords: tuple[tuple[float, float, str], ...]
    tempo_bpm: float | None
    tuning_cents: float = 0.0

    @classmethod
    def of(cls, clip: Clip) -> Take:
        """A whole clip, read from its file, which libsndfile must know."""
        sound, rate_hz = soundfile.read(clip.path, dtype="float32", always_2d=True)
        mono = sound.mean(axis=1, dtype=np.float32)
        if rate_hz != RATE_HZ:
            mono = soxr.resample(mono, rate_hz, RATE_HZ)
        return cls(
            np.asarray(mono, np.float32), clip.beats, clip.chords, clip.tempo_bpm, clip.tuning_cents
        )

    @property
    def duration_s(self) -> float:
        """Length of the sound."""
        return len(self.sound) / RATE_HZ

    def sounding(self, sound: npt.NDArray[np.floating]) -> Take:
        """Another sound with the same truth."""
        return replace(self, sound=np.asarray(sound, np.float32))

    def cut(self, start_s: float, stop_s: float) -> Take:
        """What lies between two times, moved to 0."""
        inside = [(t - start_s, n) for t, n in self.beats if start_s <= t < stop_s]
        chords = [
            (max(a, start_s) - start_s, min(b, stop_s) - start_s, label)
            for a, b, label in self.chords
            if b > start_s and a < stop_s
        ]
        first, last = round(start_s * RATE_HZ), round(stop_s * RATE_HZ)
        return replace(
            self, sound=self.sound[first:last], beats=tuple(inside), chords=tuple(chords)
        )

    def faster(self, ratio: float) -> Take:
        """Played that much faster, and as much higher."""
        sound = soxr.resample(self.sound, RATE_HZ * ratio, RATE_HZ)
        return Take(
            np.asarray(sound, np.float32),
            tuple((t / ratio, n) for t, n in self.beats),
            tuple((a / ratio, b / ratio, label) for a, b, label in self.chords),
            None if self.tempo_bpm is None else self.tempo_bpm * ratio,
            self.tuning_cents + 1200 * float(np.log2(ratio)),
        )
