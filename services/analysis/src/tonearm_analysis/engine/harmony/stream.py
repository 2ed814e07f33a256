"""Harmony on a stream: heard, lent to the reading of rhythm, read, and let go of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.estimate import estimate_read
from tonearm_analysis.engine.harmony.listening import HarmonyListener, HeardHarmony
from tonearm_analysis.engine.harmony.model import HarmonyEstimate
from tonearm_analysis.engine.harmony.reader import HarmonyReader

Doubles = npt.NDArray[np.float64]

ALONE_S: Final = 600.0
"""Without beats to wait for, half of what is unread is read when it is longer than this."""


@dataclass(frozen=True)
class Excerpt:
    """Some of a recording's harmony.  start_s: of its first frame, from the first sound."""

    heard: HeardHarmony
    start_s: float = 0.0


class HarmonyStream:
    """A listener and a reader; frames are kept until they are read and nothing needs them more."""

    def __init__(self) -> None:
        self._listener = HarmonyListener()
        self._reader = HarmonyReader()
        self._has_ended = False
        self.duration_s = 0.0

    @property
    def read_s(self) -> float:
        """Up to when it was read, from the first sound."""
        return self._reader.frames / FRAME_RATE_HZ

    def push(self, low: npt.NDArray[np.floating]) -> None:
        """Hear the next samples at 22 050 Hz."""
        self._listener.push(low)

    def end(self) -> None:
        """Hear the end of the sound; `duration_s` is known then."""
        self.duration_s = self._listener.finish().duration_s
        self._has_ended = True

    def has_heard(self, until_s: float) -> bool:
        """Whether all is heard up to then, or nothing will be heard any more."""
        return self._has_ended or self._listener.frames >= _frame_after(until_s)

    def between(self, start_s: float, stop_s: float) -> Excerpt:
        """What was heard between two times, as far as it is kept."""
        first = max(int(start_s * FRAME_RATE_HZ), self._listener.kept_from)
        stop = min(_frame_after(stop_s), self._listener.frames)
        return Excerpt(self._listener.heard(first, stop), first / FRAME_RATE_HZ)

    def read(
        self, beats_s: Sequence[float] | Doubles, *, until_s: float, seen_s: float, needed_s: float
    ) -> None:
        """Read on until until_s, where a beat is or none near, and look as far as seen_s.

        beats_s: from `read_s` on.  needed_s: what follows is lent once more.
        """
        first, stop = self._reader.frames, min(_frame_after(seen_s), self._listener.frames)
        count = min(round(until_s * FRAME_RATE_HZ), stop) - first
        if count > 0:
            self._reader.add(self._listener.heard(first, stop), beats_s, n_frames=count)
        self._listener.forget(min(self._reader.frames, int(needed_s * FRAME_RATE_HZ)))

    def read_alone(self) -> None:
        """Read half of what is unread, if that is much, without beats."""
        unread_s = self._listener.frames / FRAME_RATE_HZ - self.read_s
        if unread_s > ALONE_S:
            until_s = self.read_s + ALONE_S / 2
            self.read((), until_s=until_s, seen_s=until_s + ALONE_S / 4, needed_s=until_s)

    def finish(
        self, beats_s: Sequence[float] | Doubles, downbeats_s: Sequence[float] | Doubles
    ) -> HarmonyEstimate:
        """Read the rest and return the estimate.

        beats_s: from `read_s` on.  downbeats_s: all, from the first sound.
        """
        first, stop = self._reader.frames, self._listener.frames
        if stop > first:
            self._reader.add(self._listener.heard(first, stop), beats_s, n_frames=stop - first)
        return estimate_read(self._reader, downbeats_s=downbeats_s, duration_s=self.duration_s)


def _frame_after(time_s: float) -> int:
    return int(time_s * FRAME_RATE_HZ) + 1
