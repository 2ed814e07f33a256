"""Engine seconds per second of audio, mp3 to result, beside the peers that are installed.

One process, one core, warm, best of several runs. Times are processor time, which other work on
the machine disturbs least; wall time stands beside it for the two profiles. Peers take part when
they can be imported; librosa, which is always there, runs the recipe that its users write first.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile

from bench.report import Report, Row, machine
from tonearm_analysis.engine import ENGINE_VERSION, STAGES, Parameters, analyze

_REPEATS = 3
_MEMORY_MINUTES = 10
_MEMORY_LIMIT_MB = 400.0
_START_LIMIT_S = 1.5
_RECIPE = "librosa: load, beat_track, chroma_cqt, mfcc, rms, centroid, rolloff, zcr"


def measure(*, minutes: float) -> Report:
    """Analyse a synthesised band of `minutes` minutes with every profile and every peer."""
    report = Report("Engine: processor seconds per second of audio, mp3 to result, one core")
    report.circumstances = machine() | {"audio_minutes": minutes, "engine": ENGINE_VERSION}
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = _band(Path(folder), duration_s=minutes * 60)
            report.rows += _speed(path, audio_s=minutes * 60)
            long = _repeated(path, Path(folder) / "long.flac", minutes=_MEMORY_MINUTES)
            report.rows += [_memory(long), *_cold_start(path)]
    finally:
        os.sched_setaffinity(0, cores)
    return report


def _speed(path: Path, *, audio_s: float) -> list[Row]:
    naive_cpu_s, naive_wall_s = _best(lambda: _librosa(path))
    rows, full_cpu_s = [], 0.0
    for profile in ("full", "fast"):
        parameters = Parameters(profile=profile)
        stages: dict[str, float] = {}
        cpu_s, wall_s = _best(lambda p=parameters, s=stages: _ours(path, p, s))  # type: ignore[misc]  # binds now
        full_cpu_s = full_cpu_s or cpu_s
        rows += [
            Row(profile, "s/s", cpu_s / audio_s, naive_cpu_s / audio_s, _RECIPE),
            Row(f"{profile}, wall", "s/s", wall_s / audio_s, naive_wall_s / audio_s, "the same"),
        ]
        whole_s = sum(stages.values())
        rows += [
            Row(
                f"  {profile}: {name}, wall",
                "s/s",
                stages[name] / audio_s,
                whole_s / audio_s,
                "all stages",
            )
            for name in STAGES
        ]
    rows.append(Row("librosa", "s/s", naive_cpu_s / audio_s, full_cpu_s / audio_s, "ours, full"))
    for name, work in _peers(path):
        cpu_s, _ = _best(work)
        rows.append(Row(name, "s/s", cpu_s / audio_s, full_cpu_s / audio_s, "ours, full"))
    return rows


def _ours(path: Path, parameters: Parameters, stages: dict[str, float]) -> None:
    stages.update({part.stage: part.duration_s for part in analyze(path, parameters=parameters)})


def _best(work: Callable[[], object]) -> tuple[float, float]:
    """Return the least processor time and the least wall time of the runs after the first."""
    work()
    runs = []
    for _ in range(_REPEATS):
        started = time.process_time(), time.perf_counter()
        work()
        runs.append((time.process_time() - started[0], time.perf_counter() - started[1]))
    return min(cpu_s for cpu_s, _ in runs), min(wall_s for _, wall_s in runs)


def _librosa(path: Path) -> None:
    samples, rate_hz = librosa.load(path, sr=22_050, mono=True)
    librosa.beat.beat_track(y=samples, sr=rate_hz)
    librosa.feature.chroma_cqt(y=samples, sr=rate_hz)
    librosa.feature.mfcc(y=samples, sr=rate_hz)
    spectrum = np.abs(librosa.stft(samples))
    librosa.feature.rms(S=spectrum)
    librosa.feature.spectral_centroid(S=spectrum, sr=rate_hz)
    librosa.feature.spectral_rolloff(S=spectrum, sr=rate_hz)
    librosa.feature.zero_crossing_rate(samples)


def _peers(path: Path) -> list[tuple[str, Callable[[], object]]]:
    """Return the peers that are installed, each with its whole job on a file."""
    found: list[tuple[str, Callable[[], object]]] = []
    if importlib.util.find_spec("essentia"):
        standard: Any = importlib.import_module("essentia.standard")
        extractor = standard.MusicExtractor()
        found.append(("essentia MusicExtractor", lambda: extractor(str(path))))
    if importlib.util.find_spec("aubio"):
        found.append(("aubio tempo alone", lambda: _aubio(path)))
    if importlib.util.find_spec("madmom"):
        beats: Any = importlib.import_module("madmom.features.beats")
        network, decoder = beats.RNNBeatProcessor(), beats.DBNBeatTrackingProcessor(fps=100)
        found.append(("madmom beats alone", lambda: decoder(network(str(path)))))
    return found


def _aubio(path: Path) -> None:
    aubio: Any = importlib.import_module("aubio")
    source = aubio.source(str(path), 44_100, 512)
    tempo = aubio.tempo("default", 1024, 512, 44_100)
    read = 512
    while read == 512:
        samples, read = source()
        tempo(samples)


def _band(folder: Path, *, duration_s: float) -> Path:
    wav, mp3 = folder / "band.wav", folder / "band.mp3"
    command = [sys.executable, "-m", "tonearm_eval.band", "--out", str(wav), "--tempo", "124"]
    command += ["--key", "A minor", "--seed", "3", "--duration-s", str(duration_s)]
    subprocess.run(command, check=True, capture_output=True)
    samples, rate_hz = soundfile.read(wav, dtype="float32", always_2d=True)
    with soundfile.SoundFile(mp3, "w", rate_hz, samples.shape[1]) as file:
        # In pieces: the encoder keeps a whole write on its stack.
        for start in range(0, len(samples), 4096):
            file.write(samples[start : start + 4096])
    return mp3


def _repeated(path: Path, target: Path, *, minutes: float) -> Path:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    frames = round(minutes * 60 * rate_hz)
    with soundfile.SoundFile(target, "w", rate_hz, samples.shape[1]) as file:
        for start in range(0, frames, len(samples)):
            file.write(samples[: frames - start])
    return target


def _memory(path: Path) -> Row:
    # Not getrusage: a child starts with its parent's peak.
    program = (
        "import re, sys; from pathlib import Path\n"
        "from tonearm_analysis.engine import analyze_whole\n"
        "analyze_whole(Path(sys.argv[1]))\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()).group(1))"
    )
    command = [sys.executable, "-c", program, str(path)]
    peak_kib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    name = f"peak memory, {_MEMORY_MINUTES} minutes"
    return Row(name, "MB", peak_kib / 1024, _MEMORY_LIMIT_MB, "the limit")


def _cold_start(path: Path) -> list[Row]:
    """Start `tonearm analyze` on ten seconds, in a fresh process."""
    short = _repeated(path, path.with_name("short.flac"), minutes=1 / 6)
    command = [sys.executable, "-m", "tonearm_cli", "analyze", str(short), "--json"]
    runs = []
    for _ in range(_REPEATS + 1):
        before, started_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall_s, after = (
            time.perf_counter() - started_s,
            resource.getrusage(resource.RUSAGE_CHILDREN),
        )
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        runs.append((cpu_s, wall_s))
    cpu_s, wall_s = (min(column) for column in zip(*runs, strict=True))
    return [
        Row("cold start and 10 s of audio", "s", cpu_s, _START_LIMIT_S, "the limit"),
        Row("cold start and 10 s, wall", "s", wall_s, _START_LIMIT_S, "the limit"),
    ]
