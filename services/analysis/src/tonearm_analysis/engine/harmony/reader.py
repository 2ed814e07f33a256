"""From what is heard to what is kept of it, stretch by stretch: sums, key scores and chords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.chords import ChordSequence
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.harmony.segments import KeySegments
from tonearm_analysis.engine.harmony.sums import HarmonySums, added, frames_of

Doubles = npt.NDArray[np.float64]

# Below this magnitude (about -80 dBFS) nothing is heard.
LEVEL_FLOOR: Final = 1e-3
# Frames this far below the loudest so far (60 dB) do not count.
LEVEL_SHARE: Final = 1e-3
# Music that begins does so softer than it goes on (the softest quarter of 5.6 s) by this share; an
# excerpt begins about as loud.  Of generated pieces, which have up to half a second of silence or
# noise before them, .87 lie below it, of excerpts cut out of them .04.
QUIET_SHARE: Final = 0.35
BEGINNING_FRAMES: Final = 60
BEGINNING_SLOPE: Final = 4.0


def sounding_frames(
    level: npt.NDArray[np.floating], *, loudest: float = 0.0
) -> npt.NDArray[np.bool_]:
    """Which frames count; loudest: of any frame before."""
    top = max(loudest, float(level.max(initial=0.0)))
    return np.asarray(level > max(LEVEL_FLOOR, LEVEL_SHARE * top))


def beginning(
    level: npt.NDArray[np.floating],
    sounding: npt.NDArray[np.bool_],
    *,
    after_silence: bool = False,
) -> float:
    """How surely music begins at the first frame that sounds, 0 to 1, and does not merely go on.

    level, sounding: of each frame, shape (n,).  after_silence: no frame before these sounded, but
    there were some.  Where none sounds: 0.  A fade-in passes for a beginning.
    """
    if not sounding.any():
        return 0.0
    if after_silence:
        return 1.0
    before = max(int(sounding.argmax()) - 1, 0)
    ahead = level[before : before + BEGINNING_FRAMES].astype(np.float64)
    share = ahead[0] / max(float(np.quantile(ahead, 0.25)), LEVEL_FLOOR)
    return float(1.0 / (1.0 + (share / QUIET_SHARE) ** BEGINNING_SLOPE))


class HarmonyReader:
    """Reads a recording in stretches, or at once; what it read needs not be kept.

    frames: read so far.  sums: of them, None before the first.  begins: `beginning` of the first
    stretch that sounds.  A recording that is read in stretches differs from one that is read at once
    in this: whether a frame sounds is told by the loudest so far, and a chord by what comes up to the
    end of what was heard, not by all of it.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.sums: HarmonySums | None = None
        self.key_segments = KeySegments()
        self.chords = ChordSequence()
        self.begins = 0.0
        self._loudest = 0.0

    def add(
        self, heard: HeardHarmony, beats_s: Sequence[float] | Doubles, *, n_frames: int
    ) -> None:
        """Read the next n_frames frames, the first of `heard`; those behind are only looked at.

        beats_s: from the recording's first frame, those of all that is heard here.
        """
        stretch = frames_of(heard, slice(0, n_frames))
        self._loudest = max(self._loudest, float(heard.level.max(initial=0.0)))
        sounding = sounding_frames(stretch.level, loudest=self._loudest)
        if self.sums is None or not self.sums.key.frames:
            self.begins = beginning(stretch.level, sounding, after_silence=self.frames > 0)
        self.sums = added(self.sums, HarmonySums.of(stretch, sounding))
        self.key_segments.add(stretch, sounding)
        self.chords.add(heard, beats_s, n_frames=n_frames)
        self.frames += n_frames
