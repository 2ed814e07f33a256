"""Answers against truth, with the field's metrics (mir_eval where it has them)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import mir_eval
import numpy as np
import numpy.typing as npt

from tonearm_eval.clips import PITCH_CLASSES, Clip

Doubles = npt.NDArray[np.float64]

TEMPO_TOLERANCE: Final = 0.04
OCTAVES: Final = (1.0, 2.0, 3.0, 1 / 2, 1 / 3)
CHORD_STEP_S: Final = 0.01
MINOR_LIKE: Final = ("min", "min7", "min6", "minmaj7")
MAJOR_LIKE: Final = ("", "maj", "7", "maj7", "maj6")

METRICS: Final = {
    "tempo_acc1": "tempo within 4 %",
    "tempo_acc2": "also at 2, 3, 1/2, 1/3 of it",
    "beat_f": "beat F-measure, 70 ms, first 5 s trimmed",
    "beat_amlt": "AMLt, beats at any metrical level",
    "downbeat_f": "downbeat F-measure",
    "meter": "meter right among 3/4, 4/4, 6/8",
    "key_exact": "key right",
    "key_weighted": "MIREX weighted key score",
    "chord_share": "share of chord time with the right major/minor triad",
}


@dataclass(frozen=True)
class Answer:
    """What an analyser says of a clip; None where it says nothing on the matter.

    An analyser that looked and found none says so with a tempo of 0 or an empty meter or key, and
    that is wrong where the truth has one.
    """

    tempo_bpm: float | None = None
    beats_s: tuple[float, ...] | None = None
    downbeats_s: tuple[float, ...] | None = None
    meter: str | None = None
    key: str | None = None
    chords: tuple[tuple[float, float, str], ...] | None = None

    @classmethod
    def of(cls, data: dict[str, Any]) -> Answer:
        """From the JSON of an adapter."""

        def times(name: str) -> tuple[float, ...] | None:
            return tuple(data[name]) if data.get(name) is not None else None

        chords = data.get("chords")
        return cls(
            tempo_bpm=(data["tempo_bpm"] or 0.0) if "tempo_bpm" in data else None,
            beats_s=times("beats_s"),
            downbeats_s=times("downbeats_s"),
            meter=(data["meter"] or "") if "meter" in data else None,
            key=(data["key"] or "") if "key" in data else None,
            chords=tuple((c[0], c[1], c[2]) for c in chords) if chords is not None else None,
        )


def key_index(name: str) -> int:
    """ "F# minor" -> 18."""
    tonic, mode = name.split()
    return PITCH_CLASSES[tonic] + 12 * (mode == "minor")


def key_weight(truth: int, estimate: int) -> float:
    """MIREX: 1 same, .5 a fifth above, .3 relative, .2 parallel, else 0."""
    distance = (estimate - truth) % 12
    same_mode = (truth < 12) == (estimate < 12)
    if same_mode:
        return {0: 1.0, 7: 0.5}.get(distance, 0.0)
    if distance == (9 if truth < 12 else 3):
        return 0.3
    return 0.2 if distance == 0 else 0.0


def key_relation(truth: int, estimate: int) -> str:
    """ "right", or what kind of error it is."""
    distance = (estimate - truth) % 12
    if (truth < 12) == (estimate < 12):
        return {0: "right", 7: "fifth up", 5: "fifth down"}.get(distance, "other")
    if distance == (9 if truth < 12 else 3):
        return "relative"
    return "parallel" if distance == 0 else "other"


def triad(label: str) -> int | None:
    """0-11 major, 12-23 minor, 24 no chord; None for what is neither."""
    if label in ("N", ""):
        return 24
    root, _, quality = label.partition(":")
    if quality.split("/")[0] in MAJOR_LIKE:
        return PITCH_CLASSES[root]
    return PITCH_CLASSES[root] + 12 if quality in MINOR_LIKE else None


def chord_share(clip: Clip, chords: Iterable[tuple[float, float, str]]) -> float:
    """Share of the time with a major or minor truth in which the estimate has that triad."""
    end = max(stop for _, stop, _ in clip.chords)
    when = np.arange(0.0, end, CHORD_STEP_S) + CHORD_STEP_S / 2

    def labels(spans: Iterable[tuple[float, float, str]]) -> npt.NDArray[np.int64]:
        out = np.full(len(when), -1)
        for start, stop, label in spans:
            value = triad(label)
            out[(when >= start) & (when < stop)] = -2 if value is None else value
        return out

    truth, estimate = labels(clip.chords), labels(chords)
    known = (truth >= 0) & (truth < 24)
    return float((truth[known] == estimate[known]).mean()) if known.any() else float("nan")


def _f_measure(truth: Doubles, estimate: Doubles) -> float:
    truth, estimate = mir_eval.beat.trim_beats(truth), mir_eval.beat.trim_beats(estimate)
    return float(mir_eval.beat.f_measure(truth, estimate)) if len(estimate) else 0.0


def score(clip: Clip, answer: Answer) -> dict[str, float]:
    """The metrics that truth and answer allow."""
    out: dict[str, float] = {}
    if clip.tempo_bpm is not None and answer.tempo_bpm is not None:
        bpm, truth = answer.tempo_bpm, clip.tempo_bpm
        hits = [abs(bpm - truth * ratio) <= TEMPO_TOLERANCE * truth * ratio for ratio in OCTAVES]
        out |= {"tempo_acc1": float(hits[0]), "tempo_acc2": float(any(hits))}
    if len(clip.beats) > 3:
        out |= _beat_scores(clip, answer)
    if clip.meter is not None and answer.meter is not None:
        out["meter"] = float(answer.meter == clip.meter)
    if clip.key is not None and answer.key is not None:
        weight = key_weight(clip.key, key_index(answer.key)) if answer.key else 0.0
        out |= {"key_exact": float(weight == 1.0), "key_weighted": weight}
    if clip.chords and answer.chords is not None:
        out["chord_share"] = chord_share(clip, answer.chords)
    return out


def _beat_scores(clip: Clip, answer: Answer) -> dict[str, float]:
    out: dict[str, float] = {}
    truth = np.array([t for t, _ in clip.beats])
    if answer.beats_s is not None:
        beats = np.array(answer.beats_s, float)
        out["beat_f"] = _f_measure(truth, beats)
        trimmed = mir_eval.beat.trim_beats(beats)
        if len(trimmed) > 1:
            *_, any_level = mir_eval.beat.continuity(mir_eval.beat.trim_beats(truth), trimmed)
            out["beat_amlt"] = float(any_level)
        else:
            out["beat_amlt"] = 0.0
    if answer.downbeats_s is not None and any(number == 1 for _, number in clip.beats):
        down = np.array([t for t, number in clip.beats if number == 1])
        out["downbeat_f"] = _f_measure(down, np.array(answer.downbeats_s, float))
    return out


def means(rows: Iterable[dict[str, float]]) -> dict[str, tuple[float, int]]:
    """Mean and count of each metric over the clips that have it."""
    rows, out = list(rows), {}
    for name in METRICS:
        values = [row[name] for row in rows if name in row and np.isfinite(row[name])]
        if values:
            out[name] = (float(np.mean(values)), len(values))
    return out
