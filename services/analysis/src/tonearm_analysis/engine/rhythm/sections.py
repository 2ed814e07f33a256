"""Long recordings: read in overlapping sections, joined where they overlap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from tonearm_analysis.engine.memory import give_back
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.curve import stability, tempo_curve
from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate

SECTION_FRAMES: Final = round(600 * FRAME_RATE_HZ)
OVERLAP_FRAMES: Final = round(20 * FRAME_RATE_HZ)
SAME_TEMPO: Final = 0.04


def sections(n_frames: int) -> list[tuple[int, int]]:
    """Ranges of frames of at most ten minutes, equally long, 20 s shared between neighbours."""
    if n_frames <= SECTION_FRAMES:
        return [(0, n_frames)]
    step_max = SECTION_FRAMES - OVERLAP_FRAMES
    count = -(-(n_frames - OVERLAP_FRAMES) // step_max)
    step = -(-(n_frames - OVERLAP_FRAMES) // count)
    return [(k * step, min(k * step + step + OVERLAP_FRAMES, n_frames)) for k in range(count)]


def in_turn(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The ranges one by one; what work on the one before left free goes back to the system."""
    for index, frames in enumerate(ranges):
        if index:
            give_back()
        yield frames


def joined(parts: list[RhythmEstimate], *, onset_rate_hz: float) -> RhythmEstimate:
    """One estimate of sections in order; the tempo with the most beats behind it leads."""
    beats, positions = _joined_beats(parts)
    lead = _leading(parts)
    down = tuple(t for t, number in zip(beats, positions, strict=True) if number == 1)
    times = np.array(beats)
    return RhythmEstimate(
        tempo_bpm=lead.tempo_bpm,
        confidence=lead.confidence,
        candidates=_pooled(parts, lead),
        beats_s=beats,
        beat_positions=positions,
        downbeats_s=down,
        beat_confidence=round(float(np.mean([part.beat_confidence for part in parts])), 4),
        meter=lead.meter,
        meter_confidence=lead.meter_confidence,
        tempo_curve=tempo_curve(times),
        stability=stability(times),
        onset_rate_hz=onset_rate_hz,
        evidence=lead.evidence,
    )


def _joined_beats(parts: list[RhythmEstimate]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Beats of all sections, handed over in the middle of each overlap."""
    beats: list[float] = []
    positions: list[int] = []
    for index, part in enumerate(parts):
        last = index + 1 == len(parts)
        stop = np.inf if last else (part.beats_s[-1] + parts[index + 1].beats_s[0]) / 2
        for time_s, position in zip(part.beats_s, part.beat_positions, strict=True):
            # A gap of less than .15 s at the seam is the same beat heard twice.
            if time_s < stop and (not beats or time_s > beats[-1] + 0.15 * (index > 0)):
                beats.append(time_s)
                positions.append(position)
    return tuple(beats), tuple(positions)


def _agrees(part: RhythmEstimate, bpm: float | None) -> bool:
    other = part.tempo_bpm
    return bpm is not None and other is not None and abs(other - bpm) <= SAME_TEMPO * bpm


def _leading(parts: list[RhythmEstimate]) -> RhythmEstimate:
    """The section whose tempo most beats have."""

    def backing(part: RhythmEstimate) -> int:
        return sum(len(other.beats_s) for other in parts if _agrees(other, part.tempo_bpm))

    return max(parts, key=lambda part: (backing(part), part.confidence))


def _pooled(parts: list[RhythmEstimate], lead: RhythmEstimate) -> tuple[TempoCandidate, ...]:
    """The leading section's candidates, each with its mean probability over all sections."""
    if len(parts) == 1:
        return lead.candidates
    pooled = []
    for candidate in lead.candidates:
        near = [
            sum(c.probability for c in part.candidates
                if abs(c.bpm - candidate.bpm) <= SAME_TEMPO * candidate.bpm)
            for part in parts
        ]  # fmt: skip
        mean = round(float(np.mean(near)), 4)
        pooled.append(TempoCandidate(candidate.bpm, mean, candidate.relation))
    return tuple(pooled)
