"""`verify` and `diff`: what changed between results, and whether one still holds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine import ENGINE_VERSION, Parameters, analyze_whole
from tonearm_analysis.engine.compare import Difference, differences, verify

Write = Callable[..., Path]
FAST = Parameters(profile="fast")


@pytest.fixture(scope="module")
def integers(music: NDArray[np.float64]) -> NDArray[np.int16]:
    """Return 16-bit music."""
    return np.asarray(np.rint(music / np.abs(music).max() * 30_000), np.int16)


@pytest.fixture(scope="module")
def stored(
    tmp_path_factory: pytest.TempPathFactory, integers: NDArray[np.int16]
) -> tuple[Path, dict[str, Any]]:
    import soundfile

    path = tmp_path_factory.mktemp("stored") / "song.wav"
    soundfile.write(path, integers, 44_100)
    return path, analyze_whole(path, parameters=FAST).model_dump(mode="json")


def test_a_result_holds(stored: tuple[Path, dict[str, Any]]) -> None:
    path, result = stored
    found = verify(path, json.loads(json.dumps(result)))
    assert found.holds
    assert found.same_audio
    assert found.same_engine


def test_a_result_holds_for_another_lossless_file(
    stored: tuple[Path, dict[str, Any]], write: Write, integers: NDArray[np.int16]
) -> None:
    flac = write(integers, "song.flac", subtype="PCM_16")
    assert verify(flac, stored[1]).holds


def test_other_audio_does_not_hold(
    stored: tuple[Path, dict[str, Any]], write: Write, integers: NDArray[np.int16]
) -> None:
    samples = integers.copy()
    samples[1000] += 1
    found = verify(write(samples, "b.wav", subtype="PCM_16"), stored[1])
    assert not found.same_audio
    assert "pcm_sha256" in {difference.path for difference in found.differences}


def test_a_changed_result_does_not_hold(stored: tuple[Path, dict[str, Any]]) -> None:
    path, result = stored
    changed = copy.deepcopy(result)
    changed["loudness"]["integrated_lufs"] -= 1
    changed["engine_version"] = "0.9.0"
    found = verify(path, changed)
    assert not found.holds
    assert found.same_audio
    assert not found.same_engine
    assert {difference.path for difference in found.differences} == {
        "engine_version",
        "loudness.integrated_lufs",
    }


def test_differences_name_their_place() -> None:
    old = {"a": 1, "b": {"c": "x", "gone": 2}, "beats_s": [1.0, 2.0, 3.0], "l": [{"k": 1}]}
    new = {"a": 1, "b": {"c": "y", "new": 3}, "beats_s": [1.0, 2.5], "l": [{"k": 2}]}
    assert differences(old, new) == [
        Difference("b.c", "x", "y"),
        Difference("b.gone", 2, None),
        Difference("b.new", None, 3),
        Difference("beats_s", "3 values", "2 values", "1 fewer; 1 of 2 differ, by up to 0.5"),
        Difference("l.0.k", 1, 2),
    ]


def test_equal_results_do_not_differ() -> None:
    tree: dict[str, Any] = {"a": None, "b": [], "c": True, "version": ENGINE_VERSION}
    assert differences(tree, copy.deepcopy(tree)) == []
    assert differences({"c": True}, {"c": 1.0}, tolerance=0.1) == []


def test_tolerance_is_a_share() -> None:
    assert differences({"x": 100.0}, {"x": 100.05}, tolerance=1e-3) == []
    assert len(differences({"x": 100.0}, {"x": 101.0}, tolerance=1e-3)) == 1
