"""Rhythm on a stream: heard, read in sections, and let go of."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.stream import Excerpt
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.estimate import Range
from tonearm_analysis.engine.rhythm.listening import Heard, Listener
from tonearm_analysis.engine.rhythm.model import RhythmEstimate
from tonearm_analysis.engine.rhythm.reader import RhythmReader

Doubles = npt.NDArray[np.float64]


class RhythmStream:
    """A listener and a reader; frames are kept until they are read.

    is_read: whether all of the recording is.
    """

    def __init__(self, profile: Literal["full", "fast"], tempo_range_bpm: Range | None) -> None:
        self._listener = Listener(profile)
        self._reader = RhythmReader(tempo_range_bpm)
        self._has_ended = False
        self._duration_s = 0.0
        self.is_read = False

    def push(self, low: npt.NDArray[np.floating]) -> None:
        """Hear the next samples at 22 050 Hz."""
        self._listener.push(low)

    def end(self) -> None:
        """Hear the end of the sound."""
        self._duration_s = self._listener.finish().duration_s
        self._has_ended = True

    def next_section(self) -> Heard | None:
        """The next section to read; None while it is not complete, and behind the last one."""
        if self.is_read:
            return None
        first = self._reader.frames
        count = self._reader.section_frames(self._listener.frames - first, is_last=self._has_ended)
        return None if count is None else self._listener.heard(first, first + count)

    def read(self, section: Heard, harmonic: Excerpt) -> None:
        """Read the next section, with the harmony around it, and let go of it."""
        stop = self._reader.frames + len(section.activations)
        is_last = self._has_ended and stop == self._listener.frames
        self._reader.read(section, harmonic, is_last=is_last)
        self._listener.forget(self._reader.frames)
        self.is_read = is_last

    @property
    def next_start_s(self) -> float:
        """When the next section starts, from the first sound."""
        return self._listener.start_s + self._reader.frames / FRAME_RATE_HZ

    @property
    def final_s(self) -> float:
        """Up to when beats stand, from the first sound: at the last of them, if it is near."""
        return self._reader.final_s

    def beats_from(self, start_s: float) -> Doubles:
        """The beats from then on, from the first sound; those behind `final_s` may change."""
        return self._reader.beats.since(start_s)

    def downbeats_s(self) -> Doubles:
        """The beats that begin a bar, from the first sound."""
        times_s, positions = self._reader.beats.all()
        return np.asarray(times_s[positions == 1], np.float64)

    def estimate(self) -> RhythmEstimate:
        """The estimate, once all is read."""
        return self._reader.estimate(duration_s=self._duration_s)
