"""Plain chords under a tune, from its own key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_eval.generator.piece import BAR_QUARTERS, CHORD_TONES, ChordSpan, Meter, Mode, Note

# Semitones above the tonic, quality, and how welcome the chord is whatever is sung.
PALETTE: Final[dict[Mode, tuple[tuple[int, str, float], ...]]] = {
    "major": (
        (0, "maj", 0.25), (7, "maj", 0.12), (5, "maj", 0.12), (9, "min", 0.0), (2, "min", 0.0),
    ),
    "minor": (
        (0, "min", 0.25), (7, "maj", 0.1), (5, "min", 0.08), (10, "maj", 0.06), (3, "maj", 0.0),
        (8, "maj", 0.0),
    ),
}  # fmt: skip
TASTE: Final = 0.1  # deviation of a chord's welcome from one arrangement to the next
DOWN_A_FIFTH: Final = 0.1
DOWNBEAT_WEIGHT: Final = 1.7


def sung(notes: Iterable[Note], step: float, count: int) -> npt.NDArray[np.float64]:
    """(count, 12): how long each pitch class sounds in each stretch of `step` quarters."""
    out = np.zeros((count, 12))
    for note in notes:
        stop = note.start + note.length
        for k in range(max(0, int(note.start // step)), min(count, int(-(-stop // step)))):
            shared = min(stop, (k + 1) * step) - max(note.start, k * step)
            begins = abs(note.start - k * step) < 1e-3
            out[k, note.pitch % 12] += max(0.0, shared) * (DOWNBEAT_WEIGHT if begins else 1.0)
    return out


def harmonised(
    rng: np.random.Generator,
    notes: list[Note],
    *,
    meter: Meter,
    tonic: int,
    mode: Mode,
    bars: int,
    step: float,
) -> list[ChordSpan]:
    """The best row of chords, one a `step` of quarters; equal neighbours in a bar are one chord."""
    bar = BAR_QUARTERS[meter]
    count = round(bars * bar / step)
    heard = sung(notes, step, count)
    chords = PALETTE[mode]
    tones = np.zeros((len(chords), 12))
    for k, (degree, quality, _) in enumerate(chords):
        for tone in CHORD_TONES[quality]:
            tones[k, (tonic + degree + tone) % 12] = 1.0
    fits = heard @ tones.T / np.maximum(heard.sum(axis=1, keepdims=True), 1e-9)
    welcome = np.array([weight for _, _, weight in chords]) + rng.normal(0, TASTE, len(chords))
    roots = np.array([degree for degree, _, _ in chords])
    moves = DOWN_A_FIFTH * ((roots[:, None] - roots[None, :]) % 12 == 7)
    path = best_path(fits + welcome, moves)
    dominant = "7" if rng.random() < 0.3 else "maj"
    spans: list[ChordSpan] = []
    for k, choice in enumerate(path):
        degree, quality, _ = chords[choice]
        quality = dominant if degree == 7 else quality
        root, start = (tonic + degree) % 12, k * step
        before = spans[-1] if spans and start % bar > 1e-6 else None
        if before is not None and (before.root, before.quality) == (root, quality):
            spans[-1] = before._replace(length=before.length + step)
        else:
            spans.append(ChordSpan(start, step, root, quality))
    return spans


def best_path(
    gains: npt.NDArray[np.float64], moves: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """The row of choices of greatest gain: gains (n, k) of each choice, moves (k, k) of from and to."""
    total, back = gains[0], np.zeros(gains.shape, np.intp)
    for k in range(1, len(gains)):
        reached = total[:, None] + moves
        back[k] = reached.argmax(axis=0)
        total = reached.max(axis=0) + gains[k]
    path = np.zeros(len(gains), np.intp)
    path[-1] = total.argmax()
    for k in range(len(gains) - 1, 0, -1):
        path[k - 1] = back[k, path[k]]
    return path
