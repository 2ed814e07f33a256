"""Stages `rhythm` and `harmony` together: what they hear, and when it is read.

Up to HOLD_S of the low-rate signal waits until the cheaper stages have answered; a longer
recording is heard while it is decoded. Rhythm is read in sections, as soon as one is complete and
its harmony is heard; harmony is read up to the last beat that stands. What was read is let go of:
only beats, chords and sums grow with the hours.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, Floats
from tonearm_analysis.engine.music import (
    HARMONY_S_MIN,
    NO_HARMONY,
    Span,
    harmony_part,
    no_harmony,
    rhythm_part,
)
from tonearm_analysis.engine.parameters import Parameters
from tonearm_analysis.engine.stagerun import StageRun

if TYPE_CHECKING:
    from tonearm_analysis.engine.harmony import HarmonyStream
    from tonearm_analysis.engine.rhythm import Heard, RhythmStream

HOLD_S: Final = 6 * 60
MARGIN_S: Final = 8.0
"""Harmony that a section of rhythm needs on either side: four beats of the slowest reading."""


class HeldSignal:
    """The low-rate signal of short recordings, shared by the stages that come last."""

    def __init__(self) -> None:
        self._blocks: list[Floats] = []
        self._samples = 0
        self.overflown = False

    def keep(self, samples: Floats) -> None:
        """Keep the next samples at LOW_RATE_HZ."""
        self._blocks.append(samples)
        self._samples += len(samples)
        self.overflown = self.overflown or self._samples > HOLD_S * LOW_RATE_HZ

    def take(self) -> list[Floats]:
        """Return what is held and hold nothing any more."""
        blocks, self._blocks = self._blocks, []
        return blocks

    def blocks(self) -> list[Floats]:
        """Return what is held."""
        return self._blocks


class Hearing:
    """Runs both stages on their own time; one that has failed leaves the other."""

    def __init__(self, parameters: Parameters, *, rhythm: StageRun, harmony: StageRun) -> None:
        self._parameters = parameters
        self._rhythm_run, self._harmony_run = rhythm, harmony
        self._held = HeldSignal()
        self._rhythm: RhythmStream | None = None
        self._harmony: HarmonyStream | None = None

    def push(self, samples: Floats) -> None:
        """Hear the next samples at LOW_RATE_HZ, or hold them for a while."""
        self._held.keep(samples)
        if self._held.overflown:
            for held in self._held.take():
                self._rhythm_run.work(partial(self._hear_rhythm, held))
                self._harmony_run.work(partial(self._hear_harmony, held))
                self._read()

    def end_harmony(self) -> None:
        """Hear the rest of it; nothing may be pushed after that."""
        self._harmony_run.work(lambda: self._hear_harmony(*self._held.blocks()).end())

    def end_rhythm(self) -> None:
        """Hear the rest of it, after that of harmony, which helps to count bars, and read it."""
        self._rhythm_run.work(lambda: self._hear_rhythm(*self._held.take()).end())
        self._read()

    def rhythm(self, span: Span) -> dict[str, Any]:
        """Return the part `rhythm` of the result."""
        return rhythm_part(self._hear_rhythm().estimate(), span)

    def harmony(self, span: Span) -> dict[str, Any]:
        """Return the part `harmony` of the result; chords change on beats, where there are some."""
        harmony, rhythm = self._hear_harmony(), self._rhythm
        if harmony.duration_s < HARMONY_S_MIN:
            return NO_HARMONY
        beats_s = () if rhythm is None else rhythm.beats_from(harmony.read_s)
        downbeats_s = () if rhythm is None else rhythm.downbeats_s()
        return harmony_part(harmony.finish(beats_s, downbeats_s), span)

    def _hear_rhythm(self, *blocks: Floats) -> RhythmStream:
        if self._rhythm is None:
            from tonearm_analysis.engine.rhythm import RhythmStream

            self._rhythm = RhythmStream(self._parameters.profile, self._parameters.tempo_range_bpm)
        for samples in blocks:
            self._rhythm.push(samples)
        return self._rhythm

    def _hear_harmony(self, *blocks: Floats) -> HarmonyStream:
        if self._harmony is None:
            from tonearm_analysis.engine.harmony import HarmonyStream

            self._harmony = HarmonyStream()
        for samples in blocks:
            self._harmony.push(samples)
        return self._harmony

    def _read(self) -> None:
        """Read the sections of which rhythm and harmony are heard, and let go of them."""
        while (rhythm := self._rhythm) is not None and self._rhythm_run.error is None:
            harmony = self._harmony if self._harmony_run.error is None else None
            section = rhythm.next_section()
            if section is None or (harmony and not harmony.has_heard(section.end_s + MARGIN_S)):
                return
            self._rhythm_run.work(partial(self._read_rhythm, rhythm, section, harmony))
            if harmony and not rhythm.is_read:
                self._harmony_run.work(partial(self._read_harmony, rhythm, section, harmony))
        if self._harmony is not None:
            self._harmony_run.work(self._harmony.read_alone)

    def _read_rhythm(
        self, rhythm: RhythmStream, section: Heard, harmony: HarmonyStream | None
    ) -> None:
        around = section.start_s - MARGIN_S, section.end_s + MARGIN_S
        rhythm.read(section, no_harmony() if harmony is None else harmony.between(*around))

    def _read_harmony(self, rhythm: RhythmStream, section: Heard, harmony: HarmonyStream) -> None:
        harmony.read(
            rhythm.beats_from(harmony.read_s),
            until_s=rhythm.final_s,
            seen_s=section.end_s,
            needed_s=rhythm.next_start_s - MARGIN_S,
        )
