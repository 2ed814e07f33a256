"""What the small beat network is taught with, and that its weights mean the same in both forms."""

from __future__ import annotations

import numpy as np

from tonearm_analysis.engine.rhythm.student import N_BANDS
from tonearm_eval.recipes import beat_student
from tonearm_eval.recipes.beat_lessons import DRAWN_FRAMES, TRUTH_SHARE, Lesson, draw


def lesson(n_frames: int) -> Lesson:
    random = np.random.default_rng(3)
    beats = np.array([[25.0 * k, k % 4 == 0] for k in range(n_frames // 25)])
    levels = random.random((n_frames, N_BANDS)).astype(np.float16)
    return Lesson(levels, np.full((n_frames, 2), 0.1, np.float16), beats)


def test_a_plain_lesson_is_the_clip_and_truth_lies_on_its_beats() -> None:
    drawn = draw([lesson(400)], np.random.default_rng(0), plain=True)
    assert drawn.levels.shape == (1, DRAWN_FRAMES, N_BANDS)
    assert drawn.weight[0].sum() == 400
    assert np.array_equal(drawn.levels[0, :400], lesson(400).levels)
    assert np.all(drawn.gains == 1.0)
    taught = 0.1 * (1.0 - TRUTH_SHARE)
    assert np.allclose(drawn.wanted[0, 25], [taught + TRUTH_SHARE, taught], atol=1e-4)
    assert np.allclose(drawn.wanted[0, 100], [taught, taught + TRUTH_SHARE], atol=1e-4)
    assert np.allclose(drawn.wanted[0, 112], taught, atol=1e-4)


def test_drawn_lessons_stay_probabilities_and_levels() -> None:
    random = np.random.default_rng(1)
    drawn = draw([lesson(n) for n in (300, 900, 2_000) for _ in range(8)], random)
    assert drawn.wanted.min() >= 0.0
    assert drawn.wanted.sum(axis=-1).max() <= 1.0 + 1e-6
    assert drawn.levels.max() <= 1.0
    assert len(np.unique(drawn.gains[:, 0, 0])) == 24
    assert set(np.unique(drawn.weight)) == {0.0, 1.0}


def test_features_rise_where_levels_do() -> None:
    levels = np.zeros((1, 4, N_BANDS), np.float32)
    levels[0, 2] = 0.5
    pairs = beat_student.features(np, levels, np.float32(1.0))
    assert pairs.shape == (1, 2, beat_student.PAIR_VALUES)
    rows = pairs.reshape(4, 2, N_BANDS)
    assert np.allclose(rows[:, 1, 0], [0.0, 0.0, 0.5, 0.0])


def test_weights_for_plain_features_say_the_same() -> None:
    random = np.random.default_rng(2)
    weights = beat_student.first_weights(random)
    pairs = random.random((1, 50, beat_student.PAIR_VALUES)).astype(np.float32)
    mean, deviation = pairs[0].mean(axis=0), pairs[0].std(axis=0)
    expected = beat_student.scores(np, weights, (pairs - mean) / deviation)
    own = beat_student.normalised(weights, mean, deviation)
    assert expected.shape == (1, 100, 3)
    assert np.allclose(beat_student.scores(np, own, pairs), expected, atol=1e-4)
