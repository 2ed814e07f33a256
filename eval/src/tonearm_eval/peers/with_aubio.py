"""Adapter: aubio (GPL-3), wheel aubio-ledfx 0.4.12.  Tempo and beats, two onset functions.

    uv venv .local/peers/aubio && uv pip install --python .local/peers/aubio/bin/python \\
        aubio-ledfx==0.4.12 soundfile
"""

import json
import sys
import time

import aubio  # type: ignore[import-not-found]
import numpy as np
import soundfile

HOP = 512


def follow(mono: "np.ndarray[tuple[int], np.dtype[np.float32]]", rate: int, method: str) -> object:
    """Beats, and the tempo as 60 / median gap, which scores better than its own estimate."""
    tempo, beats = aubio.tempo(method, 1024, HOP, rate), []
    for start in range(0, len(mono) - HOP, HOP):
        if tempo(np.ascontiguousarray(mono[start : start + HOP])):
            beats.append(float(tempo.get_last_s()))
    bpm = 60 / float(np.median(np.diff(beats))) if len(beats) > 2 else None
    return {"tempo_bpm": bpm, "beats_s": beats}


def analyse(path: str) -> dict[str, object]:
    """What each setting answers."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    return {f"tempo {method}": follow(mono, rate, method) for method in ("default", "specdiff")}


for line in sys.stdin:
    start_s = time.process_time()
    settings = analyse(line.strip())
    cpu_s = round(time.process_time() - start_s, 4)
    print(json.dumps({"path": line.strip(), "cpu_s": cpu_s, "settings": settings}), flush=True)
