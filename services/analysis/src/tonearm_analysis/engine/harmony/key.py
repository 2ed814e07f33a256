"""Which key: means over the recording, weighed by degree of the scale, a soft-max over 24 keys."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony import names
from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.harmony.model import KeySegment
from tonearm_analysis.engine.models import read_numbers

Doubles = npt.NDArray[np.float64]

WEIGHTS: Final = "key_weights"
# Means of these are scaled to mean 1; chord families count as expected chords, times twelve.
CHROMAS: Final = ("bass", "treble", "pitch")
FAMILIES: Final = ("major", "minor", "seventh")
CHORD_SCALE: Final = 12.0
SEGMENT_S: Final = 12.0
KEY_CHANGE_NATS: Final = 6.0


def key_measures(heard: HeardHarmony, frames: slice | npt.NDArray[np.bool_]) -> Doubles:
    """Measures by pitch class from C, shape (12, 6), of the given frames."""
    columns = []
    for name in CHROMAS:
        mean = getattr(heard, name)[frames].mean(axis=0, dtype=np.float64)
        columns.append(mean / (mean.mean() + 1e-9))
    families = heard.chords[frames].mean(axis=0, dtype=np.float64)
    columns += [CHORD_SCALE * families[:, k] for k in range(len(FAMILIES))]
    return np.stack(columns, axis=1)


def key_scores(measures: Doubles) -> Doubles:
    """Score of each of 24 keys (12 major from C, 12 minor); their soft-max is the probability."""
    weights: dict[str, Any] = read_numbers(WEIGHTS)
    turned = np.stack([np.roll(measures, -tonic, axis=0) for tonic in range(12)])
    major = np.einsum("tdf,df->t", turned, np.array(weights["major"]))
    minor = np.einsum("tdf,df->t", turned, np.array(weights["minor"])) + weights["minor_bias"]
    return np.asarray(np.concatenate([major, minor]) / weights["temperature"], np.float64)


def probabilities(scores: Doubles) -> Doubles:
    """Soft-max."""
    weight = np.exp(scores - scores.max())
    return np.asarray(weight / weight.sum(), np.float64)


def key_segments(
    heard: HeardHarmony, sounding: npt.NDArray[np.bool_], whole: Doubles
) -> tuple[KeySegment, ...]:
    """Key over time: stretches of 12 s that share a key, reluctant to leave it.

    whole: scores of the whole recording, which lean on every stretch.
    """
    size = round(SEGMENT_S * FRAME_RATE_HZ)
    starts = range(0, max(len(sounding) - size // 2, 1), size)
    scores = []
    for start in starts:
        frames = np.zeros(len(sounding), bool)
        frames[start : start + size] = sounding[start : start + size]
        local = key_scores(key_measures(heard, frames)) if frames.any() else whole
        scores.append(0.5 * (local - local.max()) + 0.5 * (whole - whole.max()))
    path = _reluctant_path(np.array(scores))
    out: list[KeySegment] = []
    turns = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    for first, last in pairwise(turns):
        chance = np.mean([probabilities(row)[path[first]] for row in scores[first:last]])
        end = heard.duration_s if last == len(path) else last * size / FRAME_RATE_HZ
        out.append(
            KeySegment(
                round(first * size / FRAME_RATE_HZ, 4),
                round(float(end), 4),
                names.key_name(int(path[first])),
                round(float(chance), 4),
            )
        )
    return tuple(out)


def _reluctant_path(scores: Doubles) -> npt.NDArray[np.int64]:
    from tonearm_analysis.engine.harmony.chords import best_path

    return best_path(scores, KEY_CHANGE_NATS)
