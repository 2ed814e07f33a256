"""All networks together: each frame once, in step, and a third each."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.rhythm import crnn, student
from tonearm_analysis.engine.rhythm.crnn import CrnnEar
from tonearm_analysis.engine.rhythm.joint import JointEar
from tonearm_analysis.engine.rhythm.listening import Ear
from tonearm_analysis.engine.rhythm.student import StudentEar

Floats = NDArray[np.float32]


def heard_by(ear: Ear, sound: Floats, size: int) -> Floats:
    for start in range(0, len(sound), size):
        ear.hear(sound[start : start + size])
    ear.finish()
    return np.concatenate(ear.activations)


@pytest.mark.parametrize("seconds", [1, 45])
def test_each_network_counts_the_same(
    four: Floats, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crnn, "WINDOW_FRAMES", 700)
    monkeypatch.setattr(student, "SPAN_FRAMES", 640)
    sound = np.resize(four, seconds * 22_050)
    teachers, pupil, joint = CrnnEar(), StudentEar(), JointEar()
    theirs, own = heard_by(teachers, sound, 7_777), heard_by(pupil, sound, 7_777)
    assert heard_by(joint, sound, 7_777) == pytest.approx((2 * theirs + own) / 3, abs=1e-6)
    assert np.array_equal(np.concatenate(joint.onsets), np.concatenate(teachers.onsets))
    assert sum(map(len, joint.activations)) == 50 * seconds


def test_blocks_change_last_digits_at_most(four: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "SPAN_FRAMES", 640)
    sound = np.resize(four, 30 * 22_050)
    whole = heard_by(JointEar(), sound, len(sound))
    assert heard_by(JointEar(), sound, 7_777) == pytest.approx(whole, abs=1e-5)
