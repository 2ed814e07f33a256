"""What the small beat network learns from: clips as it hears them, beside what its teachers say.

A lesson is a clip's band levels, the three teachers' mean probabilities and its true beats.  Drawn
lessons are cut, played faster or slower and equalised at random, so that none is seen twice alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.models import Network
from tonearm_analysis.engine.rhythm.bands import FRAME_RATE_HZ, HOP_SAMPLES
from tonearm_analysis.engine.rhythm.crnn import CrnnEar
from tonearm_analysis.engine.rhythm.listening import Listener
from tonearm_analysis.engine.rhythm.student import N_BANDS, WINDOW_SAMPLES, coarse_bands
from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.generator.related import related_to_test
from tonearm_eval.sound import mono_22k

Floats = npt.NDArray[np.float32]
Random = np.random.Generator

DRAWN_FRAMES: Final = 768  # 15 s
FEWEST_FRAMES: Final = 300
# What truth weighs beside the teachers; the rest is theirs.
TRUTH_SHARE: Final = 0.15
# A beat's own frame and its neighbours, as wide as the teachers' peaks.
PEAK: Final = ((0, 1.0), (-1, 0.3), (1, 0.3))
STRETCHED_SHARE, STRETCH = 0.6, 0.35  # of lessons, and by up to which power of e
LEVEL_DB, EQUALISED_SHARE, EQUALISER_DB, EQUALISER_KNOTS = 3.0, 0.7, 5.0, 6


@dataclass(frozen=True)
class Lesson:
    """levels: (n, 48).  taught: (n, 2), of a beat that is no downbeat, and of a downbeat.

    beats: (k, 2), frame and 1 for a downbeat.
    """

    levels: npt.NDArray[np.float16]
    taught: npt.NDArray[np.float16]
    beats: npt.NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> Self:
        """A lesson that `hear_folder` wrote."""
        with np.load(path) as stored:
            return cls(stored["levels"], stored["taught"], stored["beats"])


class _TeachersEar(CrnnEar):
    """The teachers' ear; it also keeps the sound as they heard it."""

    def __init__(self, teachers: Sequence[Network]) -> None:
        super().__init__(teachers)
        self.sound: list[Floats] = []

    def hear(self, sound: Floats) -> None:
        self.sound.append(sound.copy())
        super().hear(sound)


def hear(clip: Clip, teachers: Sequence[Network]) -> Lesson:
    """The lesson of one clip."""
    ear = _TeachersEar(teachers)
    listener = Listener(ear=ear)
    listener.push(mono_22k(clip.path))
    heard = listener.finish()
    half, whole = np.zeros(WINDOW_SAMPLES // 2, np.float32), np.zeros(WINDOW_SAMPLES, np.float32)
    sound = np.concatenate([half, *ear.sound, whole])
    n_frames = -(-sum(map(len, ear.sound)) // HOP_SAMPLES)
    beats = [((t - heard.start_s) * FRAME_RATE_HZ, number == 1) for t, number in clip.beats]
    return Lesson(
        coarse_bands(sound, n_frames).astype(np.float16),
        heard.activations.astype(np.float16),
        np.array(beats, np.float64).reshape(-1, 2),
    )


def hear_folder(folder: Path, lessons: Path, teachers: Sequence[Network]) -> None:
    """Write the lessons of a folder that are not there yet, but for samples of the test split."""
    lessons.mkdir(parents=True, exist_ok=True)
    for clip in read_manifest(folder):
        out = lessons / f"{folder.name}__{clip.path.stem}.npz"
        if out.exists() or related_to_test(clip.soundfont):
            continue
        lesson = hear(clip, teachers)
        if len(lesson.levels) >= FEWEST_FRAMES and len(lesson.beats):
            np.savez(out, levels=lesson.levels, taught=lesson.taught, beats=lesson.beats)


@dataclass(frozen=True)
class Drawn:
    """A batch: levels (b, 768, 48) and gains of their magnitudes, wanted (b, 768, 2), weight 0 or 1."""

    levels: Floats
    gains: Floats
    wanted: Floats
    weight: Floats

    def arrays(self) -> tuple[Floats, ...]:
        """All four."""
        return self.levels, self.gains, self.wanted, self.weight


def draw(lessons: list[Lesson], random: Random, *, plain: bool = False) -> Drawn:
    """Cut each lesson somewhere; plain: from its start and as it is."""
    cuts = [_cut(lesson, random, plain=plain) for lesson in lessons]
    levels, wanted, weight = (np.stack(part) for part in zip(*cuts, strict=True))
    gains_db = np.zeros((len(lessons), 1, N_BANDS))
    if not plain:
        gains_db += random.uniform(-LEVEL_DB, LEVEL_DB, (len(lessons), 1, 1))
        gains_db[:, 0] += [_equaliser_db(random) for _ in lessons]
    return Drawn(levels, (10.0 ** (gains_db / 20.0)).astype(np.float32), wanted, weight)


def _equaliser_db(random: Random) -> npt.NDArray[np.float64]:
    knots = random.normal(0.0, EQUALISER_DB, EQUALISER_KNOTS)
    knots *= random.random() < EQUALISED_SHARE
    return np.interp(np.linspace(0, EQUALISER_KNOTS - 1, N_BANDS), np.arange(len(knots)), knots)


def _cut(lesson: Lesson, random: Random, *, plain: bool) -> tuple[Floats, Floats, Floats]:
    """Levels, wanted probabilities and weights of 768 frames; what lies behind the end weighs 0."""
    pace = 1.0
    if not plain and random.random() < STRETCHED_SHARE:
        pace = float(np.exp(random.uniform(-STRETCH, STRETCH)))
    spare = max(len(lesson.levels) / pace - DRAWN_FRAMES, 0.0)
    start = 0.0 if plain else float(int(random.uniform(0.0, spare)))
    at: npt.NDArray[np.float64] = (start + np.arange(DRAWN_FRAMES, dtype=np.float64)) * pace
    at = at[at <= len(lesson.levels) - 1]
    truth = _truth(len(at), lesson.beats[:, 0] / pace - start, lesson.beats[:, 1].astype(int))
    taught = (1.0 - TRUTH_SHARE) * _between(lesson.taught, at) + TRUTH_SHARE * truth

    def padded(values: npt.NDArray[Any]) -> Floats:
        out = np.zeros((DRAWN_FRAMES, *values.shape[1:]), np.float32)
        out[: len(values)] = values
        return out

    return padded(_between(lesson.levels, at)), padded(taught), padded(np.ones(len(at)))


def _between(rows: npt.NDArray[np.float16], at: npt.NDArray[np.float64]) -> Floats:
    """Rows at fractional places."""
    first = at.astype(np.int64)
    second = np.minimum(first + 1, len(rows) - 1)
    share = (at - first)[:, None].astype(np.float32)
    mixed = rows[first].astype(np.float32) * (1.0 - share) + rows[second] * share
    return np.asarray(mixed, np.float32)


def _truth(n_frames: int, at: npt.NDArray[np.float64], kind: npt.NDArray[np.int64]) -> Floats:
    truth = np.zeros((n_frames, 2), np.float32)
    for offset, height in PEAK:
        frame = np.round(at).astype(np.int64) + offset
        inside = (frame >= 0) & (frame < n_frames)
        np.maximum.at(truth, (frame[inside], kind[inside]), np.float32(height))
    return np.asarray(truth / np.maximum(1.0, truth.sum(axis=1, keepdims=True)), np.float32)
