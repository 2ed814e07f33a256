"""How much the harmony moves, frame by frame: chords and bass, as the chord listener hears them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ as HARMONY_RATE_HZ
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ, Floats
from tonearm_analysis.engine.rhythm.listening import Heard

Doubles = npt.NDArray[np.float64]

# Of the mean level, added before a frame's bass is brought to sum one: a rest has no bass.
REST_SHARE: Final = 0.05
# Frames compared at a time: hours of them at once would need hundreds of megabytes.
BLOCK_FRAMES: Final = 4_096


def change_curves(heard: Heard, harmonic: HeardHarmony) -> dict[str, Floats]:
    """Change of chord and of bass at the frames of `heard`, 50 a second, each shape (n,).

    0 where nothing moves, about 1 where all does within a tenth of a second; zeros for sound too
    short for a change.
    """
    n = len(heard.activations)
    times_s = heard.start_s + np.arange(n) / FRAME_RATE_HZ
    first = max(0, int(heard.start_s * HARMONY_RATE_HZ) - 1)
    last = int((heard.start_s + n / FRAME_RATE_HZ) * HARMONY_RATE_HZ) + 2
    chords, bass = harmonic.chords[first:last], harmonic.bass[first:last].astype(np.float64)
    if len(chords) < 3:
        return {name: np.zeros(n, np.float32) for name in ("chord", "bass")}
    level = bass.sum(axis=1, keepdims=True)
    bass = bass / (level + REST_SHARE * level.mean() + 1e-9)
    moves = {
        "chord": _moves(chords),
        "bass": _moves(bass) + 0.5 * _moves(harmonic.chord_bass[first:last]),
    }
    # The change between two frames lies half-way between them.
    place = times_s * HARMONY_RATE_HZ - 0.5 - first
    return {
        name: np.interp(place, np.arange(len(move)), move).astype(np.float32)
        for name, move in moves.items()
    }


def _moves(rows: npt.NDArray[np.floating]) -> Doubles:
    """Half the sum of what rises and falls from each frame to the next."""
    flat = rows.reshape(len(rows), -1)
    moves = np.zeros(len(rows) - 1)
    for start in range(0, len(moves), BLOCK_FRAMES):
        some = flat[start : start + BLOCK_FRAMES + 1].astype(np.float64)
        moves[start : start + BLOCK_FRAMES] = np.abs(np.diff(some, axis=0)).sum(axis=1) / 2
    return moves
