"""Engine seconds per minute of audio, one core, beside librosa's usual recipe."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np

from bench.report import Report, Row, machine
from tonearm_analysis.engine import ENGINE_VERSION, STAGES, Parameters, analyze, analyze_whole

_REPEATS = 3


def measure(*, minutes: float) -> Report:
    """Analyse a synthesised band of `minutes` minutes, best of three; the first run is warm-up."""
    report = Report("Engine seconds per audio minute, one process")
    report.circumstances = machine() | {"audio_minutes": minutes, "engine": ENGINE_VERSION}
    with tempfile.TemporaryDirectory() as folder:
        path = _band(Path(folder) / "band.wav", duration_s=minutes * 60)
        baseline_s = _best(lambda: _librosa(path)) / minutes
        recipe = "librosa: load, beat_track, chroma_cqt, rms, centroid, rolloff, zcr"
        for profile in ("full", "fast"):
            parameters = Parameters(profile=profile)
            took_s = _best(lambda p=parameters: analyze_whole(path, parameters=p)) / minutes  # type: ignore[misc]  # binds now
            report.rows.append(Row(f"profile {profile}", "s/min", took_s, baseline_s, recipe))
        stages = _stages(path)
        total_s = sum(stages.values())
        report.rows += [
            Row(f"stage {name}", "s/min", stages[name] / minutes, total_s / minutes, "all stages")
            for name in STAGES
            if name in stages
        ]
    return report


def _band(path: Path, *, duration_s: float) -> Path:
    command = [sys.executable, "-m", "tonearm_eval.band", "--out", str(path), "--tempo", "124"]
    command += ["--key", "A minor", "--seed", "3", "--duration-s", str(duration_s)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def _best(work: Callable[[], object]) -> float:
    """Return the shortest of the runs after the first, in seconds."""
    durations_s = []
    for _ in range(_REPEATS + 1):
        started = time.perf_counter()
        work()
        durations_s.append(time.perf_counter() - started)
    return min(durations_s[1:])


def _librosa(path: Path) -> None:
    samples, rate_hz = librosa.load(path, sr=22_050, mono=True)
    librosa.beat.beat_track(y=samples, sr=rate_hz)
    librosa.feature.chroma_cqt(y=samples, sr=rate_hz)
    spectrum = np.abs(librosa.stft(samples))
    librosa.feature.rms(S=spectrum)
    librosa.feature.spectral_centroid(S=spectrum, sr=rate_hz)
    librosa.feature.spectral_rolloff(S=spectrum, sr=rate_hz)
    librosa.feature.zero_crossing_rate(samples)


def _stages(path: Path) -> dict[str, float]:
    return {result.stage: result.duration_s for result in analyze(path)}
