"""Adapter: essentia (AGPL-3.0) 2.1b6.  RhythmExtractor2013 multifeature, KeyExtractor bgate.

    uv venv .local/peers/essentia && uv pip install --python .local/peers/essentia/bin/python \\
        essentia==2.1b6.dev1389 soundfile
"""

import json
import sys

import essentia  # type: ignore[import-not-found]
import essentia.standard as es  # type: ignore[import-not-found]

essentia.log.infoActive = False
essentia.log.warningActive = False


def analyse(path: str) -> dict[str, object]:
    """Tempo, beats and key of a file."""
    sound = es.MonoLoader(filename=path, sampleRate=44100)()
    bpm, beats, *_ = es.RhythmExtractor2013(method="multifeature")(sound)
    tonic, mode, _ = es.KeyExtractor(profileType="bgate")(sound)
    chroma = es.HPCP(size=36, harmonics=8)
    peaks = es.SpectralPeaks(
        maxPeaks=60, minFrequency=40, maxFrequency=5000, magnitudeThreshold=1e-5
    )
    window, spectrum = es.Windowing(type="blackmanharris62"), es.Spectrum()
    frames = [
        chroma(*peaks(spectrum(window(frame))))
        for frame in es.FrameGenerator(sound, frameSize=8192, hopSize=2048, startFromZero=False)
    ]
    labels, _ = es.ChordsDetection(hopSize=2048, windowSize=2)(essentia.array(frames))
    step = 2048 / 44100
    chords = [
        [k * step, (k + 1) * step, name[:-1] + ":min" if name.endswith("m") else name]
        for k, name in enumerate(labels)
    ]
    return {
        "tempo_bpm": bpm,
        "beats_s": [float(t) for t in beats],
        "key": f"{tonic} {mode}",
        "chords": chords,
    }


for line in sys.stdin:
    print(json.dumps({"path": line.strip(), **analyse(line.strip())}), flush=True)
