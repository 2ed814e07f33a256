"""What tells the readings of a tempo apart: repetition, harmonic change, the first of three."""

from __future__ import annotations

import numpy as np
import pytest

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ as HARMONY_RATE_HZ
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.rhythm import Heard, periodicity, readings
from tonearm_analysis.engine.rhythm.changes import change_curves
from tonearm_analysis.engine.rhythm.section import Section

ECHO_NAMES = list(periodicity.ECHOES)


def heard(n: int = 1_000, start_s: float = 0.0) -> Heard:
    return Heard(
        activations=np.full((n, 2), 0.01, np.float32),
        onsets=np.full((n, 3), 0.01, np.float32),
        start_s=start_s,
        duration_s=start_s + n / 50,
    )


def harmony_with_changes(every_s: float, duration_s: float = 20.0) -> HeardHarmony:
    """Two chords in turn, each with a bass of its own."""
    n = int(duration_s * HARMONY_RATE_HZ)
    second = (np.arange(n) / HARMONY_RATE_HZ / every_s).astype(int) % 2
    chords = np.zeros((n, 12, 6), np.float32)
    chords[np.arange(n), np.where(second, 7, 0), 0] = 1.0
    twelve, thirteen = np.zeros((n, 12), np.float32), np.zeros((n, 13), np.float32)
    twelve[np.arange(n), np.where(second, 7, 0)] = 1.0
    thirteen[:, :12] = twelve
    zeros, level = np.zeros(n, np.float32), np.ones(n, np.float32)
    return HeardHarmony(
        twelve, twelve, twelve, thirteen, thirteen, chords, zeros,
        zeros.astype(np.complex64), level, duration_s,
    )  # fmt: skip


def test_a_pulse_returns_after_whole_beats_and_not_between() -> None:
    curve = np.zeros(1_000)
    curve[::25] = 1.0  # 120 beats a minute
    (after,) = periodicity.echoes(periodicity.autocorrelation(curve), np.array([120.0]))
    strength = dict(zip(ECHO_NAMES, after, strict=True))
    assert min(strength[k] for k in ("one", "two", "three", "four")) > 0.8
    assert max(strength[k] for k in ("third", "half", "two_thirds", "three_halves")) < 0.1


@pytest.mark.parametrize("curve", [np.zeros(400), np.ones(400), np.ones(5)])
def test_a_flat_curve_has_no_echo(curve: np.ndarray) -> None:
    correlation = periodicity.autocorrelation(curve)
    assert not periodicity.echoes(correlation, np.array([60.0, 180.0])).any()


def test_harmony_moves_where_the_chord_changes() -> None:
    sound = heard(start_s=1.0)
    curves = change_curves(sound, harmony_with_changes(2.0))
    for curve in curves.values():
        at = sound.start_s + np.flatnonzero(curve > 0.5) / 50
        assert len(at)
        assert np.abs(at / 2 - np.round(at / 2)).max() * 2 <= 1.5 / HARMONY_RATE_HZ
        assert np.median(curve) == 0.0


def test_a_sound_too_short_for_a_chord_does_not_move() -> None:
    curves = change_curves(heard(5), harmony_with_changes(2.0, duration_s=0.1))
    assert all(len(curve) == 5 and not curve.any() for curve in curves.values())


def test_what_was_not_measured_counts_as_its_mean() -> None:
    rng = np.random.default_rng(2)
    net = {"straight": rng.standard_normal((2, 2)), "bias": np.zeros(2),
           "into": rng.standard_normal((2, 3)), "into_bias": np.zeros(3),
           "out": rng.standard_normal((3, 2))}  # fmt: skip
    numbers = {"names": ["half", "chord_pace"], "mean": [0.5, -1.0], "deviation": [1.0, 2.0],
               "networks": [net], "temperature": 1.0}  # fmt: skip
    known = [{"octaves": 0.1, "half": h, "chord_pace": -1.0} for h in (0.2, 1.2)]
    without = [{"octaves": 0.1, "half": row["half"]} for row in known]
    chances = readings.chances(numbers, without)
    assert (chances == readings.chances(numbers, known)).all()
    assert chances.sum() == pytest.approx(1.0)


def test_of_two_readings_that_fit_alike_the_more_usual_tempo_is_likelier() -> None:
    net = {"straight": np.zeros((1, 2)), "bias": np.zeros(2), "into": np.zeros((1, 1)),
           "into_bias": np.zeros(1), "out": np.zeros((1, 2))}  # fmt: skip
    numbers = {"names": ["half"], "mean": [0.0], "deviation": [1.0], "networks": [net],
               "temperature": 1.0}  # fmt: skip
    bpm = np.array([60.0, 92.0, 130.0, 184.0, 240.0])
    rows = [{"octaves": float(np.log2(b / readings.MIDDLE_BPM)), "half": 0.0} for b in bpm]
    chance = readings.chances(numbers, rows).sum(axis=0)
    assert chance.argmax() == 2
    assert chance[1] == pytest.approx(chance[3], rel=0.02)  # 92 or 184: the music decides
    assert chance[4] < chance[2] / 2.5


def test_without_harmony_nothing_is_measured_of_it() -> None:
    sound = heard()
    sound.activations[::25, 0] = 0.8
    grid = readings.Grid(1.0, np.arange(0.0, 19.0, 0.5), 120.0, 0.0, 0.0)
    (full,) = readings.measures(Section(sound, harmony_with_changes(2.0)), [grid])
    silent = harmony_with_changes(2.0)
    silent.level[:] = 0.0
    (less,) = readings.measures(Section(sound, silent), [grid])
    assert set(full) - set(less) == {name for name in full if name.startswith(("chord_", "bass_"))}
