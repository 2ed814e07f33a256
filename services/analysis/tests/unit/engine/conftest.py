"""Signals with known answers, and files that hold them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Write = Callable[..., Path]

_BARS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))
"""Chords of two seconds each, in semitones over C."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes samples, shape (n,) or (n, channels), to a new file."""

    def write_file(
        samples: NDArray[np.generic],
        name: str = "signal.wav",
        *,
        rate_hz: int = 44_100,
        subtype: str | None = "FLOAT",
    ) -> Path:
        path = tmp_path / name
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        with soundfile.SoundFile(path, "w", rate_hz, channels, subtype=subtype) as file:
            # In pieces: some encoders keep a whole write on the stack.
            for start in range(0, len(samples), 1024):
                file.write(samples[start : start + 1024])
        return path

    return write_file


@pytest.fixture
def encode(tmp_path: Path) -> Write:
    """Return a function that writes samples, shape (n, channels), with one of FFmpeg's encoders."""

    def encode_file(
        samples: NDArray[np.generic],
        name: str,
        *,
        codec: str,
        rate_hz: int = 44_100,
        tags: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> Path:
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
        with av.open(str(tmp_path / name), "w", options=options or {}) as container:
            container.metadata.update(tags or {})
            stream = container.add_stream(codec, rate=rate_hz, layout=layout)
            assert isinstance(stream, av.AudioStream)
            context = stream.codec_context
            context.open()
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples.astype(np.float32).reshape(1, -1)),
                format="flt",
                layout=layout,
            )
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            resampler = av.AudioResampler(
                format=context.format,
                layout=layout,
                rate=rate_hz,
                frame_size=context.frame_size or None,
            )
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        return tmp_path / name

    return encode_file


@pytest.fixture(scope="session")
def music() -> Signal:
    """Return 12 s of stereo music-like sound at 44.1 kHz: chords, a pulse at 120 bpm, noise."""
    return synthesize(duration_s=12.0, rate_hz=44_100)


def synthesize(*, duration_s: float, rate_hz: int) -> Signal:
    """Return chords over a pulse, shape (n, 2), below full scale; the same in every run."""
    random = np.random.default_rng(20_261_122)
    seconds = np.arange(round(duration_s * rate_hz)) / rate_hz
    out = np.zeros((len(seconds), 2))
    bar_frames = 2 * rate_hz
    for start in range(0, len(seconds), bar_frames):
        within = seconds[: min(bar_frames, len(seconds) - start)]
        part = out[start : start + len(within)]
        for voice, degree in enumerate(_BARS[start // bar_frames % len(_BARS)]):
            hz = 261.6256 * 2 ** (degree / 12)
            tone = sum(np.sin(2 * np.pi * k * hz * within) / k**1.5 for k in range(1, 6))
            part[:, voice % 2] += 0.06 * np.exp(-within) * tone
            part[:, 1 - voice % 2] += 0.03 * np.exp(-within) * tone
    since_beat = np.mod(seconds, 0.5)
    click = np.exp(-60 * since_beat) * random.standard_normal(len(seconds))
    kick = np.exp(-25 * since_beat) * np.sin(2 * np.pi * 60 * since_beat)
    hiss = 1e-4 * random.standard_normal(out.shape)
    return np.asarray(out + (0.10 * click + 0.25 * kick)[:, None] + hiss, np.float64)
