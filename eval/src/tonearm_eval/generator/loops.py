"""Chord loops drawn at random for the development split, beyond those of its lists.

A few dozen loops heard again and again teach a fit those loops; here every clip has its own.  Each
chord follows the one before by what is common in print: the tonic, its neighbours by fifth and the
diatonic chords often, borrowed ones rarely, roots that fall by a fifth or rise by a step more often
than others.  No loop of the test split is ever drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from tonearm_eval.generator.material import Material, Progression
from tonearm_eval.generator.material_held_out import TEST
from tonearm_eval.generator.piece import Mode

Loop = tuple[tuple[int, str], ...]

POOL: Final = 2
"""Loops to a clip: verse and chorus are drawn from these."""
BEGINS_ON_TONIC: Final = 0.72
HAS_NO_TONIC: Final = 0.06
ENDS_ON_TONIC: Final = 0.5
"""Of hymns, which mostly come home."""
POWER_CHORDS: Final = 0.12
# How much likelier a chord is by what its root does, in semitones up.
MOTION: Final = {5: 2.2, 7: 1.5, 2: 1.4, 10: 1.2, 9: 1.3, 3: 1.0, 8: 1.0, 4: 0.8}
OTHER_MOTION: Final = 0.5
# How common each triad is, tonic apart: (semitones above the tonic, quality) -> weight.
DIATONIC: Final[dict[Mode, dict[tuple[int, str], float]]] = {
    "major": {
        (5, "maj"): 10, (7, "maj"): 10, (9, "min"): 7, (2, "min"): 4, (4, "min"): 3,
        (10, "maj"): 2, (5, "min"): 0.6, (8, "maj"): 0.6, (3, "maj"): 0.6, (2, "maj"): 0.8,
        (7, "min"): 0.6, (9, "maj"): 0.4, (4, "maj"): 0.4,
    },
    "minor": {
        (5, "min"): 8, (7, "min"): 5, (7, "maj"): 6, (8, "maj"): 8, (10, "maj"): 8,
        (3, "maj"): 7, (5, "maj"): 2, (2, "dim"): 0.8, (1, "maj"): 0.6, (2, "min"): 0.6,
    },
}  # fmt: skip
TONIC: Final[dict[Mode, str]] = {"major": "maj", "minor": "min"}
# Chords in a loop and how often.
LENGTHS: Final = {
    "pop": {4: 0.72, 2: 0.1, 3: 0.06, 8: 0.12},
    "vamp": {2: 0.62, 4: 0.28, 1: 0.1},
    "blues": {12: 0.6, 8: 0.4},
    "jazz": {4: 0.7, 8: 0.3},
    "folk": {4: 0.75, 8: 0.25},
    "hymn": {8: 1.0},
}
# Sevenths: the share of loops that have them on every chord.
SEVENTHS: Final = {"pop": 0.05, "vamp": 0.55, "blues": 1.0, "jazz": 1.0, "folk": 0.0, "hymn": 0.0}


def as_loop(progression: Progression) -> Loop:
    """A progression as triads that go round: where it begins and what repeats do not matter."""
    triads = {"maj7": "maj", "7": "maj", "min7": "min", "hdim7": "dim"}
    chords = [(step, triads.get(quality, quality)) for step, quality in progression]
    chords = [c for k, c in enumerate(chords) if c != chords[k - 1]] or chords[:1]
    period = next(
        n
        for n in range(1, len(chords) + 1)
        if len(chords) % n == 0 and chords == chords[:n] * (len(chords) // n)
    )
    loop = chords[:period]
    return min(tuple(loop[k:] + loop[:k]) for k in range(period))


OF_THE_TEST_SPLIT: Final = {as_loop(p) for pool in TEST.progressions.values() for p in pool}


def weights_after(
    before: tuple[int, str] | None, harmony: str, mode: Mode
) -> tuple[list[tuple[int, str]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """The chords that may come next and the chance of each."""
    plain = harmony in ("folk", "hymn", "blues")
    kinds = {(0, TONIC[mode]): 10.0, **DIATONIC[mode]}
    chords = list(kinds)
    # Plain styles keep to the common chords, and more so.
    weight = np.array([kinds[c] ** (1.5 if plain else 1.0) for c in chords])
    if before is not None:
        motion = [MOTION.get((c[0] - before[0]) % 12, OTHER_MOTION) for c in chords]
        weight *= np.array(motion)
        # Walking on is commoner than staying, but in vamps and blues a chord may be held.
        weight[chords.index(before)] *= 1.5 if harmony in ("blues", "folk") else 0.3
    return chords, weight / weight.sum()


def with_seventh(rng: np.random.Generator, chord: tuple[int, str], harmony: str) -> tuple[int, str]:
    """The chord with the seventh of its style and place."""
    step, quality = chord
    if quality == "dim":
        return step, "hdim7"
    if quality == "min":
        return step, "min7"
    dominant = {"blues": 1.0, "vamp": 0.5, "jazz": 0.12}.get(harmony, 0.2)
    if step == 7 or (step in (2, 9, 4) and harmony == "jazz"):
        dominant = 0.95
    return step, "7" if rng.random() < dominant else "maj7"


def _drawn(rng: np.random.Generator, harmony: str, mode: Mode) -> Progression:
    lengths = LENGTHS[harmony]
    length = int(rng.choice(list(lengths), p=list(lengths.values())))
    tonic = (0, TONIC[mode])
    loop: list[tuple[int, str]] = []
    while len(loop) < length:
        if not loop and rng.random() < BEGINS_ON_TONIC:
            loop.append(tonic)
            continue
        chords, chance = weights_after(loop[-1] if loop else None, harmony, mode)
        loop.append(chords[int(rng.choice(len(chords), p=chance))])
    if harmony == "hymn" and rng.random() < ENDS_ON_TONIC:
        loop[-2:] = [(7, "maj"), tonic]
    if tonic not in loop and rng.random() > HAS_NO_TONIC:
        loop[int(rng.choice([0, length // 2]))] = tonic
    if harmony == "pop" and rng.random() < POWER_CHORDS:
        return [(step, "5") for step, _ in loop]
    if rng.random() < SEVENTHS[harmony]:
        return [with_seventh(rng, chord, harmony) for chord in loop]
    return loop


def drawn(rng: np.random.Generator, harmony: str, mode: Mode) -> Progression:
    """One loop of a family of progressions that the test split does not have."""
    while True:
        loop = _drawn(rng, harmony, mode)
        if as_loop(loop) not in OF_THE_TEST_SPLIT:
            return loop


def with_new_loops(rng: np.random.Generator, material: Material, mode: Mode) -> Material:
    """The material with loops of its own in place of the listed ones."""
    pools: dict[tuple[str, str], list[Progression]] = {
        (harmony, mode): [drawn(rng, harmony, mode) for _ in range(POOL)] for harmony in LENGTHS
    }
    return replace(material, progressions=pools)
