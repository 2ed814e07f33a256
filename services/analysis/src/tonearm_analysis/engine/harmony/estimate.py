"""The story of a harmony estimate: hear, name the key and its rivals, the tuning, the chords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony import names
from tonearm_analysis.engine.harmony.key import WEIGHTS, key_scores, measures_of
from tonearm_analysis.engine.harmony.listening import HarmonyListener, HeardHarmony
from tonearm_analysis.engine.harmony.model import HarmonyEstimate, KeyCandidate
from tonearm_analysis.engine.harmony.reader import HarmonyReader
from tonearm_analysis.engine.harmony.sums import HarmonySums
from tonearm_analysis.engine.models import read_numbers
from tonearm_analysis.engine.numerics import softmax

Doubles = npt.NDArray[np.float64]

BLOCK_SAMPLES: Final = 1 << 18
CANDIDATES_MAX: Final = 5
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
    read = HarmonyReader()
    read.add(heard, beats_s, n_frames=len(heard.level))
    return estimate_read(read, downbeats_s=downbeats_s, duration_s=heard.duration_s)


def estimate_read(
    read: HarmonyReader, *, downbeats_s: Sequence[float] | Doubles, duration_s: float
) -> HarmonyEstimate:
    """The estimate from what was read, to its end, of all that was heard."""
    sums = read.sums
    if sums is None or not sums.key.frames:
        return HarmonyEstimate(None, 0.0)
    pitched, evidence = pitched_probability(sums)
    if pitched < float(read_numbers(WEIGHTS)["pitched"]["none_below"]):
        return HarmonyEstimate(None, 0.0, evidence=evidence)
    chords = read.chords.chords(duration_s)
    scores = key_scores(
        measures_of(sums.key, chords=chords, downbeats_s=downbeats_s, begins=read.begins)
    )
    chance = softmax(scores) * pitched
    order = np.argsort(-chance, kind="stable")[:CANDIDATES_MAX]
    candidates = tuple(_candidate(int(key), int(order[0]), float(chance[key])) for key in order)
    chroma = sums.chroma / sums.key.frames
    return HarmonyEstimate(
        key=candidates[0].key,
        confidence=candidates[0].probability,
        candidates=candidates,
        key_segments=read.key_segments.segments(scores, duration_s=duration_s),
        tuning_cents=tuning_cents(complex(sums.tuning)),
        chords=chords,
        chord_vocabulary=names.CHORD_VOCABULARY,
        chroma=tuple(round(float(v), 4) for v in chroma / (chroma.max() + 1e-9)),
        evidence=evidence,
    )


def pitched_measures(sums: HarmonySums) -> Doubles:
    """What tells music with pitch from noise: a clear chord, few pitches, pitches that differ."""
    frames, chroma = sums.key.frames, sums.key.treble / sums.key.frames
    return np.array(
        [
            float(sums.clarity / frames),
            float(sums.no_chord / frames),
            float(sums.contrast / frames),
            float(chroma.std() / (chroma.mean() + 1e-9)),
            float(np.log(np.abs(sums.tuning_sounding) / (sums.tuning_size + 1e-9) + 0.01)),
        ]
    )


def pitched_probability(sums: HarmonySums) -> tuple[float, dict[str, float]]:
    """Chance that there is pitch enough for a key, and the measures behind it."""
    numbers: dict[str, Any] = read_numbers(WEIGHTS)["pitched"]
    values = pitched_measures(sums)
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


def tuning_cents(total: complex) -> float | None:
    """Deviation from A = 440 Hz, -50 to 50 cents; None where no energy stands out.

    total: of the tuning vectors.
    """
    if abs(total) < 1e-6:
        return None
    return round(float(np.angle(total)) / (2 * np.pi) * 100.0, 2)
