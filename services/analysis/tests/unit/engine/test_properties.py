"""What must hold whatever the recording: copies sound alike, gain is only gain, noise is nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from tonearm_analysis.engine import Parameters, analyze_whole
from tonearm_contracts.analysis_result import AnalysisResult, Harmony, Loudness, Rhythm

Signal = NDArray[np.float64]
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def quiet(music: Signal) -> Signal:
    """Return the music with room for gain."""
    return np.asarray(music / np.abs(music).max() * 0.5, np.float64)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, quiet: Signal) -> AnalysisResult:
    import soundfile

    path = tmp_path_factory.mktemp("plain") / "plain.wav"
    soundfile.write(path, quiet, 44_100, subtype="FLOAT")
    return analyze_whole(path)


def parts(result: AnalysisResult) -> tuple[Loudness, Rhythm, Harmony]:
    assert result.errors == {}
    assert result.loudness is not None
    assert result.rhythm is not None
    assert result.harmony is not None
    return result.loudness, result.rhythm, result.harmony


@pytest.mark.parametrize("gain_db", [-12.0, 5.0])
def test_gain_shifts_loudness_exactly_and_nothing_else(
    write: Write, quiet: Signal, plain: AnalysisResult, gain_db: float
) -> None:
    loudness, rhythm, harmony = parts(plain)
    louder = analyze_whole(write(quiet * 10 ** (gain_db / 20)))
    found_loudness, found_rhythm, found_harmony = parts(louder)
    for name in ("integrated_lufs", "momentary_max_lufs", "true_peak_dbtp", "rms_dbfs"):
        shift = getattr(found_loudness, name) - getattr(loudness, name)
        assert shift == pytest.approx(gain_db, abs=0.011)
    for name in ("range_lu", "plr_db", "stereo"):
        before = getattr(loudness, name)
        assert getattr(found_loudness, name) == (
            before if name == "stereo" else pytest.approx(before, abs=0.011)
        )
    assert found_rhythm.tempo_bpm == pytest.approx(rhythm.tempo_bpm, abs=0.1)
    assert found_rhythm.beats_s == pytest.approx(rhythm.beats_s, abs=0.01)
    assert found_rhythm.meter == rhythm.meter
    assert found_harmony.key == harmony.key
    assert found_harmony.confidence == pytest.approx(harmony.confidence, abs=0.02)


def test_leading_silence_shifts_the_beats(
    write: Write, quiet: Signal, plain: AnalysisResult
) -> None:
    _, rhythm, harmony = parts(plain)
    silence = np.zeros((44_100 * 2, 2))
    later_loudness, later, later_harmony = parts(
        analyze_whole(write(np.concatenate([silence, quiet])))
    )
    assert later_loudness.lead_in_s == pytest.approx(2.0, abs=0.01)
    shifted = np.array([beat - 2.0 for beat in later.beats_s])
    near = [np.abs(shifted - beat).min() for beat in rhythm.beats_s[1:-1]]
    assert max(near) < 0.03
    assert later_harmony.key == harmony.key


@pytest.mark.parametrize("change", ["mono", "22 kHz", "48 kHz", "mp3"])
def test_copies_keep_tempo_and_key(
    write: Write, quiet: Signal, plain: AnalysisResult, change: str
) -> None:
    _, rhythm, harmony = parts(plain)
    if change == "mono":
        copy = write(quiet.mean(axis=1))
    elif change == "mp3":
        copy = write(quiet, "copy.mp3", subtype=None)
    else:
        rate_hz = {"22 kHz": 22_050, "48 kHz": 48_000}[change]
        copy = write(soxr.resample(quiet, 44_100, rate_hz), rate_hz=rate_hz)
    _, found_rhythm, found_harmony = parts(analyze_whole(copy))
    assert found_rhythm.tempo_bpm == pytest.approx(rhythm.tempo_bpm, rel=0.01)
    assert found_harmony.key == harmony.key


@pytest.mark.parametrize("profile", ["full", "fast"])
@pytest.mark.parametrize("kind", ["silence", "noise", "one click", "offset", "not a number"])
def test_what_is_no_music_is_never_told_as_music(write: Write, kind: str, profile: str) -> None:
    random = np.random.default_rng(4)
    samples = {
        "silence": np.zeros(44_100 * 8),
        "noise": random.standard_normal(44_100 * 8) * 0.1,
        "one click": np.eye(1, 44_100 * 8, 44_100 * 4)[0],
        "offset": np.full(44_100 * 8, 0.4),
        "not a number": np.full(44_100 * 8, np.nan),
    }[kind]
    parameters = Parameters.from_dict({"profile": profile})
    _, rhythm, harmony = parts(analyze_whole(write(samples), parameters=parameters))
    assert rhythm.tempo_bpm is None or rhythm.confidence < 0.5
    assert harmony.key is None or harmony.confidence < 0.5
