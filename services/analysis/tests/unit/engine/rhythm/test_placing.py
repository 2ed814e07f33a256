"""Where beats and bars lie: grids moved by halves and thirds, hypotheses, the count with breaks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ as HARMONY_RATE_HZ
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.rhythm import Heard, bars, placing
from tonearm_analysis.engine.rhythm.placing import Place
from tonearm_analysis.engine.rhythm.readings import Grid
from tonearm_analysis.engine.rhythm.section import Section

Doubles = NDArray[np.float64]

N_FRAMES = 1_500
BEAT_FRAMES = 30
BEATS = np.arange(15, N_FRAMES - 45, BEAT_FRAMES)


def sounding(on: NDArray[np.int64], downbeats: NDArray[np.int64]) -> Heard:
    """Networks, onsets and bass that agree on the beats, and louder downbeats."""
    activations = np.full((N_FRAMES, 2), 0.01, np.float32)
    onsets = np.full((N_FRAMES, 3), 0.01, np.float32)
    activations[on, 0], onsets[on] = 0.6, 0.4
    activations[downbeats], onsets[downbeats] = (0.1, 0.8), 0.7
    return Heard(activations, onsets, start_s=0.0, duration_s=N_FRAMES / 50)


def harmony_changing_at(times_s: Doubles) -> HeardHarmony:
    """A chord a fifth away from each of the times on."""
    n = int(N_FRAMES / 50 * HARMONY_RATE_HZ)
    root = 7 * np.searchsorted(times_s, np.arange(n) / HARMONY_RATE_HZ, side="right") % 12
    chords = np.zeros((n, 12, 6), np.float32)
    chords[np.arange(n), root, 0] = 1.0
    twelve, thirteen = chords[:, :, 0].copy(), np.zeros((n, 13), np.float32)
    thirteen[:, :12] = twelve
    flat = np.ones(n, np.float32)
    return HeardHarmony(
        twelve, twelve, twelve, thirteen, thirteen, chords, flat,
        flat.astype(np.complex64), flat, N_FRAMES / 50,
    )  # fmt: skip


def placed(off_frames: int, every: int, kind: str) -> tuple[placing.Placed, NDArray[np.int64]]:
    """What is made of a grid that lies so many frames off, with downbeats at every so many."""
    true = BEATS + off_frames
    heard = sounding(true, true[1::every])
    harmonic = harmony_changing_at(true[1::every] / 50)
    grid = Grid(1.0, BEATS / 50, 100.0, 0.1 if every == 3 else -0.1, 0.0)
    return placing.place(placing.tried(Section(heard, harmonic), grid, kind)), true


@pytest.mark.parametrize("off_frames", [0, 15])
@pytest.mark.parametrize("every", [3, 4])
def test_beats_in_two_are_found_half_a_beat_off(off_frames: int, every: int) -> None:
    found, true = placed(off_frames, every, "simple")
    assert np.abs(found.times_s * 50 - true).max() <= 1
    assert found.bar_beats == every
    assert found.chance > 0.5
    assert (found.numbers == (np.arange(len(true)) - 1) % every + 1).all()


@pytest.mark.parametrize("off_frames", [0, 10, 20])
def test_beats_in_three_are_found_thirds_of_a_beat_off(off_frames: int) -> None:
    found, true = placed(off_frames, 2, "compound")
    assert np.abs(found.times_s * 50 - true).max() <= 1
    assert (found.numbers == (np.arange(len(true)) - 1) % 2 + 1).all()
    assert found.chance == pytest.approx(1.0)


def table_of(numbers: list[int], bar_beats: int) -> Doubles:
    """Evidence that says outright which beat of the bar each is."""
    return np.asarray(np.eye(bar_beats)[np.array(numbers) - 1], np.float64)


def test_a_short_bar_breaks_the_count_once() -> None:
    numbers = [*[1, 2, 3, 4] * 8, 1, 2, *[1, 2, 3, 4] * 8]
    by_beat = 40.0 * np.eye(4)
    assert placing.count(table_of(numbers, 4), by_beat).tolist() == numbers


def test_a_single_doubtful_beat_does_not_break_the_count() -> None:
    numbers = [1, 2, 3] * 12
    told = [*numbers[:17], 1, *numbers[18:]]
    assert placing.count(table_of(told, 3), 20.0 * np.eye(3)).tolist() == numbers


def test_every_place_is_a_hypothesis_once() -> None:
    true = BEATS
    heard, harmonic = sounding(true, true[::4]), harmony_changing_at(true[::4] / 50)
    grid = Grid(1.0, BEATS / 50, 100.0, 0.0, 0.0)
    simple, rows = placing.places(placing.tried(Section(heard, harmonic), grid, "simple"))
    assert len(set(simple)) == len(simple) == len(rows) == 2 * (3 + 4)
    compound, _ = placing.places(placing.tried(Section(heard, harmonic), grid, "compound"))
    assert set(compound) == {Place(s, 2, k) for s in range(3) for k in range(2)}


def test_evidence_does_not_depend_on_what_lies_far_from_the_beats() -> None:
    heard, harmonic = sounding(BEATS, BEATS[::4]), harmony_changing_at(BEATS[::4] / 50)
    other = harmony_changing_at(np.append(BEATS[:20:4] / 50, 25.0))
    (few,) = bars.evidence(heard, harmonic, [BEATS[:12] / 50])
    (again,) = bars.evidence(heard, other, [BEATS[:12] / 50])
    assert few == pytest.approx(again)


def test_the_evidence_of_a_move_is_its_own() -> None:
    heard, harmonic = sounding(BEATS, BEATS[::4]), harmony_changing_at(BEATS[::4] / 50)
    _, moved = bars.evidence(heard, harmonic, [BEATS[:20] / 50, BEATS[:20] / 50 + 0.3])
    assert moved.shape[0] == 20
    assert moved.mean(axis=0) == pytest.approx(np.zeros(moved.shape[1]), abs=1e-9)
