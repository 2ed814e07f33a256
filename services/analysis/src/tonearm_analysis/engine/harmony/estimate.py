"""The story of a harmony estimate: hear, name the key and its rivals, the tuning, the chords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony import names
from tonearm_analysis.engine.harmony.chords import chord_sequence
from tonearm_analysis.engine.harmony.key import (
    WEIGHTS,
    key_measures,
    key_scores,
    key_segments,
    probabilities,
)
from tonearm_analysis.engine.harmony.listening import HarmonyListener, HeardHarmony
from tonearm_analysis.engine.harmony.model import HarmonyEstimate, KeyCandidate
from tonearm_analysis.engine.models import read_numbers

Doubles = npt.NDArray[np.float64]

BLOCK_SAMPLES: Final = 1 << 18
CANDIDATES_MAX: Final = 5
# Below this magnitude (about -80 dBFS) nothing is heard.
LEVEL_FLOOR: Final = 1e-3
# Frames this far below the loudest (60 dB) do not count.
LEVEL_SHARE: Final = 1e-3
PITCHED_NAMES: Final = (
    "chord_clarity",
    "no_chord_share",
    "pitch_contrast",
    "chroma_contrast",
    "tuning_clarity",
)


def hear(mono_22k: npt.NDArray[np.floating]) -> HeardHarmony:
    """Everything about harmony that needs the sound: mono at 22 050 Hz, shape (n,)."""
    listener = HarmonyListener()
    for start in range(0, len(mono_22k), BLOCK_SAMPLES):
        listener.push(mono_22k[start : start + BLOCK_SAMPLES])
    return listener.finish()


def estimate(
    mono_22k: npt.NDArray[np.floating],
    *,
    beats_s: Sequence[float] = (),
    downbeats_s: Sequence[float] = (),
) -> HarmonyEstimate:
    """Key, tuning and chords of mono sound at 22 050 Hz.

    beats_s: beats, where chords may change; without them they may change anywhere.
    downbeats_s: the beats that begin a bar; the chords on some of them tell of the key.
    Silence and unpitched sound give `key` None and a confidence near 0.
    """
    return estimate_heard(hear(mono_22k), beats_s=beats_s, downbeats_s=downbeats_s)


def estimate_heard(
    heard: HeardHarmony, *, beats_s: Sequence[float] = (), downbeats_s: Sequence[float] = ()
) -> HarmonyEstimate:
    """The estimate from what was heard, without the sound."""
    sounding = heard.level > max(LEVEL_FLOOR, LEVEL_SHARE * float(heard.level.max(initial=0.0)))
    if not sounding.any():
        return HarmonyEstimate(None, 0.0)
    pitched, evidence = pitched_probability(heard, sounding)
    if pitched < float(read_numbers(WEIGHTS)["pitched"]["none_below"]):
        return HarmonyEstimate(None, 0.0, evidence=evidence)
    chords = chord_sequence(heard, beats_s)
    scores = key_scores(key_measures(heard, sounding, chords=chords, downbeats_s=downbeats_s))
    chance = probabilities(scores) * pitched
    order = np.argsort(-chance, kind="stable")[:CANDIDATES_MAX]
    candidates = tuple(_candidate(int(key), int(order[0]), float(chance[key])) for key in order)
    chroma = (heard.bass + heard.treble)[sounding].mean(axis=0, dtype=np.float64)
    return HarmonyEstimate(
        key=candidates[0].key,
        confidence=candidates[0].probability,
        candidates=candidates,
        key_segments=key_segments(heard, sounding, scores),
        tuning_cents=tuning_cents(heard),
        chords=chords,
        chord_vocabulary=names.CHORD_VOCABULARY,
        chroma=tuple(round(float(v), 4) for v in chroma / (chroma.max() + 1e-9)),
        evidence=evidence,
    )


def pitched_measures(heard: HeardHarmony, sounding: npt.NDArray[np.bool_]) -> Doubles:
    """What tells music with pitch from noise: a clear chord, few pitches, pitches that differ."""
    chords = heard.chords[sounding].reshape(-1, 72)
    pitch = heard.pitch[sounding].astype(np.float64)
    chroma = heard.treble[sounding].mean(axis=0, dtype=np.float64)
    return np.array(
        [
            float(chords.max(axis=1).mean(dtype=np.float64)),
            float(heard.no_chord[sounding].mean(dtype=np.float64)),
            float(pitch.std(axis=1).mean()),
            float(chroma.std() / (chroma.mean() + 1e-9)),
            float(
                np.log(
                    np.abs(heard.tuning[sounding].sum())
                    / (np.abs(heard.tuning[sounding]).sum() + 1e-9)
                    + 0.01
                )
            ),
        ]
    )


def pitched_probability(
    heard: HeardHarmony, sounding: npt.NDArray[np.bool_]
) -> tuple[float, dict[str, float]]:
    """Chance that there is pitch enough for a key, and the measures behind it."""
    numbers: dict[str, Any] = read_numbers(WEIGHTS)["pitched"]
    values = pitched_measures(heard, sounding)
    odds = float(np.array(numbers["weights"]) @ values) + float(numbers["bias"])
    chance = 1.0 / (1.0 + float(np.exp(-odds)))
    shown = {name: round(float(v), 4) for name, v in zip(PITCHED_NAMES, values, strict=True)}
    return chance, shown | {"pitched_probability": round(chance, 4)}


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
