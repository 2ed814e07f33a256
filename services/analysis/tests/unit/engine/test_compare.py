"""`verify` and `diff`: what changed between results, and golden results that must not."""

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
GOLDEN = Path(__file__).with_name("golden.json")
FAST = Parameters(profile="fast")
CLOSE = 2e-3
"""Processors round differently in the last bits; a result may show that in its last digit."""


def integer_music() -> NDArray[np.int16]:
    """Return 10 s of stereo at 44.1 kHz, made with whole numbers alone: equal everywhere."""
    frames = np.arange(441_000, dtype=np.int64)
    out = np.zeros((len(frames), 2), dtype=np.int64)
    bars = [(262, 330, 392), (349, 440, 523), (392, 494, 587), (262, 330, 392), (262, 330, 392)]
    for bar, chord in enumerate(bars):
        inside = (frames >= bar * 88_200) & (frames < (bar + 1) * 88_200)
        decay = 4096 - (frames - bar * 88_200) * 3000 // 88_200
        for voice, hz in enumerate(chord):
            triangle = np.abs((frames * hz * 65_536 // 44_100) % 65_536 - 32_768) - 16_384
            out[inside, voice % 2] += (triangle * decay // 4096 // 6)[inside]
    since_beat = frames % 22_050
    noise = (frames * 1_103_515_245 + 12_345) // 65_536 % 16_384 - 8_192
    out += np.where(since_beat < 2_205, noise * (2_205 - since_beat) // 2_205, 0)[:, None]
    return out.astype(np.int16)


def test_golden_results_stay(write: Write) -> None:
    """A change here is a new engine version: raise it, then write `found` to golden.json."""
    path = write(integer_music(), "golden.wav", subtype="PCM_16")
    found = golden_parts(analyze_whole(path, parameters=FAST).model_dump(mode="json"))
    expected = json.loads(GOLDEN.read_text())
    assert differences(expected, found, tolerance=CLOSE) == []
    for name in ("engine_version", "pcm_sha256", "result_id"):
        assert found[name] == expected[name]


def golden_parts(result: dict[str, Any]) -> dict[str, Any]:
    """Return what is pinned: whole stages of signal processing, the headlines of the rest."""
    rhythm, harmony = result.pop("rhythm"), result.pop("harmony")
    return {**result, "key": harmony["key"], "tempo_bpm": round(rhythm["tempo_bpm"])}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    import soundfile

    path = tmp_path_factory.mktemp("stored") / "song.wav"
    soundfile.write(path, integer_music(), 44_100)
    return path, analyze_whole(path, parameters=FAST).model_dump(mode="json")


def test_a_result_holds(stored: tuple[Path, dict[str, Any]]) -> None:
    path, result = stored
    found = verify(path, json.loads(json.dumps(result)))
    assert found.holds
    assert found.same_audio
    assert found.same_engine


def test_a_result_holds_for_another_lossless_file(
    stored: tuple[Path, dict[str, Any]], write: Write
) -> None:
    flac = write(integer_music(), "song.flac", subtype="PCM_16")
    assert verify(flac, stored[1]).holds


def test_other_audio_does_not_hold(stored: tuple[Path, dict[str, Any]], write: Write) -> None:
    samples = integer_music()
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
