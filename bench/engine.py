"""Engine seconds per second of audio, mp3 to result, beside the peers that are installed.

One process, one core, warm, best of several runs. Times are processor time, which other work on
the machine disturbs least; wall time stands beside it for the two profiles. Every peer runs in a
process of its own on the same core, librosa in our environment and the others in theirs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile

from bench.engine_limits import cold_start, memory
from bench.report import Report, Row, machine
from tonearm_analysis.engine import ENGINE_VERSION, STAGES, Parameters, analyze, assemble
from tonearm_analysis.engine.parameters import Profile
from tonearm_analysis.engine.stages import StageResult

_REPEATS = 3
_PROFILES: tuple[Profile, ...] = ("full", "fast")
_PEER_SCRIPT = Path(__file__).with_name("peer.py")
_PEERS_HOME = Path(".local/peers")
_PEERS = ("librosa", "essentia", "aubio", "madmom")


def measure(*, minutes: float, hours: float = 0.0) -> Report:
    """Analyse a synthesised band of `minutes` minutes with every profile and every peer.

    hours: length of a recording whose peak memory is measured as well; 0 for none.
    """
    report = Report("Engine: processor seconds per second of audio, mp3 to result, one core")
    report.circumstances = machine() | {"audio_minutes": minutes, "engine": ENGINE_VERSION}
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = _band(Path(folder), duration_s=minutes * 60)
            speed, missing = _speed(path, audio_s=minutes * 60)
            report.rows += speed
            report.circumstances["not installed"] = ", ".join(missing) or "none"
            report.rows += cold_start(path, Path(folder))
            report.rows += memory(path, Path(folder), hours=hours)
    finally:
        os.sched_setaffinity(0, cores)
    return report


def _speed(path: Path, *, audio_s: float) -> tuple[list[Row], list[str]]:
    """Return the rows of both profiles and of the peers, and the peers that are missing."""
    rows: list[Row] = []
    cpu_s: dict[str, float] = {}
    for profile in _PROFILES:
        stages: dict[str, float] = {}
        parameters = Parameters(profile=profile)
        cpu_s[profile], wall_s = _best(lambda p=parameters, s=stages: _ours(path, p, s))  # type: ignore[misc]  # binds now
        aim = {"full": 0.008, "fast": 0.003}[profile]
        rows += [
            Row(profile, "s/s", cpu_s[profile] / audio_s, aim, "the aim"),
            Row(f"{profile}, wall", "s/s", wall_s / audio_s, aim, "the aim"),
            *_stage_rows(profile, stages, audio_s=audio_s),
        ]
    missing = []
    for peer in _PEERS:
        answers = _peer(peer, path)
        if answers is None:
            missing.append(peer)
        for what, peer_cpu_s in answers or ():
            rows += [
                Row(what, "s/s", peer_cpu_s / audio_s, cpu_s[profile] / audio_s, f"ours, {profile}")
                for profile in _PROFILES
            ]
    return rows, missing


def _stage_rows(profile: str, stages: dict[str, float], *, audio_s: float) -> list[Row]:
    whole = sum(stages.values()) / audio_s
    return [
        Row(f"  {profile}: {name}, wall", "s/s", stages[name] / audio_s, whole, "all stages")
        for name in (*STAGES, "assembly")
    ]


def _ours(path: Path, parameters: Parameters, stages: dict[str, float]) -> None:
    """Analyse to the JSON that is stored; keep the least time of each stage."""
    parts: list[StageResult] = list(analyze(path, parameters=parameters))
    start_s = time.perf_counter()
    assemble(parts, parameters=parameters).canonical_json()
    took_s = {part.stage: part.duration_s for part in parts}
    took_s["assembly"] = time.perf_counter() - start_s
    for name, seconds in took_s.items():
        stages[name] = min(seconds, stages.get(name, seconds))


def _best(work: Callable[[], object]) -> tuple[float, float]:
    """Return the least processor time and the least wall time of the runs after the first."""
    work()
    runs = []
    for _ in range(_REPEATS):
        started = time.process_time(), time.perf_counter()
        work()
        runs.append((time.process_time() - started[0], time.perf_counter() - started[1]))
    return min(cpu_s for cpu_s, _ in runs), min(wall_s for _, wall_s in runs)


def _peer(name: str, path: Path) -> list[tuple[str, float]] | None:
    """Return (job, processor seconds) of a peer; None when it is not installed."""
    own = _PEERS_HOME / name / "bin" / "python"
    if name != "librosa" and not own.exists():
        return None
    command = [str(own) if own.exists() else sys.executable, str(_PEER_SCRIPT), name, str(path)]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    told = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=one_thread | {"PATH": ""}
    )
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    return [(answer["what"], answer["cpu_s"]) for answer in answers]


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
