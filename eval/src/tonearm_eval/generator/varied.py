"""Drum patterns that vary from clip to clip, and more of the styles that are easily misread.

A split has one or two patterns a style; weights fitted on those alone would know them by heart.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tonearm_eval.generator.clip import MATERIALS, Job
from tonearm_eval.generator.material import (
    CLAP,
    HAT,
    KICK,
    OPEN,
    RIDE,
    RIM,
    SHAKER,
    SNARE,
    STYLES,
    TAMB,
    Pattern,
)
from tonearm_eval.generator.piece import Mode

# Of 195 clips.
COUNTS: Final = {
    "jig": 26, "slow68": 26, "waltz": 13, "jazzwaltz": 11, "minuet": 8, "swing": 14, "dnb": 12,
    "reggae": 14, "chorale": 11, "hiphop": 7, "trap": 6, "ballad": 9, "shuffle": 9, "bossa": 7,
    "funk": 5, "rock": 5, "house": 3, "pop": 5, "folk": 4,
}  # fmt: skip
KEEPERS: Final = (HAT, OPEN, RIDE, SHAKER, TAMB)
BACKBEATS: Final = (SNARE, CLAP, RIM)
_STREAM: Final = 5


def _even_keeper(rng: np.random.Generator, row: list[str], pulse: int) -> list[str]:
    """A time keeper on beats, eighths, every step, or with one step changed."""
    steps, chance = range(len(row)), rng.random()
    if chance < 0.15:
        return ["x" if k % pulse == 0 else "." for k in steps]
    if chance < 0.3:
        return [("X" if k % pulse == 0 else "x") if k % 2 == 0 else "." for k in steps]
    if chance < 0.4 and pulse == 6:
        return ["x" if k % 6 in (0, 4) else "." for k in steps]
    if chance < 0.45:
        return ["x"] * len(row)
    if chance < 0.6:
        step = int(rng.integers(len(row)))
        row[step] = "." if row[step] != "." else "o"
    return row


def _without_one(rng: np.random.Generator, row: list[str], hits: list[int]) -> None:
    row[hits[int(rng.integers(len(hits)))]] = "."


def varied_row(rng: np.random.Generator, key: int, marks: str, pulse: int) -> str:
    """One bar of one drum, changed a little.  pulse: sixteenths to a beat."""
    row = list(marks)
    if key in KEEPERS:
        row = _even_keeper(rng, row, pulse)
    elif key == KICK:
        if rng.random() < 0.45:
            row[2 * int(rng.integers(len(row) // 2))] = "x"
        if rng.random() < 0.3:
            hits = [k for k, mark in enumerate(row) if mark != "." and k]
            if hits:
                _without_one(rng, row, hits)
    elif key in BACKBEATS:
        if rng.random() < 0.3:
            row[int(rng.integers(1, len(row)))] = "o"
        if rng.random() < 0.1:
            hits = [k for k, mark in enumerate(row) if mark != "."]
            if len(hits) > 1:
                _without_one(rng, row, hits)
    return "".join(row)


def varied_pattern(rng: np.random.Generator, pattern: Pattern, meter: str) -> Pattern:
    """Other drums of the same role, other hits, two bars in turn now and then."""
    pulse, out = (6 if meter == "6/8" else 4), {}
    for key, rows in pattern.items():
        played = key
        if key in KEEPERS and rng.random() < 0.4:
            played = KEEPERS[int(rng.integers(len(KEEPERS)))]
        if key in BACKBEATS and rng.random() < 0.4:
            played = BACKBEATS[int(rng.integers(len(BACKBEATS)))]
        bars = rows.split("|")
        if rng.random() < 0.3:
            bars = bars * 2
        out[played] = "|".join(varied_row(rng, key, bar, pulse) for bar in bars)
    if len(out) > 2 and rng.random() < 0.12:
        out.pop(list(out)[int(rng.integers(len(out)))])
    return out


def varied_jobs(split: str, seed: int, clips: int, *, fonts: bool = True) -> list[Job]:
    """The clips of a run: styles as often as COUNTS says, patterns of each clip's own."""
    names = [style for style, count in COUNTS.items() for _ in range(count)]
    order = np.random.default_rng(seed).permutation(len(names))
    jobs = []
    for index in range(clips):
        rng, style = np.random.default_rng([seed, _STREAM, index]), names[order[index % len(order)]]
        drums = {
            name: [varied_pattern(rng, pattern, STYLES[name].meter) for pattern in patterns]
            for name, patterns in MATERIALS[split].drums.items()
        }
        tonic = int(rng.integers(12))
        mode: Mode = "major" if rng.random() < 0.5 else "minor"
        jobs.append(Job(split, seed, index, style, tonic, mode, fonts=fonts, drums=drums))
    return jobs
