"""Small audio files of every format that we take, made here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE_HZ = 44_100

FORMATS = {
    "wav": ("wav", "pcm_s24le", "s32"),
    "flac": ("flac", "flac", "s16"),
    "mp3": ("mp3", "libmp3lame", "s16p"),
    "ogg": ("ogg", "vorbis", "fltp"),
    "opus": ("ogg", "libopus", "s16"),
    "m4a": ("ipod", "aac", "fltp"),
    "aac": ("adts", "aac", "fltp"),
    "aiff": ("aiff", "pcm_s16be", "s16"),
}


def make(path: Path, name: str, *, duration_s: float = 2.0, title: str = "") -> Path:
    """Write a stereo tone in the format called `name`."""
    container_format, codec, layout = FORMATS[name]
    rate_hz = 48_000 if name == "opus" else RATE_HZ
    n = int(duration_s * rate_hz)
    wave = np.sin(np.arange(n) * 2 * np.pi * 440 / rate_hz) * 0.3
    samples = np.repeat((wave * 32767).astype(np.int16), 2).reshape(1, -1)
    with av.open(str(path), "w", format=container_format) as container:
        if title:
            container.metadata["title"] = title
        options = {"strict": "experimental"} if codec == "vorbis" else {}
        stream = container.add_stream(codec, rate=rate_hz, options=options)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "stereo"
        stream.codec_context.format = layout
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
        resampler = av.AudioResampler(
            format=layout, layout="stereo", rate=rate_hz, frame_size=stream.codec_context.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def make_video(path: Path) -> Path:
    """Write an MP4 with a picture and no sound."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            picture = np.zeros((64, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
