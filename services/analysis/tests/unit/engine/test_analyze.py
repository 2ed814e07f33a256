"""The engine as its callers see it: stages, whole results, identity, failures, bad input."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine import (
    ENGINE_VERSION,
    STAGES,
    AudioError,
    Limits,
    ParameterError,
    Parameters,
    analyze,
    analyze_whole,
    assemble,
    result_id,
)
from tonearm_analysis.engine.harmony import HarmonyStream
from tonearm_analysis.engine.loudness import LoudnessCollector
from tonearm_analysis.engine.rounding import rounded
from tonearm_contracts.analysis_result import AnalysisResult

Signal = NDArray[np.float64]
Write = Callable[..., Path]
FAST = Parameters(profile="fast")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory, music: Signal) -> Path:
    import soundfile

    path = tmp_path_factory.mktemp("song") / "song.flac"
    soundfile.write(path, music, 44_100, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def result(song: Path) -> AnalysisResult:
    return analyze_whole(song)


def test_stages_come_in_order_each_with_its_own_time(song: Path) -> None:
    parts = list(analyze(song, parameters=FAST))
    assert tuple(part.stage for part in parts) == STAGES
    assert [part.index for part in parts] == list(range(1, len(STAGES) + 1))
    assert all(part.total == len(STAGES) for part in parts)
    assert all(part.error is None and part.value and part.duration_s > 0 for part in parts)


def test_the_whole_is_its_parts(song: Path) -> None:
    parts = list(analyze(song, parameters=FAST))
    whole = analyze_whole(song, parameters=FAST)
    assert assemble(parts, parameters=FAST) == whole.model_copy(
        update={"timings_s": {part.stage: part.duration_s for part in parts}}
    )


def test_a_result_reads_back_from_its_json(result: AnalysisResult) -> None:
    again = AnalysisResult.model_validate_json(result.canonical_json())
    assert again.canonical_json() == result.canonical_json()
    assert set(result.timings_s) == set(STAGES)
    assert "timings_s" not in result.canonical_json()


def test_known_music_is_heard(result: AnalysisResult) -> None:
    assert result.errors == {}
    assert result.rhythm is not None
    assert result.rhythm.tempo_bpm == pytest.approx(120, rel=0.01)
    assert result.harmony is not None
    assert result.harmony.key == "C major"
    summary = result.summary()
    assert summary.duration_s == 12.0
    assert summary.loudness_lufs is not None


def test_the_same_bytes_give_the_same_json_whatever_ran_before(
    song: Path, result: AnalysisResult, write: Write, music: Signal
) -> None:
    analyze_whole(write(music[::-1] * 0.3, "other.wav"))
    assert analyze_whole(song).canonical_json() == result.canonical_json()


def test_the_same_bytes_give_the_same_json_in_another_thread(
    song: Path, result: AnalysisResult
) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(analyze_whole(song).canonical_json()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [result.canonical_json()] * 2


@pytest.mark.parametrize("profile", ["full", "fast"])
def test_the_same_bytes_give_the_same_json_in_processes_side_by_side_on_any_number_of_threads(
    song: Path, profile: str
) -> None:
    expected = analyze_whole(song, parameters=Parameters.from_dict({"profile": profile}))
    program = (
        "import sys; from pathlib import Path\n"
        "from tonearm_analysis.engine import Parameters, analyze_whole\n"
        "parameters = Parameters.from_dict({'profile': sys.argv[2]})\n"
        "for _ in range(2):\n"
        "    print(analyze_whole(Path(sys.argv[1]), parameters=parameters).canonical_json())"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(song), profile],
            env=dict.fromkeys(names, threads),
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "2", "4", "7")
    ]
    for process in running:
        told, _ = process.communicate(timeout=120)
        assert told.splitlines() == [expected.canonical_json()] * 2


def test_the_id_is_the_hash_of_samples_version_and_parameters(write: Write, music: Signal) -> None:
    samples = music[:8000].astype(np.float32)
    found = analyze_whole(write(samples, "a.wav"), parameters=FAST)
    pcm = hashlib.sha256(b"tonearm-pcm-1 44100 2\n" + samples.astype("<f4").tobytes()).hexdigest()
    name = (
        f'{{"engine_version":"{ENGINE_VERSION}",'
        '"parameters":{"profile":"fast","tempo_range_bpm":null},'
        f'"pcm_sha256":"{pcm}"}}'
    )
    assert found.pcm_sha256 == pcm
    assert found.result_id == hashlib.sha256(name.encode()).hexdigest()


def test_lossless_containers_of_the_same_samples_share_their_identity(
    write: Write, music: Signal
) -> None:
    names = ("a.wav", "a.flac", "a.aiff")
    samples = np.rint(music[:44_100] * 32_767).astype(np.int16)
    results = [
        analyze_whole(write(samples, name, subtype="PCM_16"), parameters=FAST) for name in names
    ]
    assert len({found.result_id for found in results}) == 1
    assert len({found.pcm_sha256 for found in results}) == 1


def test_identity_depends_on_samples_rate_version_and_parameters(
    write: Write, music: Signal
) -> None:
    plain = analyze_whole(write(music[:8000], "a.wav"), parameters=FAST)
    other_rate = analyze_whole(write(music[:8000], "b.wav", rate_hz=48_000), parameters=FAST)
    assert other_rate.pcm_sha256 != plain.pcm_sha256
    assert plain.result_id == result_id(plain.pcm_sha256, FAST)
    assert plain.result_id != result_id(plain.pcm_sha256, Parameters())
    ranged = Parameters(profile="fast", tempo_range_bpm=(60, 120))
    assert plain.result_id != result_id(plain.pcm_sha256, ranged)
    assert plain.engine_version == ENGINE_VERSION


def test_a_failing_stage_leaves_the_others(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: LoudnessCollector) -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(LoudnessCollector, "finish", fail)
    found = analyze_whole(song, parameters=FAST)
    assert found.errors == {"loudness": "ZeroDivisionError: by design"}
    assert found.loudness is None
    assert found.spectral is not None
    assert found.summary().loudness_lufs is None


def test_rhythm_does_without_harmony(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: HarmonyStream, low: object) -> None:
        raise MemoryError("by design")

    monkeypatch.setattr(HarmonyStream, "push", fail)
    found = analyze_whole(song)
    assert found.errors == {"harmony": "MemoryError: by design"}
    assert found.rhythm is not None
    # Even clicks alone do not say whether each is a beat or every other.
    first, second = (candidate.bpm for candidate in found.rhythm.candidates[:2])
    assert sorted((first, second)) == pytest.approx([60, 120], rel=0.01)


def test_a_stage_that_hangs_is_ended_and_the_others_are_there(
    song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(self: LoudnessCollector) -> None:
        threading.Event().wait(60)

    monkeypatch.setattr(LoudnessCollector, "finish", hang)
    found = analyze_whole(song, parameters=FAST, stage_timeout_s=2.0)
    assert found.errors == {"loudness": "The stage took longer than its 2 s."}
    assert found.harmony is not None


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((44_100 * 2, 2)),
        np.full((44_100 * 2, 1), 0.5),
        np.full((44_100, 2), np.nan),
        np.full((1, 1), 0.1),
        np.full((3, 2), -1.0),
        np.tile([[1e30, np.inf]], (5000, 1)),
        np.eye(44_100, 32),
    ],
    ids=["silence", "offset", "nan", "one sample", "three samples", "absurd", "32 channels"],
)
def test_odd_recordings_never_fail_and_claim_nothing(write: Write, samples: Signal) -> None:
    found = analyze_whole(write(samples))
    assert found.errors == {}
    assert found.rhythm is not None
    assert found.rhythm.tempo_bpm is None or found.rhythm.confidence < 0.5
    assert found.harmony is not None
    assert found.harmony.key is None or found.harmony.confidence < 0.5


def test_what_is_no_number_counts_as_zero_and_is_counted(write: Write, music: Signal) -> None:
    samples = music[:20_000].copy()
    samples[100, 0] = np.nan
    samples[200] = np.inf
    found = analyze_whole(write(samples), parameters=FAST)
    assert found.properties is not None
    assert found.properties.non_finite_samples == 3
    assert found.properties.warnings == ("Samples that are not numbers count as zero: 3.",)


def test_a_cut_recording_is_analysed_and_says_so(write: Write, music: Signal) -> None:
    path = write(music, "a.flac", subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = analyze_whole(path, parameters=FAST)
    assert found.properties is not None
    assert found.properties.truncated
    assert found.loudness is not None


def test_a_header_without_sound_is_truncated(write: Write, music: Signal) -> None:
    path = write(music[:4410], subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:44])
    with pytest.raises(AudioError) as refused:
        analyze_whole(path)
    assert refused.value.code == "truncated"


def test_a_recording_without_samples_is_empty(write: Write) -> None:
    with pytest.raises(AudioError) as refused:
        analyze_whole(write(np.empty((0, 2))))
    assert refused.value.code == "empty"


def test_the_length_limit_holds_where_the_header_is_silent(write: Write, music: Signal) -> None:
    path = write(music, "a.mp3", subtype=None)
    with pytest.raises(AudioError) as refused:
        analyze_whole(path, limits=Limits(duration_s_max=5))
    assert refused.value.code == "too_long"


def test_errors_cross_a_process_boundary() -> None:
    error = AudioError("too_long", "The recording is longer than 5 minutes.")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    assert (again.code, str(again)) == (error.code, str(error))


def test_parameters_read_back_from_their_json() -> None:
    parameters = Parameters(profile="fast", tempo_range_bpm=(70, 140))
    assert Parameters.from_dict(parameters.canonical()) == parameters
    assert Parameters.from_dict({}) == Parameters()


@pytest.mark.parametrize(
    "given",
    [
        {"profile": "slow"},
        {"tempo_range_bpm": [140, 70]},
        {"tempo_range_bpm": [0, 70]},
        {"tempo_range_bpm": "70-140"},
        {"tempo_range_bpm": [70]},
        {"tempo": 120},
    ],
)
def test_parameters_without_a_meaning_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        Parameters.from_dict(given)


def test_rounding_follows_the_unit() -> None:
    tree = {"at_s": 1.23456789, "level_lufs": -23.456, "share": 0.123456789, "list_hz": [1.239]}
    assert rounded(tree) == {
        "at_s": 1.2346,
        "level_lufs": -23.46,
        "share": 0.12346,
        "list_hz": [1.24],
    }
    assert str(rounded(-0.0)) == "0.0"
    with pytest.raises(ValueError, match="not finite"):
        rounded({"x_s": float("nan")})
