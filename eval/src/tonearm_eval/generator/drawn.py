"""Drum patterns and rhythms of tunes drawn anew for each clip, half of the clips in 6/8.

What is varied from listed patterns stays near them: readings learnt from those took compound meters
that they had not met for simple ones.  Here nothing is listed but what makes a role: bass drums
begin bars, backbeats answer, time keepers divide.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tonearm_eval.generator.clip import Job
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
from tonearm_eval.generator.material_held_out import TEST
from tonearm_eval.generator.piece import BAR_QUARTERS, Mode

# Of 200 clips.
COUNTS: Final = {
    "slow68": 52, "jig": 52, "waltz": 16, "jazzwaltz": 8, "ballad": 12, "pop": 10, "rock": 10,
    "shuffle": 10, "reggae": 8, "hiphop": 8, "swing": 8, "funk": 6,
}  # fmt: skip
STEPS: Final = {"4/4": 16, "3/4": 12, "6/8": 12}  # sixteenths to a bar
PULSES: Final = {"4/4": 4, "3/4": 4, "6/8": 6}
# Where backbeats answer, and how often.
ANSWERS: Final[dict[str, tuple[tuple[float, tuple[int, ...]], ...]]] = {
    "4/4": ((0.7, (4, 12)), (0.2, (8,)), (0.1, ())),
    "3/4": ((0.45, (4, 8)), (0.2, (4,)), (0.2, (8,)), (0.15, ())),
    "6/8": ((0.6, (6,)), (0.15, (4, 10)), (0.1, (8,)), (0.15, ())),
}
KEEPERS: Final = (HAT, OPEN, RIDE, SHAKER, TAMB)
BACKBEATS: Final = (SNARE, CLAP, RIM)
CELLS: Final = 6
LENGTHS_QUARTERS: Final = (0.5, 0.5, 1.0, 1.0, 1.5, 2.0, 3.0)
_STREAM: Final = 6


def _kick(rng: np.random.Generator, meter: str) -> str:
    row = ["."] * STEPS[meter]
    for step in range(0, len(row), 2):
        beat = step % PULSES[meter] == 0
        if rng.random() < (0.3 if beat else 0.13):
            row[step] = "x"
    if rng.random() < 0.95:
        row[0] = "X"
    return "".join(row)


def _backbeat(rng: np.random.Generator, meter: str) -> str:
    row = ["."] * STEPS[meter]
    chances, answers = zip(*ANSWERS[meter], strict=True)
    for step in answers[int(rng.choice(len(answers), p=chances))]:
        row[step] = "X"
    for step in range(1, len(row)):
        if row[step] == "." and rng.random() < 0.05:
            row[step] = "o"
    return "".join(row)


def _keeper(rng: np.random.Generator, meter: str) -> str:
    """Some part of a beat after which it comes again, with accents on some beats, seldom a hole."""
    pulse, steps = PULSES[meter], range(STEPS[meter])
    divisions = ((6,), (2, 2, 2), (4, 2), (2, 4), (1,)) if pulse == 6 else ((4,), (2,), (2,), (1,))
    division = divisions[int(rng.choice(len(divisions)))]
    ends = np.cumsum(np.tile(division, STEPS[meter] // sum(division)))
    hits = {0, *ends[:-1].tolist()}
    accents = bool(rng.random() < 0.5)
    hole = int(rng.integers(1, STEPS[meter])) if rng.random() < 0.2 else -1
    return "".join(
        ("X" if accents and k % pulse == 0 else "x") if k in hits and k != hole else "."
        for k in steps
    )


def drawn_pattern(rng: np.random.Generator, meter: str) -> Pattern:
    """Bass drum, backbeat and one or two time keepers; now and then two bars in turn."""
    bars = 2 if rng.random() < 0.3 else 1
    roles = [
        (KICK, _kick),
        (BACKBEATS[int(rng.integers(len(BACKBEATS)))], _backbeat),
        *((int(key), _keeper) for key in
          rng.choice(KEEPERS, 2 if rng.random() < 0.2 else 1, replace=False)),
    ]  # fmt: skip
    if rng.random() < 0.15:
        roles.pop(int(rng.integers(len(roles))))
    found = {key: "|".join(row(rng, meter) for _ in range(bars)) for key, row in roles}
    return (
        found
        if any(set(row) - {".", "|"} for row in found.values())
        else {KICK: "X" + "." * (STEPS[meter] - 1)}
    )


def drawn_cell(rng: np.random.Generator, meter: str) -> tuple[float, ...]:
    """Lengths, quarters, that fill a bar; most keep to its beats, and none is the test split's."""
    bar, beat = BAR_QUARTERS[meter], PULSES[meter] / 4
    while True:
        cell: list[float] = []
        while (left := bar - sum(cell)) > 0:
            to_beat = beat - sum(cell) % beat
            most = left if rng.random() < 0.25 else min(left, to_beat)
            fitting = [length for length in LENGTHS_QUARTERS if length <= most]
            cell.append(float(rng.choice(fitting)))
        if tuple(cell) not in TEST.rhythms[meter]:
            return tuple(cell)


def drawn_jobs(
    split: str, seed: int, clips: int, *, styles: tuple[str, ...] = (), fonts: bool = True
) -> list[Job]:
    """The clips of a run: those styles, or else as often as COUNTS says; rhythms of each clip's own."""
    names = list(styles) or [style for style, count in COUNTS.items() for _ in range(count)]
    order = np.random.default_rng(seed).permutation(len(names))
    jobs = []
    for index in range(clips):
        rng, style = np.random.default_rng([seed, _STREAM, index]), names[order[index % len(order)]]
        meter = STYLES[style].meter
        pattern = drawn_pattern(rng, meter)
        while pattern in TEST.drums.get(style, ()):
            pattern = drawn_pattern(rng, meter)
        cells = [drawn_cell(rng, meter) for _ in range(CELLS)]
        tonic = int(rng.integers(12))
        mode: Mode = "major" if rng.random() < 0.5 else "minor"
        jobs.append(
            Job(split, seed, index, style, tonic, mode, fonts=fonts,
                drums={style: [pattern]}, rhythms={meter: cells})
        )  # fmt: skip
    return jobs
