"""What happens to sound on its way: noise, saturation, dull or bright rooms, lossy codecs."""

from __future__ import annotations

import io
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import butter, correlate, sosfilt

from tonearm_eval.generator.synth import SAMPLE_RATE_HZ

Floats = npt.NDArray[np.float32]

CODECS: Final = {
    "mp3": ("mp3", "libmp3lame", SAMPLE_RATE_HZ),
    "aac": ("adts", "aac", SAMPLE_RATE_HZ),
    "opus": ("ogg", "libopus", 48_000),
}


def noise(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Floats:
    """White, pink or brown noise, or mains hum, of unit power."""
    n = shape[0]
    if kind == "hum":
        when = np.arange(n)[:, None] / SAMPLE_RATE_HZ
        wave = sum(np.sin(2 * np.pi * 50 * k * when) / k for k in (1, 2, 3, 5, 7))
        out = np.broadcast_to(np.asarray(wave), shape) + 0.05 * rng.standard_normal(shape)
    else:
        out = rng.standard_normal(shape)
        slope = {"white": 0.0, "pink": 0.5, "brown": 1.0}[kind]
        if slope:
            hz = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ), 20.0)[:, None]
            out = np.fft.irfft(np.fft.rfft(out, axis=0) / hz**slope, n, axis=0)
    return np.asarray(out / np.sqrt(np.mean(out**2)), np.float32)


def with_noise(rng: np.random.Generator, sound: Floats, kind: str, snr_db: float) -> Floats:
    """The sound with noise that much below it."""
    gain = np.sqrt(np.mean(sound**2)) * 10 ** (-snr_db / 20)
    return np.asarray(sound + gain * noise(rng, (len(sound), sound.shape[1]), kind), np.float32)


def saturated(sound: Floats, drive: float) -> Floats:
    """Soft clipping."""
    return np.asarray(np.tanh(drive * sound) / np.tanh(drive), np.float32)


def filtered(sound: Floats, kind: str) -> Floats:
    """Through a telephone-like or a muffled band."""
    edges: Any = {"thin": [250.0, 6_000.0], "dull": [30.0, 2_500.0]}[kind]
    sos = butter(2, edges, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfilt(sos, sound, axis=0), np.float32)


def recoded(sound: Floats, codec: str, kbps: int) -> Floats:
    """Encoded and decoded; the delay is removed by correlation, the length kept."""
    if codec == "vorbis":
        return _aligned(_vorbis(sound, kbps), sound)
    container, encoder, rate = CODECS[codec]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream(encoder, rate=rate)
        stream.bit_rate, stream.layout = kbps * 1000, "stereo"
        samples = np.clip(sound, -1, 1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout="stereo"
        )
        frame.sample_rate = SAMPLE_RATE_HZ
        resampler = av.AudioResampler(
            format=stream.format, layout="stereo", rate=rate, frame_size=stream.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    buffer.seek(0)
    back = av.AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE_HZ)
    with av.open(buffer, "r") as source:
        pieces = [f.to_ndarray() for raw in source.decode(audio=0) for f in back.resample(raw)]
    decoded = np.concatenate(pieces, axis=1).T.astype(np.float32)
    return _aligned(decoded, sound)


def _vorbis(sound: Floats, kbps: int) -> Floats:
    """Through libsndfile, whose scale runs from 0 (best) to 1."""
    buffer = io.BytesIO()
    level = float(np.clip(1.0 - kbps / 500, 0.0, 1.0))
    soundfile.write(
        buffer, sound, SAMPLE_RATE_HZ, format="OGG", subtype="VORBIS", compression_level=level
    )
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32", always_2d=True)
    return np.asarray(decoded, np.float32)


def _aligned(decoded: Floats, sound: Floats) -> Floats:
    """The decoded sound moved and cut so that it lies on the original."""
    span = slice(len(sound) // 3, min(len(sound), len(sound) // 3 + (1 << 17)))
    stop = min(span.stop, len(decoded))
    a, b = decoded[span.start : stop].mean(axis=1), sound[span.start : stop].mean(axis=1)
    lag = int(np.argmax(correlate(a, b, "full", method="fft"))) - (len(b) - 1)
    moved = decoded[lag:] if lag >= 0 else np.pad(decoded, ((-lag, 0), (0, 0)))
    moved = np.pad(moved, ((0, max(0, len(sound) - len(moved))), (0, 0)))
    return np.asarray(moved[: len(sound)], np.float32)
