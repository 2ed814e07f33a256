"""The ear of profile `full`: two recurrent networks and their small pupil, a third each.

The pupil sees what is to come, and learnt from truth as well; its teachers know records.  Together
they are right more often than either.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tonearm_analysis.engine.rhythm.bands import Floats
from tonearm_analysis.engine.rhythm.crnn import NETWORKS, CrnnEar
from tonearm_analysis.engine.rhythm.student import StudentEar

STUDENT_SHARE: Final = np.float32(1.0 / (len(NETWORKS) + 1))


class JointEar:
    """Hears sound of one level; an `Ear` of listening.py. Onsets are those of the finer bands."""

    def __init__(self) -> None:
        self.activations: list[Floats] = []
        self.onsets: list[Floats] = []
        self._teachers = CrnnEar()
        self._student = StudentEar()

    def hear(self, sound: Floats) -> None:
        """Hear the next samples."""
        self._teachers.hear(sound)
        self._student.hear(sound)
        self._join()

    def finish(self) -> None:
        """Hear the end of the sound."""
        self._teachers.finish()
        self._student.finish()
        self._join()

    def _join(self) -> None:
        """Take over the frames that all networks have read."""
        self.onsets += self._teachers.onsets
        self._teachers.onsets, self._student.onsets = [], []
        ears = (self._teachers, self._student)
        ready = min(sum(len(part) for part in ear.activations) for ear in ears)
        if ready:
            theirs, own = (_taken(ear.activations, ready) for ear in ears)
            self.activations.append(theirs + (own - theirs) * STUDENT_SHARE)


def _taken(parts: list[Floats], count: int) -> Floats:
    """The first `count` frames, which are no longer among the parts."""
    frames = np.concatenate(parts)
    parts[:] = [frames[count:].copy()] if len(frames) > count else []
    return frames[:count]
