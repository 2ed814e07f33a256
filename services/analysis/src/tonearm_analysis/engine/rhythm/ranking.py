"""Ranking the readings of a finished estimate again, for a caller who prefers another range.

Nothing is heard or decoded again: the beats of the new reading follow from those at hand.  What
the recording gave of evidence stays with the estimate; the probabilities do not change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm.curve import stability, tempo_curve
from tonearm_analysis.engine.rhythm.estimate import RELATIONS, expected_f, relation
from tonearm_analysis.engine.rhythm.model import RhythmEstimate, TempoCandidate

Doubles = npt.NDArray[np.float64]

RATIOS: Final = {name: ratio for ratio, name in RELATIONS}


def ranked_for(estimate: RhythmEstimate, tempo_range_bpm: tuple[float, float]) -> RhythmEstimate:
    """The estimate with the most probable reading inside the range first.

    Half and double the first tempo are readings too, of probability 0 where too unlikely to have
    been kept.  Where none lies inside, or the first one already does, it comes back unchanged.  Beats
    of a faster reading are laid evenly between those at hand; of a slower one, every second or
    third is kept, starting at a downbeat.  Beats of other ratios are laid along the same time.
    """
    low, high = tempo_range_bpm
    if not estimate.candidates:
        return estimate
    first = estimate.candidates[0]
    inside = [c for c in _readings(estimate) if low <= c.bpm <= high]
    if not inside or first in inside:
        return estimate
    wanted = max(inside, key=lambda c: c.probability)
    # By the relation's own ratio: measured tempi differ from it by a little, and beats would drift.
    ratio = RATIOS.get(wanted.relation, wanted.bpm / first.bpm)
    times, positions = _laid(estimate, ratio)
    beat_chance = estimate.evidence.get("pulse_probability", 1.0)
    others = [c for c in estimate.candidates if c is not wanted]
    candidates = tuple(
        TempoCandidate(c.bpm, c.probability, relation(c.bpm / wanted.bpm))
        for c in [wanted, *others]
    )
    return replace(
        estimate,
        tempo_bpm=wanted.bpm,
        confidence=wanted.probability,
        candidates=candidates,
        beats_s=tuple(round(float(t), 4) for t in times),
        beat_positions=tuple(int(k) for k in positions),
        downbeats_s=tuple(
            round(float(t), 4) for t, k in zip(times, positions, strict=True) if k == 1
        ),
        beat_confidence=round(expected_f(wanted.probability, beat_chance), 4),
        tempo_curve=tempo_curve(times),
        stability=stability(times),
    )


def _readings(estimate: RhythmEstimate) -> list[TempoCandidate]:
    first, found = estimate.candidates[0], list(estimate.candidates)
    for ratio in (0.5, 2.0):
        name = relation(ratio)
        if all(c.relation != name for c in found):
            found.append(TempoCandidate(round(ratio * first.bpm, 2), 0.0, name))
    return found


def _laid(estimate: RhythmEstimate, ratio: float) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """Beats `ratio` times as fast and their numbers in bars as long in beats as before."""
    times = np.array(estimate.beats_s)
    per_bar = max(estimate.beat_positions, default=1)
    start = next((k for k, p in enumerate(estimate.beat_positions) if p == 1), 0)
    # Counted in old beats from the first downbeat, the new ones fall on whole multiples of 1/ratio.
    first = -np.floor(start * ratio + 1e-6)
    last = np.floor((len(times) - 1 - start) * ratio + 1e-6)
    counts = np.arange(first, last + 1)
    places = counts / ratio + start
    laid = np.interp(places, np.arange(len(times)), times)
    return laid, (counts.astype(np.int64) % per_bar) + 1
