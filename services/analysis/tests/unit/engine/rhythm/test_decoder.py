"""The decoder finds the beats that the activations tell of."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.rhythm import decoder, periodicity, pulse


def activations(period: int, bar_beats: int, n: int = 1_000) -> NDArray[np.float32]:
    out = np.full((n, 2), 0.01, np.float32)
    frames = np.arange(7, n, period)
    out[frames, 0] = 0.8
    out[frames[::bar_beats]] = (0.1, 0.8)
    return out


def decoded(given: NDArray[np.float32]) -> decoder.Path:
    lengths = decoder.lengths_between(55.0, 215.0)
    scores = periodicity.length_scores(given.sum(axis=1), lengths)
    (path,) = decoder.decode(given, [decoder.Choice(lengths, scores)])
    return path


@pytest.mark.parametrize(("period", "bar_beats"), [(25, 4), (20, 3), (33, 4), (28, 3)])
def test_beats_and_bars_are_found(period: int, bar_beats: int) -> None:
    path = decoded(activations(period, bar_beats))
    # The first sixteenth of a beat counts as on it: a frame or two early is as good.
    assert np.abs(path.frames - np.arange(7, 1_000, period)).max() <= 2
    assert path.bar_beats == bar_beats
    assert path.numbers.tolist() == [k % bar_beats + 1 for k in range(len(path.frames))]


def test_a_missing_beat_is_bridged() -> None:
    given = activations(25, 4)
    given[7 + 25 * 10] = 0.01
    assert np.abs(decoded(given).frames - (7 + 25 * 10)).min() <= 1


def test_a_slow_change_of_tempo_is_followed() -> None:
    frames = np.cumsum(np.round(np.linspace(30, 22, 60))).astype(int)
    given = np.full((frames[-1] + 20, 2), 0.01, np.float32)
    given[frames, 0] = 0.8
    found = decoded(given).frames
    nearest = np.abs(found[None] - frames[:, None]).min(axis=1)
    assert (nearest <= 1).mean() > 0.95


def test_beat_times_lie_between_frames_where_the_activation_says_so() -> None:
    curve = np.full(200, 0.01, np.float32)
    curve[99:102] = (0.5, 0.8, 0.79)
    (time_s,) = pulse.beat_times_s(np.array([99]), curve)
    assert 2.0 < time_s < 2.02


def test_tempo_of_few_beats() -> None:
    assert pulse.tempo_bpm(np.array([0.0, 0.5])) == 0.0
    assert pulse.tempo_bpm(np.array([0.0, 0.5, 1.0])) == pytest.approx(120.0)


def test_choices_side_by_side_give_what_each_gives_alone() -> None:
    given = activations(25, 4) + 0.1 * np.random.default_rng(5).random((1_000, 2), np.float32)
    bounds = (23, 28), (11, 14), (44, 53)
    lengths = [np.arange(low, high) for low, high in bounds]
    choices = [decoder.Choice(some, np.linspace(0.0, 1.0, len(some))) for some in lengths]
    for path, choice in zip(decoder.decode(given, choices), choices, strict=True):
        (alone,) = decoder.decode(given, [choice])
        assert path.frames.tolist() == alone.frames.tolist()
        assert path.numbers.tolist() == alone.numbers.tolist()
        assert path.scores == alone.scores


def test_no_choice_gives_no_path() -> None:
    assert decoder.decode(activations(25, 4), []) == []
