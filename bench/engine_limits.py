"""The engine's bounds: peak memory, ten minutes and hours of audio, and a cold start."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from bench.report import Row

_LIMIT_MB = 400.0
_START_LIMIT_S = 1.5
_STARTS = 4
_PEAK = (
    "import re, sys; from pathlib import Path\n"
    "from tonearm_analysis.engine import Parameters, analyze_whole\n"
    "found = analyze_whole(Path(sys.argv[1]), parameters=Parameters(profile=sys.argv[2]))\n"
    "assert not found.errors, found.errors\n"
    "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()).group(1))"
)


def memory(band: Path, folder: Path, *, hours: float) -> list[Row]:
    """Peak resident memory of a fresh process; the long recording beside half an hour of it."""
    rows = []
    short, half = (varied(band, folder / f"{m}.flac", minutes=m) for m in (10, 30))
    long = varied(band, folder / "long.flac", minutes=hours * 60) if hours else None
    for profile in ("full", "fast"):
        half_mb = _peak_mb(half, profile)
        for path, length in ((short, "10"), (half, "30")):
            peak_mb = half_mb if path == half else _peak_mb(path, profile)
            name = f"peak memory, {length} minutes, {profile}"
            rows.append(Row(name, "MB", peak_mb, _LIMIT_MB, "the limit"))
        if long is not None:
            name = f"peak memory, {hours:g} hours, {profile}"
            rows.append(Row(name, "MB", _peak_mb(long, profile), half_mb, "30 minutes"))
    return rows


def cold_start(band: Path, folder: Path) -> list[Row]:
    """`tonearm analyze` on ten seconds, each time in a fresh process."""
    short = varied(band, folder / "start.flac", minutes=1 / 6)
    command = [sys.executable, "-m", "tonearm_cli", "analyze", str(short), "--json"]
    runs = []
    for _ in range(_STARTS):
        before, started_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall_s = time.perf_counter() - started_s
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        runs.append((cpu_s, wall_s))
    cpu_s, wall_s = (min(column) for column in zip(*runs, strict=True))
    return [
        Row("cold start and 10 s of audio", "s", cpu_s, _START_LIMIT_S, "the limit"),
        Row("cold start and 10 s, wall", "s", wall_s, _START_LIMIT_S, "the limit"),
    ]


def varied(band: Path, target: Path, *, minutes: float) -> Path:
    """Write so many minutes, each the same of the band at another level, with other noise.

    Beats and chords go on from minute to minute, where a minute holds whole bars of the band; one
    in twenty is silent. Written piece by piece, so that hours of it need no memory.
    """
    samples, rate_hz = soundfile.read(band, dtype="float32", always_2d=True)
    samples = samples[: 60 * rate_hz]
    random = np.random.default_rng(5)
    left = round(minutes * 60 * rate_hz)
    with soundfile.SoundFile(target, "w", rate_hz, samples.shape[1], subtype="PCM_16") as file:
        while left > 0:
            piece = samples * np.float32(10 ** random.uniform(-1.5, 0))
            piece = piece + random.normal(0, 10 ** random.uniform(-5, -2), piece.shape)
            if random.random() < 0.05:
                piece *= 0
            file.write(piece[:left].astype(np.float32))
            left -= len(piece)
    return target


def _peak_mb(path: Path, profile: str) -> float:
    # Not getrusage: a child starts with its parent's peak.
    command = [sys.executable, "-c", _PEAK, str(path), profile]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(told) / 1024
