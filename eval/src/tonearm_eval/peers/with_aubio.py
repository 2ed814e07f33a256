"""Adapter: aubio (GPL-3), wheel aubio-ledfx 0.4.12.  Tempo only: 60 / median beat gap.

    uv venv .local/peers/aubio && uv pip install --python .local/peers/aubio/bin/python \\
        aubio-ledfx==0.4.12 soundfile
"""

import json
import sys

import aubio  # type: ignore[import-not-found]
import numpy as np
import soundfile


def analyse(path: str) -> dict[str, object]:
    """Tempo and beats of a file."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono, hop = sound.mean(axis=1), 512
    beats: list[float] = []
    tempo = aubio.tempo("default", 1024, hop, rate)
    for start in range(0, len(mono) - hop, hop):
        if tempo(np.ascontiguousarray(mono[start : start + hop])):
            beats.append(float(tempo.get_last_s()))
    bpm = 60 / float(np.median(np.diff(beats))) if len(beats) > 2 else None
    return {"tempo_bpm": bpm, "beats_s": beats}


for line in sys.stdin:
    print(json.dumps({"path": line.strip(), **analyse(line.strip())}), flush=True)
