"""From sound to pitch-class and chord evidence, on a stream; what was read may be let go of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import (
    BINS_PER_OCTAVE,
    FRAME_RATE_HZ,
    SAMPLE_RATE_HZ,
    Floats,
    Stream,
    folded,
    whitened,
)
from tonearm_analysis.engine.harmony.names import PITCH_CLASSES
from tonearm_analysis.engine.memory import give_back
from tonearm_analysis.engine.models import open_network, read_card
from tonearm_analysis.engine.numerics import finite

CHORD_NETWORK: Final = "crema_chord"
# Chord qualities of the network, gathered into families.
FAMILIES: Final = ("major", "minor", "seventh", "diminished", "suspended", "augmented")
FAMILY_OF: Final = {
    "maj": 0, "maj6": 0, "maj7": 0,
    "min": 1, "min6": 1, "min7": 1, "minmaj7": 1,
    "7": 2,
    "dim": 3, "dim7": 3, "hdim7": 3,
    "sus2": 4, "sus4": 4,
    "aug": 5,
}  # fmt: skip
BASS_SEMITONES: Final = (0, 28)  # C1 to D#3
TREBLE_SEMITONES: Final = (28, 72)  # E3 to B6
# The network hears five minutes at a time; levels are relative to the loudest sound so far.
WINDOW_FRAMES: Final = 3_230
DYNAMIC_RANGE_DB: Final = 80.0
# Sound further off pitch than this, by what was heard so far, is read a bin (33 cents) beside: the
# network and the pitch classes know no quarter tones.
OFF_PITCH_CENTS: Final = 20.0


@dataclass(frozen=True)
class HeardHarmony:
    """What is kept of a recording for everything about harmony; n frames, 10.77 a second.

    bass, treble, pitch, root, chord_bass: (n, 12), (n, 12), (n, 12), (n, 13), (n, 13).
    chords: (n, 12 roots, 6 families); no_chord: (n,).  tuning: (n,) complex, the angle is the
    deviation from equal temperament at A = 440 Hz, the size the energy.  level: (n,) largest
    magnitude.  duration_s: length of the sound.
    """

    bass: Floats
    treble: Floats
    pitch: Floats
    root: Floats
    chord_bass: Floats
    chords: Floats
    no_chord: Floats
    tuning: npt.NDArray[np.complex64]
    level: Floats
    duration_s: float

    def change_between(self, start_s: float, stop_s: float) -> float:
        """How often the chord changes between two times, soft changes counted in part."""
        first, last = round(start_s * FRAME_RATE_HZ), round(stop_s * FRAME_RATE_HZ) + 1
        chords = self.chords[first:last].reshape(-1, 12 * len(FAMILIES))
        return float(np.abs(np.diff(chords, axis=0)).sum()) / 2 if len(chords) > 1 else 0.0


@cache
def _families() -> tuple[Floats, int]:
    """What gathers chord tags (170) into roots and families (72), and the column of "no chord"."""
    labels: list[str] = read_card(CHORD_NETWORK)["tag_labels"]
    shares = np.zeros((len(labels), 12 * len(FAMILIES)), np.float32)
    for column, label in enumerate(labels):
        if ":" in label:
            root, quality = label.split(":")
            shares[column, PITCH_CLASSES.index(root) * len(FAMILIES) + FAMILY_OF[quality]] = 1.0
    return shares, labels.index("N")


class HarmonyListener:
    """Hears blocks of mono sound at 22 050 Hz and hands back what it heard.

    frames: how many the network has read.  kept_from: the first of them that is kept.
    """

    def __init__(self) -> None:
        self._network = open_network(CHORD_NETWORK, blocked=False)
        self._stream = Stream()
        self._n_samples = 0
        self._loudest = 0.0
        self._peaks = np.full(2, 1e-5, np.float32)
        self._pending: list[Floats] = []
        self._pending_frames = 0
        self._parts: list[dict[str, npt.NDArray[Any]]] = []
        self.kept_from = 0
        self.frames = 0
        self._tuning = 0j

    def push(self, block: npt.NDArray[np.floating]) -> None:
        """Hear one block, shape (n,); values that are not numbers count as silence."""
        block = finite(block.astype(np.float32, copy=False))
        self._n_samples += len(block)
        self._gather(self._stream.push(block))

    def finish(self) -> HeardHarmony:
        """Hear the end of the sound and return what is kept; nothing can be heard after that."""
        self._gather(self._stream.finish())
        if self._pending:
            self._read()
        if not self._parts:
            self._pending = [np.zeros((1, 252), np.float32)]
            self._read()
        return self.heard(self.kept_from, self.frames)

    def heard(self, first: int, stop: int) -> HeardHarmony:
        """Frames that the network has read, counted from the first, and are still kept."""
        kept = self._joined()
        frames = slice(first - self.kept_from, stop - self.kept_from)
        columns: dict[str, Any] = {name: values[frames] for name, values in kept.items()}
        return HeardHarmony(**columns, duration_s=self._n_samples / SAMPLE_RATE_HZ)

    def forget(self, stop: int) -> None:
        """Keep no frame before this one."""
        stop = max(stop, self.kept_from)
        count, self.kept_from = stop - self.kept_from, stop
        self._parts = [{name: values[count:].copy() for name, values in self._joined().items()}]

    def _joined(self) -> dict[str, npt.NDArray[Any]]:
        """What is kept, as one part."""
        if len(self._parts) > 1:
            names = list(self._parts[0])
            # Let go of as it is joined: it would else be there twice.
            joined = {n: np.concatenate([part.pop(n) for part in self._parts]) for n in names}
            self._parts = [joined]
        return self._parts[0]

    def _gather(self, segments: list[Floats]) -> None:
        for frames in segments:
            self._pending.append(frames)
            self._pending_frames += len(frames)
            if self._pending_frames >= WINDOW_FRAMES:
                self._read()

    def _read(self) -> None:
        """Turn the pending constant-Q frames into the little that is kept of them."""
        if self.frames:
            give_back()  # before the network needs most, in a recording of more than five minutes
        bins = np.concatenate(self._pending)
        self._pending, self._pending_frames = [], 0
        width = bins.shape[1] - BINS_PER_OCTAVE
        low, high = bins[:, :width], bins[:, BINS_PER_OCTAVE:]
        self._peaks = np.maximum(self._peaks, np.array([low.max(), high.max()], np.float32))
        self._loudest = float(max(self._loudest, self._peaks.max()))
        white = whitened(bins, self._loudest)
        tuning = _tuning_vectors(white)
        self._tuning += complex(tuning.sum(dtype=np.complex128))
        aside = _bins_aside(self._tuning)
        level = bins.max(axis=1)
        bins, white = moved(bins, aside), moved(white, aside)
        low, high = bins[:, :width], bins[:, BINS_PER_OCTAVE:]
        views = [
            _decibels(view, float(peak))
            for view, peak in zip((low, high), self._peaks, strict=True)
        ]
        tag, pitch, root, bass = self._network.run(
            ["tag", "pitch", "root", "bass"], {"cqt": np.stack(views, axis=-1)}
        )
        families, none = _families()
        self._parts.append(
            {
                "bass": folded(white, *BASS_SEMITONES),
                "treble": folded(white, *TREBLE_SEMITONES),
                "pitch": pitch,
                "root": root,
                "chord_bass": bass,
                "chords": (tag @ families).reshape(-1, 12, len(FAMILIES)),
                "no_chord": tag[:, none].copy(),  # a view would keep every tag of every frame
                "tuning": tuning,
                "level": level,
            }
        )
        self.frames += len(bins)


def _decibels(magnitudes: Floats, loudest: float) -> Floats:
    """Level below the loudest, cut at -80 dB."""
    level = 20.0 * np.log10(np.maximum(magnitudes, 1e-5) / np.float32(max(loudest, 1e-5)))
    return np.maximum(level, -DYNAMIC_RANGE_DB).astype(np.float32)


def _bins_aside(tuning: complex) -> int:
    """How many bins above those of A = 440 Hz the semitones lie: -1, 0 or 1."""
    cents = float(np.angle(tuning)) / (2 * np.pi) * 100.0
    return int(np.sign(cents)) if abs(cents) > OFF_PITCH_CENTS else 0


def moved(bins: Floats, by: int) -> Floats:
    """Bins (n, 252) read `by` bins higher; the outermost stand twice."""
    if not by:
        return bins
    columns = np.clip(np.arange(bins.shape[1]) + by, 0, bins.shape[1] - 1)
    return np.asarray(bins[:, columns], np.float32)


def _tuning_vectors(white: Floats) -> npt.NDArray[np.complex64]:
    """One vector a frame: where between the semitones the energy sits, three bins to each."""
    turn = np.exp(2j * np.pi * np.arange(3) / 3)
    turns = np.tile(np.stack([turn.real, turn.imag], axis=1), (white.shape[1] // 3, 1))
    out: npt.NDArray[np.complex64] = (white @ turns.astype(np.float32)).view(np.complex64)[:, 0]
    return out


__all__ = ["FRAME_RATE_HZ", "HarmonyListener", "HeardHarmony"]
