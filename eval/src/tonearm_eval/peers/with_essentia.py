"""Adapter: essentia (AGPL-3.0) 2.1b6.  Three tempo methods, five key profiles, two chord finders.

    uv venv .local/peers/essentia && uv pip install --python .local/peers/essentia/bin/python \\
        essentia==2.1b6.dev1389 soundfile
"""

import json
import sys
import time
from itertools import pairwise

import essentia  # type: ignore[import-not-found]
import essentia.standard as es  # type: ignore[import-not-found]

RATE, FRAME, HOP = 44_100, 8_192, 2_048
PROFILES = ("bgate", "braw", "shaath", "temperley", "krumhansl")

essentia.log.infoActive = False
essentia.log.warningActive = False


def pitch_profiles(sound: object, *, whitened: bool) -> object:
    """Pitch classes of each frame; whitened is what MusicExtractor does."""
    peaks = es.SpectralPeaks(
        maxPeaks=60, minFrequency=40, maxFrequency=5000, magnitudeThreshold=1e-5
    )
    window, spectrum = es.Windowing(type="blackmanharris62"), es.Spectrum()
    white, chroma = es.SpectralWhitening(), es.HPCP(size=36, harmonics=8)
    frames = []
    for frame in es.FrameGenerator(sound, frameSize=FRAME, hopSize=HOP, startFromZero=False):
        shape = spectrum(window(frame))
        hz, size = peaks(shape)
        frames.append(chroma(hz, white(shape, hz, size) if whitened else size))
    return essentia.array(frames)


def triad(name: str) -> str:
    """ "Am" -> "A:min"."""
    return name[:-1] + ":min" if name.endswith("m") else name


def chords(sound: object, beats: list[float]) -> dict[str, object]:
    """Chords by frame and by beat."""
    out: dict[str, object] = {}
    step = HOP / RATE
    for name, whitened in (("plain", False), ("whitened", True)):
        profiles = pitch_profiles(sound, whitened=whitened)
        labels, _ = es.ChordsDetection(hopSize=HOP, windowSize=2)(profiles)
        spans = [[k * step, (k + 1) * step, triad(label)] for k, label in enumerate(labels)]
        out[f"ChordsDetection, {name}"] = {"chords": spans}
        if len(beats) > 2:
            labels, _ = es.ChordsDetectionBeats(hopSize=HOP)(profiles, essentia.array(beats))
            spans = [[*two, triad(k)] for two, k in zip(pairwise(beats), labels, strict=False)]
            out[f"ChordsDetectionBeats, {name}"] = {"chords": spans}
    return out


def analyse(path: str) -> dict[str, object]:
    """What each setting answers."""
    sound = es.MonoLoader(filename=path, sampleRate=RATE)()
    out: dict[str, object] = {}
    beats: list[float] = []
    for method in ("multifeature", "degara"):
        bpm, ticks, *_ = es.RhythmExtractor2013(method=method)(sound)
        beats = [float(t) for t in ticks]
        out[f"RhythmExtractor2013 {method}"] = {"tempo_bpm": bpm, "beats_s": beats}
    out["PercivalBpmEstimator"] = {"tempo_bpm": es.PercivalBpmEstimator()(sound)}
    for profile in PROFILES:
        tonic, mode, _ = es.KeyExtractor(profileType=profile)(sound)
        out[f"KeyExtractor {profile}"] = {"key": f"{tonic} {mode}"}
    return out | chords(sound, beats)


for line in sys.stdin:
    start_s = time.process_time()
    settings = analyse(line.strip())
    cpu_s = round(time.process_time() - start_s, 4)
    print(json.dumps({"path": line.strip(), "cpu_s": cpu_s, "settings": settings}), flush=True)
