"""Sections of a recording, each read as soon as it is heard; what was read needs not be kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine import harmony
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.harmony.stream import Excerpt
from tonearm_analysis.engine.memory import give_back
from tonearm_analysis.engine.rhythm import pulse
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.estimate import Range, section_estimate
from tonearm_analysis.engine.rhythm.listening import Heard, Listener
from tonearm_analysis.engine.rhythm.model import RhythmEstimate
from tonearm_analysis.engine.rhythm.section import Section
from tonearm_analysis.engine.rhythm.sections import (
    OVERLAP_FRAMES,
    SECTION_FRAMES,
    STEP_FRAMES,
    Beats,
    Sections,
)

BLOCK_SAMPLES: Final = 1 << 18


class RhythmReader:
    """Reads the sections of a recording in order.

    frames: read so far; the next section begins with the one that follows.  beats: so far.
    final_s: from the first sound; the beats before it stand, those behind it may change.
    """

    def __init__(self, tempo_range_bpm: Range | None = None) -> None:
        self.frames = 0
        self.final_s = 0.0
        self._tempo_range_bpm = tempo_range_bpm
        self._sections = Sections()
        self._onsets = 0

    @property
    def beats(self) -> Beats:
        """The beats of the sections so far, from the first sound."""
        return self._sections.beats

    def section_frames(self, unread: int, *, is_last: bool) -> int | None:
        """How many of the unread frames the next section takes; None while it is not complete.

        is_last: nothing else will be heard.
        """
        if unread > SECTION_FRAMES:
            return STEP_FRAMES + OVERLAP_FRAMES
        return unread if is_last else None

    def read(self, heard: Heard, harmonic: Excerpt, *, is_last: bool) -> None:
        """Read the next section; the last one, if nothing of the recording lies behind it."""
        if self.frames or not is_last:
            give_back()  # the search for beats needs much at once, in a long recording time and again
        part = _estimate(heard, harmonic, self._tempo_range_bpm)
        n_frames = len(heard.activations)
        own_from = OVERLAP_FRAMES // 2 if self.frames else 0
        own_to = n_frames if is_last else n_frames - OVERLAP_FRAMES // 2
        peaks = pulse.onset_peaks(heard.onsets[:, 0])
        self._onsets += int(np.count_nonzero(peaks[own_from:own_to]))
        self.frames += n_frames if is_last else n_frames - OVERLAP_FRAMES
        handover_s = heard.start_s + own_to / FRAME_RATE_HZ
        self._sections.add(part, handover_s=np.inf if is_last else handover_s)
        next_s = handover_s - OVERLAP_FRAMES / 2 / FRAME_RATE_HZ
        self.final_s = max(self.beats.last_s, next_s)
        if not is_last:
            give_back()

    def estimate(self, *, duration_s: float) -> RhythmEstimate:
        """The estimate of all sections; a recording without one has no beat."""
        return self._sections.joined(onset_rate_hz=self._onsets / max(duration_s, 1e-9))


def hear(mono_22k: npt.NDArray[np.floating], *, profile: Literal["full", "fast"] = "full") -> Heard:
    """What the beat networks hear: mono sound at 22 050 Hz, shape (n,), about -1 to 1."""
    listener = Listener(profile)
    for start in range(0, len(mono_22k), BLOCK_SAMPLES):
        listener.push(mono_22k[start : start + BLOCK_SAMPLES])
    return listener.finish()


def estimate_heard(
    heard: Heard, harmonic: HeardHarmony, *, tempo_range_bpm: Range | None = None
) -> RhythmEstimate:
    """The estimate from what was heard of rhythm and of harmony, without the sound.

    A recording longer than ten minutes is read in sections, each with its own tempo; the tempo
    that most of it has leads the candidates.
    """
    reader = RhythmReader(tempo_range_bpm)
    is_last = False
    while not is_last:
        unread = heard.between(reader.frames, len(heard.activations))
        count = reader.section_frames(len(unread.activations), is_last=True)
        is_last = count == len(unread.activations)
        reader.read(unread.between(0, count or 0), Excerpt(harmonic), is_last=is_last)
    return reader.estimate(duration_s=heard.duration_s)


def estimate(
    mono_22k: npt.NDArray[np.floating],
    *,
    tempo_range_bpm: Range | None = None,
    profile: Literal["full", "fast"] = "full",
) -> RhythmEstimate:
    """Tempo, beats, bars and meter of mono sound at 22 050 Hz.

    tempo_range_bpm: where the caller prefers the tempo; the readings are ranked again within it.
    Silence, and sound without a beat, give `tempo_bpm` None and a confidence near 0.
    """
    heard = hear(mono_22k, profile=profile)
    return estimate_heard(heard, harmony.hear(mono_22k), tempo_range_bpm=tempo_range_bpm)


def _estimate(heard: Heard, harmonic: Excerpt, wanted: Range | None) -> RhythmEstimate | None:
    """The estimate of a section, at the recording's times."""
    since_s = harmonic.start_s
    here = replace(heard, start_s=heard.start_s - since_s, duration_s=heard.duration_s - since_s)
    part = section_estimate(Section(here, harmonic.heard), tempo_range_bpm=wanted)
    if part is None or not since_s:
        return part
    return replace(part, beats_s=tuple(round(time_s + since_s, 4) for time_s in part.beats_s))
