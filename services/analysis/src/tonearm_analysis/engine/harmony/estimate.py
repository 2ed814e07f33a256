"""The story of a harmony estimate: hear, name the key and its rivals, the tuning, the chords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony import names
from tonearm_analysis.engine.harmony.chords import chord_sequence
from tonearm_analysis.engine.harmony.key import key_scores, probabilities
from tonearm_analysis.engine.harmony.listening import HarmonyListener, HeardHarmony
from tonearm_analysis.engine.harmony.model import HarmonyEstimate, KeyCandidate, KeySegment

Doubles = npt.NDArray[np.float64]

BLOCK_SAMPLES: Final = 1 << 18
CANDIDATES_MAX: Final = 5
# Below this magnitude (about -80 dBFS) nothing is heard.
LEVEL_FLOOR: Final = 1e-3


def hear(mono_22k: npt.NDArray[np.floating]) -> HeardHarmony:
    """Everything about harmony that needs the sound: mono at 22 050 Hz, shape (n,)."""
    listener = HarmonyListener()
    for start in range(0, len(mono_22k), BLOCK_SAMPLES):
        listener.push(mono_22k[start : start + BLOCK_SAMPLES])
    return listener.finish()


def estimate(
    mono_22k: npt.NDArray[np.floating], *, beats_s: Sequence[float] = ()
) -> HarmonyEstimate:
    """Key, tuning and chords of mono sound at 22 050 Hz.

    beats_s: beats, where chords may change; without them they may change anywhere.
    Silence and unpitched sound give `key` None and a confidence near 0.
    """
    return estimate_heard(hear(mono_22k), beats_s=beats_s)


def estimate_heard(heard: HeardHarmony, *, beats_s: Sequence[float] = ()) -> HarmonyEstimate:
    """The estimate from what was heard, without the sound."""
    sounding = heard.level > LEVEL_FLOOR
    if not sounding.any():
        return HarmonyEstimate(None, 0.0)
    means = {
        "bass": heard.bass[sounding].mean(axis=0).astype(np.float64),
        "treble": heard.treble[sounding].mean(axis=0).astype(np.float64),
        "pitch": heard.pitch[sounding].mean(axis=0).astype(np.float64),
    }
    chance = probabilities(key_scores(means))
    order = np.argsort(-chance, kind="stable")[:CANDIDATES_MAX]
    candidates = tuple(_candidate(int(key), int(order[0]), float(chance[key])) for key in order)
    chroma = means["bass"] + means["treble"]
    best = candidates[0]
    return HarmonyEstimate(
        key=best.key,
        confidence=best.probability,
        candidates=candidates,
        key_segments=(KeySegment(0.0, round(heard.duration_s, 4), best.key, best.probability),),
        tuning_cents=tuning_cents(heard),
        chords=chord_sequence(heard, beats_s),
        chord_vocabulary=names.CHORD_VOCABULARY,
        chroma=tuple(round(float(v), 4) for v in chroma / (chroma.max() + 1e-9)),
    )


def _candidate(key: int, winner: int, probability: float) -> KeyCandidate:
    return KeyCandidate(
        key=names.key_name(key),
        tonic=names.tonic_name(key),
        tonic_class=key % 12,
        mode=names.mode_of(key),
        probability=round(probability, 4),
        camelot=names.camelot_name(key),
        open_key=names.open_key_name(key),
        relation=names.relation(key, winner),
    )


def tuning_cents(heard: HeardHarmony) -> float | None:
    """Deviation from A = 440 Hz, -50 to 50 cents; None where no energy stands out."""
    total = complex(heard.tuning.sum())
    if abs(total) < 1e-6:
        return None
    return round(float(np.angle(total)) / (2 * np.pi) * 100.0, 2)
