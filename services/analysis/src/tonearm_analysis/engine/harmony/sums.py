"""What the estimate needs of frames of harmony, as sums: of hours as small as of seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.listening import HeardHarmony

Doubles = npt.NDArray[np.float64]
Frames = slice | npt.NDArray[np.bool_]
Sums = TypeVar("Sums", "KeySums", "HarmonySums")


def frames_of(heard: HeardHarmony, frames: slice) -> HeardHarmony:
    """Some frames of what was heard; `duration_s` stays that of all."""
    names = (field.name for field in fields(heard) if field.name != "duration_s")
    return replace(heard, **{name: getattr(heard, name)[frames] for name in names})


@dataclass(frozen=True, slots=True)
class KeySums:
    """What the key is told by, summed over some frames.

    frames: how many.  bass, treble, pitch: (12,).
    """

    frames: int
    bass: Doubles
    treble: Doubles
    pitch: Doubles

    @classmethod
    def of(cls, heard: HeardHarmony, frames: Frames) -> KeySums:
        """The sums over the given frames."""
        columns = [getattr(heard, field.name)[frames] for field in fields(cls)[1:]]
        return cls(len(columns[0]), *(c.sum(axis=0, dtype=np.float64) for c in columns))


@dataclass(frozen=True, slots=True)
class HarmonySums:
    """Everything that is summed over sounding frames, and `tuning`, which is over all.

    key: of the sounding frames.  chroma: bass and treble, (12,).  clarity, no_chord, contrast: of
    the likeliest chord family, of "no chord", of the deviation between pitches.  tuning_sounding,
    tuning_size: of the tuning vectors, and of their lengths.
    """

    key: KeySums
    chroma: Doubles
    clarity: float
    no_chord: float
    contrast: float
    tuning_sounding: np.complex64
    tuning_size: np.float32
    tuning: np.complex64

    @classmethod
    def of(cls, heard: HeardHarmony, sounding: npt.NDArray[np.bool_]) -> HarmonySums:
        """The sums of what was heard."""
        chords = heard.chords[sounding].reshape(-1, 72)
        tuning = heard.tuning[sounding]
        return cls(
            key=KeySums.of(heard, sounding),
            chroma=(heard.bass + heard.treble)[sounding].sum(axis=0, dtype=np.float64),
            clarity=chords.max(axis=1).sum(dtype=np.float64),
            no_chord=heard.no_chord[sounding].sum(dtype=np.float64),
            contrast=heard.pitch[sounding].astype(np.float64).std(axis=1).sum(),
            tuning_sounding=tuning.sum(),
            tuning_size=np.abs(tuning).sum(),
            tuning=heard.tuning.sum(),
        )


def added(first: Sums | None, second: Sums) -> Sums:
    """The sums over the frames of both; nothing so far is None."""
    if first is None:
        return second
    columns = []
    for field in fields(second):
        one, other = getattr(first, field.name), getattr(second, field.name)
        columns.append(added(one, other) if isinstance(other, KeySums) else one + other)
    return type(second)(*columns)
