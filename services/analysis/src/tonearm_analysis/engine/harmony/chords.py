"""The chord sequence: evidence per beat, best path through 24 triads and "no chord".

Evidence of a chord on root r is weighed by distance from r, the same for all roots: the network's
own chord probabilities, and around them its pitches, roots and basses and the whitened chroma.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.listening import FAMILIES, HeardHarmony
from tonearm_analysis.engine.harmony.model import Chord
from tonearm_analysis.engine.harmony.names import CHORD_VOCABULARY, DEGREES
from tonearm_analysis.engine.harmony.sums import frames_of
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


def stretches(beats_s: Sequence[float] | Doubles, n_frames: int, *, first_frame: int = 0) -> Ints:
    """Frame borders of the stretches that share a chord: beats, or every frame without beats.

    first_frame: of the recording, from which the others count.
    """
    if len(beats_s) < FEWEST_BEATS:
        return np.arange(n_frames + 1)
    inside = np.round(np.asarray(beats_s) * FRAME_RATE_HZ).astype(np.int64) - first_frame
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
    seen = measures[:, DEGREES]
    return np.asarray(seen.reshape(len(measures), 12, -1), np.float64)


def log_probabilities(heard: HeardHarmony, edges: Ints) -> Doubles:
    """Log-probability of each label in each stretch, shape (n, 25); some at a time, to stay small."""
    parts = []
    for start in range(0, len(edges) - 1, STRETCHES_AT_ONCE):
        some = edges[start : start + STRETCHES_AT_ONCE + 1]
        frames = slice(int(some[0]), int(some[-1]))
        parts.append(_log_probabilities(frames_of(heard, frames), some - some[0]))
    return np.concatenate(parts)


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


def best_path(log_chance: Doubles, change_nats: float, *, before: int | None = None) -> Ints:
    """Labels (n,) that maximise the sum, where every change costs the same.

    before: the label that the first may stay on; None where nothing came before.
    """
    n, n_labels = log_chance.shape
    back = np.zeros((n, n_labels), np.uint8)  # a label each; minutes without beats have many
    value, stay = log_chance[0].copy(), np.arange(n_labels)
    if before is not None:
        value[stay != before] -= change_nats
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


class ChordSequence:
    """Chords back to back, found stretch by stretch; of each four numbers are kept."""

    def __init__(self) -> None:
        self._starts, self._labels = array("q"), array("B")
        # Of each chord the chance at which it sounds, summed over its frames, and how many.
        self._sure, self._widths = array("d"), array("q")
        self._first_frame = 0

    def add(
        self, heard: HeardHarmony, beats_s: Sequence[float] | Doubles, *, n_frames: int
    ) -> None:
        """Add the next n_frames frames; what is heard behind them is only looked at.

        beats_s: in all that is heard here, from the recording's first frame. Chords change on
        beats where there are some, and where n_frames ends.
        """
        edges = stretches(beats_s, len(heard.pitch), first_frame=self._first_frame)
        edges = np.unique(np.append(edges, n_frames))
        log_chance = log_probabilities(heard, edges)
        numbers = read_numbers(WEIGHTS)
        by_beat = len(beats_s) >= FEWEST_BEATS
        change_nats = numbers["change_beats" if by_beat else "change_frames"]
        before = self._labels[-1] if self._labels else None
        kept = int(np.searchsorted(edges, n_frames))
        path = best_path(log_chance, change_nats, before=before)[:kept]
        chance, width = np.exp(log_chance), np.diff(edges)
        turns = np.flatnonzero(np.diff(path, prepend=-1, append=-1))
        for start, stop in pairwise(turns):
            label, inside = int(path[start]), width[start:stop]
            sure = float((chance[start:stop, label] * inside).sum())
            self._append(int(edges[start]), label, sure, int(inside.sum()))
        self._first_frame += n_frames

    def _append(self, start: int, label: int, sure: float, width: int) -> None:
        if self._labels and self._labels[-1] == label:  # it goes on where the last stretch ended
            self._sure[-1] += sure
            self._widths[-1] += width
            return
        self._starts.append(self._first_frame + start)
        self._labels.append(label)
        self._sure.append(sure)
        self._widths.append(width)

    def chords(self, duration_s: float) -> tuple[Chord, ...]:
        """The chords so far, the last of them until duration_s."""
        ends = [*self._starts[1:], self._first_frame]
        rows = zip(self._starts, ends, self._labels, self._sure, self._widths, strict=True)
        return tuple(
            Chord(
                _second(start, self._first_frame, duration_s),
                _second(end, self._first_frame, duration_s),
                CHORD_VOCABULARY[label],
                round(sure / width, 4),
            )
            for start, end, label, sure, width in rows
        )


def chord_sequence(heard: HeardHarmony, beats_s: Sequence[float]) -> tuple[Chord, ...]:
    """Chords back to back over the whole recording; they change on beats where beats are known."""
    found = ChordSequence()
    found.add(heard, beats_s, n_frames=len(heard.pitch))
    return found.chords(heard.duration_s)


def _second(frame: int, n_frames: int, duration_s: float) -> float:
    if frame == n_frames:
        return round(duration_s, 4)
    return round(min(frame / FRAME_RATE_HZ, duration_s), 4)
