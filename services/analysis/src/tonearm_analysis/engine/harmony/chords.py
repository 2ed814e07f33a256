"""The chord sequence: evidence per beat, best path through 24 triads and "no chord"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.listening import FAMILIES, HeardHarmony
from tonearm_analysis.engine.harmony.model import Chord
from tonearm_analysis.engine.harmony.names import CHORD_VOCABULARY

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHANGE_NATS: Final = 5.0
FLOOR: Final = 1e-4


def triads(heard: HeardHarmony) -> Doubles:
    """Probability of each of the 25 labels in each frame, shape (n, 25)."""
    family = dict(zip(FAMILIES, np.moveaxis(heard.chords, 2, 0), strict=True))
    major = family["major"] + family["seventh"] + 0.5 * family["suspended"]
    minor = family["minor"] + family["diminished"] + 0.5 * family["suspended"]
    return np.concatenate([major, minor, heard.no_chord[:, None]], axis=1).astype(np.float64)


def best_path(log_probabilities: Doubles, change_nats: Doubles) -> Ints:
    """Labels (n,) that maximise the sum, where the change before step k costs change_nats[k]."""
    n, n_labels = log_probabilities.shape
    back = np.zeros((n, n_labels), np.int64)
    value = log_probabilities[0].copy()
    stay = np.arange(n_labels)
    for step in range(1, n):
        best = int(value.argmax())
        switched = value[best] - change_nats[step]
        back[step] = np.where(value >= switched, stay, best)
        value = np.maximum(value, switched) + log_probabilities[step]
    label = int(value.argmax())
    path = [label]
    for step in range(n - 1, 0, -1):
        label = int(back[step, label])
        path.append(label)
    return np.array(path[::-1])


def chord_sequence(heard: HeardHarmony, beats_s: Sequence[float]) -> tuple[Chord, ...]:
    """Chords back to back over the whole recording; they change on beats where beats are known."""
    probability = triads(heard)
    n = len(probability)
    edges = _edges(beats_s, n)
    sums = np.concatenate([np.zeros((1, 25)), np.cumsum(np.log(np.maximum(probability, FLOOR)), 0)])
    evidence = sums[edges[1:]] - sums[edges[:-1]]
    path = best_path(evidence, np.full(len(evidence), CHANGE_NATS))
    turns = np.flatnonzero(np.diff(path, prepend=-1, append=-1))
    out = []
    for start, stop in pairwise(turns):
        label, first, last = int(path[start]), int(edges[start]), int(edges[stop])
        out.append(
            Chord(
                _second(first, n, heard.duration_s),
                _second(last, n, heard.duration_s),
                CHORD_VOCABULARY[label],
                round(float(probability[first:last, label].mean()), 4),
            )
        )
    return tuple(out)


def _edges(beats_s: Sequence[float], n_frames: int) -> Ints:
    """Frame borders of the stretches that share a chord: beats, or every frame without beats."""
    if len(beats_s) < 4:
        return np.arange(n_frames + 1)
    inside = np.round(np.asarray(beats_s) * FRAME_RATE_HZ).astype(np.int64)
    return np.unique(np.concatenate([[0], np.clip(inside, 0, n_frames), [n_frames]]))


def _second(frame: int, n_frames: int, duration_s: float) -> float:
    if frame == n_frames:
        return round(duration_s, 4)
    return round(min(frame / FRAME_RATE_HZ, duration_s), 4)
