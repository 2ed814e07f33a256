"""Long recordings: read in overlapping sections, joined where they overlap.

A recording of at most SECTION_S is one section. Of a longer one a section of STEP_S + OVERLAP_S is
read as soon as more than SECTION_S lies unread; what is left at the end, at least
SECTION_S - STEP_S of it, is the last one. So where sections lie follows from the frames alone.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.curve import stability, tempo_curve
from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate

Doubles = npt.NDArray[np.float64]

SECTION_S: Final = 600.0
STEP_S: Final = 450.0
OVERLAP_S: Final = 20.0
SECTION_FRAMES: Final = round(SECTION_S * FRAME_RATE_HZ)
STEP_FRAMES: Final = round(STEP_S * FRAME_RATE_HZ)
OVERLAP_FRAMES: Final = round(OVERLAP_S * FRAME_RATE_HZ)
SAME_TEMPO: Final = 0.04
SAME_BEAT_S: Final = 0.15


class Beats:
    """Beats of all sections, handed over in the middle of each overlap; 9 bytes each."""

    def __init__(self) -> None:
        self._times_s, self._positions = array("d"), array("B")
        self._doubted: tuple[Doubles, npt.NDArray[np.int64]] | None = None

    def add(self, part: RhythmEstimate | None, *, handover_s: float) -> None:
        """Add a section's; those from the handover on stand if the next has none of its own.

        part: None where there is no beat.  handover_s: infinite for the last section.
        """
        if part is None:
            if self._doubted is not None:
                self._keep(*self._doubted)
            self._doubted = None
            return
        times_s, positions = np.array(part.beats_s), np.array(part.beat_positions)
        later = times_s >= handover_s
        self._keep(times_s[~later], positions[~later])
        self._doubted = (times_s[later], positions[later])

    def _keep(self, times_s: Doubles, positions: npt.NDArray[np.int64]) -> None:
        if self._times_s:  # what is closer than this at the seam is the same beat heard twice
            fresh = times_s > self._times_s[-1] + SAME_BEAT_S
            times_s, positions = times_s[fresh], positions[fresh]
        self._times_s.extend(times_s.tolist())
        self._positions.extend(positions.tolist())

    @property
    def last_s(self) -> float:
        """The last that stands; 0 before there is one."""
        return self._times_s[-1] if self._times_s else 0.0

    def since(self, start_s: float) -> Doubles:
        """The beats from then on, those in doubt among them."""
        times_s = np.array(self._times_s)
        if self._doubted is not None:
            times_s = np.concatenate([times_s, self._doubted[0]])
        return times_s[np.searchsorted(times_s, start_s) :]

    def all(self) -> tuple[Doubles, npt.NDArray[np.uint8]]:
        """Times and positions of the beats that stand."""
        return np.array(self._times_s), np.array(self._positions)


class Sections:
    """What is kept of the sections read so far: their beats, and their estimates without them."""

    def __init__(self) -> None:
        self.beats = Beats()
        self._parts: list[RhythmEstimate] = []
        self._n_beats: list[int] = []

    def add(self, part: RhythmEstimate | None, *, handover_s: float = np.inf) -> None:
        """Add the next section's estimate; None where there is no beat."""
        self.beats.add(part, handover_s=handover_s)
        if part is not None:
            self._n_beats.append(len(part.beats_s))
            self._parts.append(
                replace(part, beats_s=(), beat_positions=(), downbeats_s=(), tempo_curve=())
            )

    def joined(self, *, onset_rate_hz: float) -> RhythmEstimate:
        """One estimate of all sections; the tempo with the most beats behind it leads."""
        if not self._parts:
            return RhythmEstimate(None, 0.0, onset_rate_hz=onset_rate_hz)
        lead = self._leading()
        times_s, positions = self.beats.all()
        return replace(
            lead,
            candidates=self._pooled(lead),
            beats_s=tuple(times_s.tolist()),
            beat_positions=tuple(positions.tolist()),
            downbeats_s=tuple(times_s[positions == 1].tolist()),
            beat_confidence=round(float(np.mean([p.beat_confidence for p in self._parts])), 4),
            tempo_curve=tempo_curve(times_s),
            stability=stability(times_s),
            onset_rate_hz=onset_rate_hz,
        )

    def _leading(self) -> RhythmEstimate:
        """The section whose tempo most beats have."""

        def backing(part: RhythmEstimate) -> int:
            counted = zip(self._parts, self._n_beats, strict=True)
            return sum(n for other, n in counted if _agrees(other, part.tempo_bpm))

        return max(self._parts, key=lambda part: (backing(part), part.confidence))

    def _pooled(self, lead: RhythmEstimate) -> tuple[TempoCandidate, ...]:
        """The leading section's candidates, each with its mean probability over all sections."""
        if len(self._parts) == 1:
            return lead.candidates
        pooled = []
        for candidate in lead.candidates:
            near = [
                sum(c.probability for c in part.candidates
                    if abs(c.bpm - candidate.bpm) <= SAME_TEMPO * candidate.bpm)
                for part in self._parts
            ]  # fmt: skip
            mean = round(float(np.mean(near)), 4)
            pooled.append(TempoCandidate(candidate.bpm, mean, candidate.relation))
        return tuple(pooled)


def _agrees(part: RhythmEstimate, bpm: float | None) -> bool:
    other = part.tempo_bpm
    return bpm is not None and other is not None and abs(other - bpm) <= SAME_TEMPO * bpm
