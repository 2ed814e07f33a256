"""The chord sequence: evidence per beat, best path through 24 triads and "no chord".

Evidence of a chord on root r is weighed by distance from r, the same for all roots: the network's
own chord probabilities, and around them its pitches, roots and basses and the whitened chroma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.listening import FAMILIES, HeardHarmony
from tonearm_analysis.engine.harmony.model import Chord
from tonearm_analysis.engine.harmony.names import CHORD_VOCABULARY
from tonearm_analysis.engine.models import read_numbers

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WEIGHTS: Final = "chord_weights"
FLOOR: Final = 1e-4
FEWEST_BEATS: Final = 4
STRETCHES_AT_ONCE: Final = 1_024
# Scales that bring each kind of evidence to about one.
FAMILY_SCALE: Final = 4.0
CHROMA_SCALE: Final = 6.0
CHROMA_FLOOR: Final = 0.5


def stretches(beats_s: Sequence[float], n_frames: int) -> Ints:
    """Frame borders of the stretches that share a chord: beats, or every frame without beats."""
    if len(beats_s) < FEWEST_BEATS:
        return np.arange(n_frames + 1)
    inside = np.round(np.asarray(beats_s) * FRAME_RATE_HZ).astype(np.int64)
    return np.unique(np.concatenate([[0], np.clip(inside, 0, n_frames), [n_frames]]))


def _pooled(values: npt.NDArray[np.floating], edges: Ints) -> Doubles:
    """Mean of each stretch."""
    total = np.cumsum(values.reshape(len(values), -1), axis=0, dtype=np.float64)
    total = np.concatenate([np.zeros((1, total.shape[1])), total])
    mean = (total[edges[1:]] - total[edges[:-1]]) / np.diff(edges)[:, None]
    return np.asarray(mean.reshape(-1, *values.shape[1:]), np.float64)


def network_triads(heard: HeardHarmony) -> Doubles:
    """The network's probability of each of the 25 labels in each frame, shape (n, 25)."""
    family = dict(zip(FAMILIES, np.moveaxis(heard.chords, 2, 0), strict=True))
    major = family["major"] + family["seventh"] + 0.5 * family["suspended"]
    minor = family["minor"] + family["diminished"] + 0.5 * family["suspended"]
    return np.concatenate([major, minor, heard.no_chord[:, None]], axis=1).astype(np.float64)


def evidence(heard: HeardHarmony, edges: Ints) -> tuple[Doubles, Doubles]:
    """Of each stretch: measures by pitch class (n, 12, 11), and log triad probability (n, 25)."""
    treble, bass = _pooled(heard.treble, edges), _pooled(heard.bass, edges)
    columns = [
        _pooled(heard.pitch, edges)[:, :, None],
        _pooled(heard.root[:, :12], edges)[:, :, None],
        _pooled(heard.chord_bass[:, :12], edges)[:, :, None],
        FAMILY_SCALE * _pooled(heard.chords, edges),
    ]
    for chroma in (treble, bass):
        share = chroma / (chroma.sum(axis=1, keepdims=True) + CHROMA_FLOOR)
        columns.append(CHROMA_SCALE * share[:, :, None])
    own = np.log(np.maximum(_pooled(network_triads(heard), edges), FLOOR))
    return np.concatenate(columns, axis=2), own


def turned(measures: Doubles) -> Doubles:
    """Measures as each root sees them, shape (n, 12 roots, 12 x measures)."""
    rows = [np.roll(measures, -root, axis=1).reshape(len(measures), -1) for root in range(12)]
    return np.stack(rows, axis=1)


def log_probabilities(heard: HeardHarmony, edges: Ints) -> Doubles:
    """Log-probability of each label in each stretch, shape (n, 25); some at a time, to stay small."""
    parts = []
    for start in range(0, len(edges) - 1, STRETCHES_AT_ONCE):
        some = edges[start : start + STRETCHES_AT_ONCE + 1]
        frames = slice(int(some[0]), int(some[-1]))
        parts.append(_log_probabilities(_frames_of(heard, frames), some - some[0]))
    return np.concatenate(parts)


def _frames_of(heard: HeardHarmony, frames: slice) -> HeardHarmony:
    names = (field.name for field in fields(heard) if field.name != "duration_s")
    return replace(heard, **{name: getattr(heard, name)[frames] for name in names})


def _log_probabilities(heard: HeardHarmony, edges: Ints) -> Doubles:
    weights: dict[str, Any] = read_numbers(WEIGHTS)
    measures, own = evidence(heard, edges)
    seen = turned(measures)
    added = np.concatenate(
        [
            seen @ np.array(weights["major"]),
            seen @ np.array(weights["minor"]) + weights["minor_bias"],
            np.full((len(seen), 1), weights["none_bias"]),
        ],
        axis=1,
    )
    score = added + weights["network"] * own
    top = score.max(axis=1, keepdims=True)
    total = np.log(np.exp(score - top).sum(axis=1, keepdims=True))
    return np.asarray(score - top - total, np.float64)


def best_path(log_chance: Doubles, change_nats: float) -> Ints:
    """Labels (n,) that maximise the sum, where every change costs the same."""
    n, n_labels = log_chance.shape
    back = np.zeros((n, n_labels), np.uint8)  # a label each; hours without beats have many
    value, stay = log_chance[0].copy(), np.arange(n_labels)
    for step in range(1, n):
        best = int(value.argmax())
        switched = value[best] - change_nats
        back[step] = np.where(value >= switched, stay, best)
        value = np.maximum(value, switched) + log_chance[step]
    label = int(value.argmax())
    path = [label]
    for step in range(n - 1, 0, -1):
        label = int(back[step, label])
        path.append(label)
    return np.array(path[::-1])


def chord_sequence(heard: HeardHarmony, beats_s: Sequence[float]) -> tuple[Chord, ...]:
    """Chords back to back over the whole recording; they change on beats where beats are known."""
    n = len(heard.pitch)
    edges = stretches(beats_s, n)
    log_chance = log_probabilities(heard, edges)
    by_beat = len(beats_s) >= FEWEST_BEATS
    numbers = read_numbers(WEIGHTS)
    path = best_path(log_chance, numbers["change_beats" if by_beat else "change_frames"])
    chance, width = np.exp(log_chance), np.diff(edges)
    turns = np.flatnonzero(np.diff(path, prepend=-1, append=-1))
    out = []
    for start, stop in pairwise(turns):
        label = int(path[start])
        sure = np.average(chance[start:stop, label], weights=width[start:stop])
        out.append(
            Chord(
                _second(int(edges[start]), n, heard.duration_s),
                _second(int(edges[stop]), n, heard.duration_s),
                CHORD_VOCABULARY[label],
                round(float(sure), 4),
            )
        )
    return tuple(out)


def _second(frame: int, n_frames: int, duration_s: float) -> float:
    if frame == n_frames:
        return round(duration_s, 4)
    return round(min(frame / FRAME_RATE_HZ, duration_s), 4)
