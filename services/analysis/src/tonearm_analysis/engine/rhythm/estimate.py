"""The story of a section: lay beats, weigh the readings, count bars, say how sure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm import placing, presence, pulse, readings
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ
from tonearm_analysis.engine.rhythm.listening import Heard
from tonearm_analysis.engine.rhythm.model import Relation, RhythmEstimate, TempoCandidate
from tonearm_analysis.engine.rhythm.section import Section

Doubles = npt.NDArray[np.float64]
Range = tuple[float, float]

SHORTEST_S: Final = 4.0
FEWEST_ONSETS: Final = 4
RELATIONS: Final[tuple[tuple[float, Relation], ...]] = (
    (1.0, "same"),
    (2.0, "double"),
    (0.5, "half"),
    (1.5, "3:2"),
    (2 / 3, "2:3"),
    (3.0, "triple"),
    (1 / 3, "third"),
)
SAME_TEMPO: Final = 0.04
METERS: Final = {2: "6/8", 3: "3/4", 4: "4/4"}  # by beats to the bar
# Measured on generated clips: at half or double the tempo many beats are right all the same.
F_AT_RIGHT_TEMPO: Final = 0.98
F_AT_WRONG_TEMPO: Final = 0.65


@dataclass(frozen=True)
class Chosen:
    """One reading of a recording, or of a section of it, with its bars counted."""

    grid: readings.Grid
    numbers: placing.Ints
    meter: str
    meter_confidence: float


def section_estimate(
    section: Section, *, tempo_range_bpm: Range | None = None
) -> RhythmEstimate | None:
    """The estimate of a section, without its tempo over time; None where there is no beat."""
    heard = section.heard
    too_short = len(heard.activations) < SHORTEST_S * FRAME_RATE_HZ
    if too_short or pulse.onset_count(heard.onsets[:, 0]) < FEWEST_ONSETS:
        return None
    found = readings.grids(heard)
    if not found:
        return None
    values = readings.measures(section, found)
    chance = readings.probabilities(values)
    wanted = _preferred(chance, found, tempo_range_bpm)
    compound, index = _best(wanted)
    likeliest = _best(chance)[1]  # whether there is a beat is no matter of taste
    beat_chance = presence.probability(heard, found[likeliest], values[likeliest])
    if beat_chance < float(presence.numbers()["none_below"]):
        return None
    kind = placing.KINDS[compound]
    placed = placing.place(placing.tried(section, found[index], kind))
    found[index] = replace(found[index], times_s=placed.times_s)
    chosen = Chosen(
        found[index],
        placed.numbers,
        METERS[placed.bar_beats],
        float(chance[compound].sum() / chance.sum()) * placed.chance,
    )
    return _described(heard, found, chance, wanted, chosen, beat_chance, values[index])


def _best(chance: Doubles) -> tuple[int, int]:
    """Kind of beat and index: the likeliest tempo, whatever its beats divide in, then that."""
    index = int(chance.sum(axis=0).argmax())
    return int(chance[:, index].argmax()), index


def _preferred(chance: Doubles, found: list[readings.Grid], wanted: Range | None) -> Doubles:
    """The chances with readings outside the preferred range pushed behind all inside it."""
    if wanted is None:
        return chance
    inside = np.array([wanted[0] <= grid.bpm <= wanted[1] for grid in found])
    return np.where(inside, chance, chance * 1e-6)


def _described(
    heard: Heard,
    found: list[readings.Grid],
    chance: Doubles,
    wanted: Doubles,
    chosen: Chosen,
    beat_chance: float,
    values: dict[str, float],
) -> RhythmEstimate:
    """Put the chosen reading and its rivals into words."""
    by_grid = chance.sum(axis=0) * beat_chance
    order = np.argsort(-wanted.sum(axis=0), kind="stable")
    order = np.concatenate([[k for k in order if found[k] is chosen.grid],
                            [k for k in order if found[k] is not chosen.grid]]).astype(int)  # fmt: skip
    candidates = _candidates([(found[k].bpm, float(by_grid[k])) for k in order])
    times = chosen.grid.times_s + heard.start_s
    inside = (times >= 0.0) & (times <= heard.duration_s)
    times, numbers = times[inside], chosen.numbers[inside]
    return RhythmEstimate(
        tempo_bpm=candidates[0].bpm,
        confidence=candidates[0].probability,
        candidates=candidates,
        beats_s=tuple(round(float(t), 4) for t in times),
        beat_positions=tuple(int(n) for n in numbers),
        downbeats_s=tuple(round(float(t), 4) for t in times[numbers == 1]),
        beat_confidence=round(expected_f(candidates[0].probability, beat_chance), 4),
        meter=chosen.meter,
        meter_confidence=round(chosen.meter_confidence, 4),
        evidence={name: round(float(value), 4) for name, value in values.items()}
        | {"pulse_probability": round(beat_chance, 4)},
    )


def expected_f(tempo_chance: float, beat_chance: float) -> float:
    """Mean F-measure of beats at the right tempo and at a wrong one, weighed by their chances.

    tempo_chance: that there is a beat, and at this tempo.
    """
    wrong = max(beat_chance - tempo_chance, 0.0)
    return F_AT_RIGHT_TEMPO * tempo_chance + F_AT_WRONG_TEMPO * wrong


def _candidates(ranked: list[tuple[float, float]]) -> tuple[TempoCandidate, ...]:
    """Readings at the same tempo joined, the least likely left out."""
    merged: list[list[float]] = []
    for bpm, probability in ranked:
        same = next((row for row in merged if abs(row[0] - bpm) <= SAME_TEMPO * row[0]), None)
        if same is not None:
            same[1] += probability
        else:
            merged.append([bpm, probability])
    first = merged[0][0]
    return tuple(
        TempoCandidate(round(bpm, 2), round(min(probability, 1.0), 4), relation(bpm / first))
        for k, (bpm, probability) in enumerate(merged)
        if k == 0 or probability >= 0.005
    )


def relation(ratio: float) -> Relation:
    """The name of a ratio between two tempi."""
    for value, name in RELATIONS:
        if abs(ratio / value - 1.0) <= SAME_TEMPO:
            return name
    return "other"
