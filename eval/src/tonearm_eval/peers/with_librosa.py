"""Adapter: librosa (ISC) 1.0.0.  Two tempo estimators; chroma_cqt with three pairs of profiles.

    uv venv -p 3.12 .local/peers/librosa && uv pip install \\
        --python .local/peers/librosa/bin/python librosa==1.0.0 soundfile
"""

import json
import sys
import time

import librosa
import numpy as np

# Key profiles as published: Krumhansl and Kessler 1982, Temperley 1999, Albrecht and Shanahan 2013.
PROFILES = {
    "Krumhansl": (
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ),
    "Temperley": (
        [5.0, 2.0, 3.5, 2.0, 4.5, 4.0, 2.0, 4.5, 2.0, 3.5, 1.5, 4.0],
        [5.0, 2.0, 3.5, 4.5, 2.0, 4.0, 2.0, 4.5, 3.5, 2.0, 1.5, 4.0],
    ),
    "Albrecht": (
        [0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081],
        [0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052],
    ),
}
NAMES = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]


def key_of(
    chroma: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    profiles: tuple[list[float], list[float]],
) -> str:
    """The key whose profile correlates best."""
    major, minor = profiles
    fits = [
        (np.corrcoef(np.roll(profile, tonic), chroma)[0, 1], f"{NAMES[tonic]} {mode}")
        for mode, profile in (("major", major), ("minor", minor))
        for tonic in range(12)
    ]
    return max(fits)[1]


def analyse(path: str) -> dict[str, object]:
    """What each setting answers."""
    sound, rate = librosa.load(path, sr=22050)
    bpm, beats = librosa.beat.beat_track(y=sound, sr=rate, units="time")
    tempo = librosa.feature.tempo(y=sound, sr=rate)
    chroma = librosa.feature.chroma_cqt(y=sound, sr=rate).mean(axis=1)
    return {
        "beat_track": {
            "tempo_bpm": float(np.atleast_1d(bpm)[0]),
            "beats_s": [float(t) for t in beats],
        },
        "feature.tempo": {"tempo_bpm": float(np.atleast_1d(tempo)[0])},
        **{f"chroma_cqt, {name}": {"key": key_of(chroma, p)} for name, p in PROFILES.items()},
    }


for line in sys.stdin:
    start_s = time.process_time()
    settings = analyse(line.strip())
    cpu_s = round(time.process_time() - start_s, 4)
    print(json.dumps({"path": line.strip(), "cpu_s": cpu_s, "settings": settings}), flush=True)
