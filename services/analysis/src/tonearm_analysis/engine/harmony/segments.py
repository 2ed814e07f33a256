"""Key over time: stretches of 12 s that share a key."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony import names
from tonearm_analysis.engine.harmony.chords import best_path
from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.key import key_scores, measures_of
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.harmony.model import KeySegment
from tonearm_analysis.engine.harmony.sums import KeySums, added
from tonearm_analysis.engine.numerics import softmax

Doubles = npt.NDArray[np.float64]

SEGMENT_S: Final = 12.0
SEGMENT_FRAMES: Final = round(SEGMENT_S * FRAME_RATE_HZ)
KEY_CHANGE_NATS: Final = 6.0


class KeySegments:
    """Scores of the keys in each 12 s; of what is heard nothing else is kept."""

    def __init__(self) -> None:
        self._scores: list[Doubles | None] = []
        self._open: KeySums | None = None
        self._open_frames = 0

    def add(self, heard: HeardHarmony, sounding: npt.NDArray[np.bool_]) -> None:
        """Add the next frames, of which some sound."""
        start = 0
        while start < len(sounding):
            stop = min(start + SEGMENT_FRAMES - self._open_frames, len(sounding))
            frames = np.zeros(len(sounding), bool)
            frames[start:stop] = sounding[start:stop]
            if frames.any():
                self._open = added(self._open, KeySums.of(heard, frames))
            self._open_frames += stop - start
            start = stop
            if self._open_frames == SEGMENT_FRAMES:
                self._close()

    def segments(self, whole: Doubles, *, duration_s: float) -> tuple[KeySegment, ...]:
        """Segments that share a key, reluctant to leave it; nothing may be added after that.

        whole: scores of the whole recording, which lean on every segment. What is left at its end
        counts if it is longer than half a segment.
        """
        if self._open_frames > SEGMENT_FRAMES // 2 or not self._scores:
            self._close()
        scores = np.array([_leaning(local, whole) for local in self._scores])
        path = best_path(scores, KEY_CHANGE_NATS)
        out: list[KeySegment] = []
        turns = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
        for first, last in pairwise(turns):
            chance = np.mean([softmax(row)[path[first]] for row in scores[first:last]])
            end_s = duration_s if last == len(path) else last * SEGMENT_FRAMES / FRAME_RATE_HZ
            out.append(
                KeySegment(
                    round(first * SEGMENT_FRAMES / FRAME_RATE_HZ, 4),
                    round(float(end_s), 4),
                    names.key_name(int(path[first])),
                    round(float(chance), 4),
                )
            )
        return tuple(out)

    def _close(self) -> None:
        sums, self._open, self._open_frames = self._open, None, 0
        self._scores.append(None if sums is None else key_scores(measures_of(sums)))


def _leaning(local: Doubles | None, whole: Doubles) -> Doubles:
    """Scores of a segment half-way to the whole recording's; of silence, the whole's."""
    local = whole if local is None else local
    return np.asarray(0.5 * (local - local.max()) + 0.5 * (whole - whole.max()), np.float64)
