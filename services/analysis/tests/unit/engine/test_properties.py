"""What must hold whatever the recording: copies sound alike, gain is only gain, noise is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from tonearm_analysis.engine import Parameters, analyze_whole
from tonearm_contracts.analysis_result import AnalysisResult, Harmony, Loudness, Rhythm

Signal = NDArray[np.float64]
Write = Callable[..., Path]
Encode = Callable[..., Path]
TIME_STEP_S = 1e-4
"""Times of a result are rounded to it."""


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


@pytest.mark.parametrize("gain_db", [-24.0, -12.0, 5.0])
def test_gain_shifts_loudness_exactly_and_nothing_else(
    write: Write, quiet: Signal, plain: AnalysisResult, gain_db: float
) -> None:
    loudness, rhythm, harmony = parts(plain)
    louder = analyze_whole(write(quiet * 10 ** (gain_db / 20)))
    found_loudness, found_rhythm, found_harmony = parts(louder)
    names = ("integrated_lufs", "momentary_max_lufs", "short_term_max_lufs", "rms_dbfs")
    for name in (*names, "true_peak_dbtp", "sample_peak_dbfs"):
        shift = getattr(found_loudness, name) - getattr(loudness, name)
        assert shift == pytest.approx(gain_db, abs=0.011)
    for name in ("range_lu", "plr_db", "stereo"):
        before = getattr(loudness, name)
        assert getattr(found_loudness, name) == (
            before if name == "stereo" else pytest.approx(before, abs=0.011)
        )
    assert found_rhythm.tempo_bpm == pytest.approx(rhythm.tempo_bpm, abs=0.01)
    assert found_rhythm.beats_s == pytest.approx(rhythm.beats_s, abs=TIME_STEP_S)
    assert found_rhythm.downbeats_s == pytest.approx(rhythm.downbeats_s, abs=TIME_STEP_S)
    assert found_rhythm.confidence == pytest.approx(rhythm.confidence, abs=0.002)
    assert labels(found_harmony) == labels(harmony)
    starts_s = [chord.start_s for chord in harmony.chords]
    assert [chord.start_s for chord in found_harmony.chords] == starts_s
    assert found_rhythm.meter == rhythm.meter
    assert found_harmony.key == harmony.key
    assert found_harmony.confidence == pytest.approx(harmony.confidence, abs=0.002)


def labels(harmony: Harmony) -> list[str]:
    return [chord.label for chord in harmony.chords]


@pytest.mark.parametrize(
    ("rate_hz", "lead", "trail"),
    [
        (44_100, 1, 0),
        (44_100, 12_345, 77_777),
        (44_100, 88_200, 1),
        (48_000, 333, 48_000),
        (48_000, 48_001, 0),
        (22_050, 7, 3),
        (96_000, 100_001, 5),
    ],
)
@pytest.mark.parametrize("profile", ["full", "fast"])
def test_silence_around_shifts_times_exactly_and_changes_nothing_else(
    write: Write, quiet: Signal, profile: str, rate_hz: int, lead: int, trail: int
) -> None:
    parameters = Parameters.from_dict({"profile": profile})
    music = quiet if rate_hz == 44_100 else resampled(quiet, rate_hz)
    framed = np.concatenate([np.zeros((lead, 2)), music, np.zeros((trail, 2))])
    plain = analyze_whole(write(music, "plain.wav", rate_hz=rate_hz), parameters=parameters)
    found = analyze_whole(write(framed, "framed.wav", rate_hz=rate_hz), parameters=parameters)
    (_, rhythm, harmony), (_, found_rhythm, found_harmony) = parts(plain), parts(found)

    def moved(times_s: Iterable[float]) -> object:
        return pytest.approx([time_s + lead / rate_hz for time_s in times_s], abs=TIME_STEP_S)

    times = {"beats_s", "downbeats_s", "tempo_curve"}
    assert found_rhythm.model_dump(exclude=times) == rhythm.model_dump(exclude=times)
    assert found_rhythm.beats_s == moved(rhythm.beats_s)
    assert found_rhythm.downbeats_s == moved(rhythm.downbeats_s)
    for before, after in zip(rhythm.tempo_curve, found_rhythm.tempo_curve, strict=True):
        assert (after.bpm, [after.time_s]) == (before.bpm, moved([before.time_s]))
    times = {"chords", "key_segments"}
    assert found_harmony.model_dump(exclude=times) == harmony.model_dump(exclude=times)
    start_s, end_s = lead / rate_hz, (lead + len(music)) / rate_hz
    inner = [chord for chord in found_harmony.chords if start_s <= chord.end_s - 0.01 < end_s]
    assert [(chord.label, chord.confidence) for chord in inner] == [
        (chord.label, chord.confidence) for chord in harmony.chords
    ]
    borders_s = [chord.start_s for chord in inner[1:]]
    assert borders_s == moved(chord.start_s for chord in harmony.chords[1:])
    outer = {chord.label for chord in found_harmony.chords if chord not in inner}
    assert outer <= {"N"}
    assert found_harmony.chords[0].start_s == 0.0
    whole_s = (lead + len(music) + trail) / rate_hz
    assert found_harmony.chords[-1].end_s == pytest.approx(whole_s, abs=TIME_STEP_S)


def resampled(samples: Signal, *rates_hz: int) -> Signal:
    for before, after in pairwise((44_100, *rates_hz)):
        samples = soxr.resample(samples, before, after)
    return samples


@pytest.mark.parametrize(
    "change", ["mono", "22 kHz", "48 kHz", "8 bit", "there and back", "mp3", "ogg", "flac"]
)
def test_copies_keep_tempo_and_key(
    write: Write, quiet: Signal, plain: AnalysisResult, change: str
) -> None:
    copies: dict[str, Callable[[], Path]] = {
        "mono": lambda: write(quiet.mean(axis=1)),
        "22 kHz": lambda: write(resampled(quiet, 22_050), rate_hz=22_050),
        "48 kHz": lambda: write(resampled(quiet, 48_000), rate_hz=48_000),
        "8 bit": lambda: write(quiet, subtype="PCM_U8"),
        "there and back": lambda: write(resampled(quiet, 48_000, 22_050), rate_hz=22_050),
        "mp3": lambda: write(quiet, "copy.mp3", subtype=None),
        "ogg": lambda: write(quiet, "copy.ogg", subtype=None),
        "flac": lambda: write(quiet, "copy.flac", subtype="PCM_16"),
    }
    assert_same_music(analyze_whole(copies[change]()), plain)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [("copy.m4a", "aac", 44_100), ("copy.aac", "aac", 44_100), ("copy.opus", "libopus", 48_000)],
)
def test_encoded_copies_keep_tempo_and_key(
    encode: Encode, quiet: Signal, plain: AnalysisResult, name: str, codec: str, rate_hz: int
) -> None:
    copy = encode(resampled(quiet, rate_hz), name, codec=codec, rate_hz=rate_hz)
    assert_same_music(analyze_whole(copy), plain)


def assert_same_music(copy: AnalysisResult, plain: AnalysisResult) -> None:
    _, rhythm, harmony = parts(plain)
    _, found_rhythm, found_harmony = parts(copy)
    assert found_rhythm.tempo_bpm == pytest.approx(rhythm.tempo_bpm, rel=0.01)
    assert found_rhythm.meter == rhythm.meter
    assert found_harmony.key == harmony.key


@pytest.mark.parametrize("profile", ["full", "fast"])
@pytest.mark.parametrize(
    "kind", ["silence", "noise", "one click", "offset", "not a number", "in turn"]
)
def test_what_is_no_music_is_never_told_as_music(write: Write, kind: str, profile: str) -> None:
    random = np.random.default_rng(4)
    lengths = [31_000, 83_000, 52_000, 117_000, 44_000, 23_000, 96_000]  # no pulse in these
    levels = [0, 0.1, 0.4, np.nan, 0, np.inf, 0.05]
    signs = random.choice([-1, 1], sum(lengths))
    samples = {
        "silence": np.zeros(44_100 * 8),
        "noise": random.standard_normal(44_100 * 8) * 0.1,
        "one click": np.eye(1, 44_100 * 8, 44_100 * 4)[0],
        "offset": np.full(44_100 * 8, 0.4),
        "not a number": np.full(44_100 * 8, np.nan),
        "in turn": np.repeat(levels, lengths) * signs,
    }[kind]
    parameters = Parameters.from_dict({"profile": profile})
    _, rhythm, harmony = parts(analyze_whole(write(samples), parameters=parameters))
    assert rhythm.tempo_bpm is None or rhythm.confidence < 0.5
    assert harmony.key is None or harmony.confidence < 0.5
