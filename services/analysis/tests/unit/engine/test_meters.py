"""Loudness of encoded files beside other meters: FFmpeg's ebur128 and pyloudnorm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pyloudnorm
import pytest
import soundfile
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from tonearm_analysis.engine import Parameters, analyze_whole
from tonearm_contracts.analysis_result import Loudness

Signal = NDArray[np.float64]
Encode = Callable[..., Path]
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def piece(music: Signal) -> Signal:
    """Return 48 s of changing level in six channels, each another mix, shape (n, 6)."""
    long = np.concatenate([music, music[::-1], music, music[::-1]])
    seconds = np.arange(len(long)) / 44_100
    swell = 10 ** (5 * np.sin(2 * np.pi * seconds / 17) / 20)[:, None]
    mixes = np.array([[1, 0], [0, 1], [0.5, 0.5], [0.3, -0.2], [0.6, 0.1], [0.1, 0.6]])
    mixed = long * swell @ mixes.T
    return np.asarray(mixed / np.abs(mixed).max() * 0.95, np.float64)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.opus", "libopus"), ("a.flac", "flac")],
)
def test_files_agree_with_ffmpeg(
    encode: Encode, piece: Signal, name: str, codec: str, channels: int
) -> None:
    rate_hz = 48_000 if codec == "libopus" else 44_100
    assert_agrees(encode(piece[:, :channels], name, codec=codec, rate_hz=rate_hz))


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.flac", "flac")])
def test_surround_files_agree_with_ffmpeg(
    encode: Encode, piece: Signal, name: str, codec: str
) -> None:
    assert_agrees(encode(piece, name, codec=codec))


@pytest.mark.parametrize(
    ("name", "channels"), [("a.ogg", 1), ("a.ogg", 2), ("a.ogg", 6), ("a.wav", 1), ("a.wav", 2)]
)
def test_libsndfiles_files_agree_with_ffmpeg(
    write: Write, piece: Signal, name: str, channels: int
) -> None:
    subtype = {"a.ogg": None, "a.wav": "PCM_16"}[name]
    if name == "a.ogg" and channels == 6:
        # The writer takes the channels in Ogg's order.
        piece = piece[:, [0, 2, 1, 4, 5, 3]]
    assert_agrees(write(piece[:, :channels], name, subtype=subtype))


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_files_agree_with_pyloudnorm(write: Write, piece: Signal, name: str) -> None:
    path = write(piece[:, :2], name, subtype="PCM_16" if name.endswith("flac") else None)
    samples, rate_hz = soundfile.read(path)
    expected = pyloudnorm.Meter(rate_hz, filter_class="DeMan").integrated_loudness(samples)
    assert measured(path).integrated_lufs == pytest.approx(expected, abs=0.1)


def assert_agrees(path: Path) -> None:
    found, expected = measured(path), ebur128(path)
    assert found.integrated_lufs == pytest.approx(expected["I"], abs=0.1)
    assert found.range_lu == pytest.approx(expected["LRA"], abs=0.1)
    assert found.true_peak_dbtp is not None
    assert -0.4 <= found.true_peak_dbtp - expected["true_peak_dbtp"] <= 0.2


def measured(path: Path) -> Loudness:
    result = analyze_whole(path, parameters=Parameters(profile="fast"))
    assert result.loudness is not None
    return result.loudness


def ebur128(path: Path) -> dict[str, float]:
    """Return what FFmpeg's meter says of a file that FFmpeg decodes."""
    metadata: dict[str, str] = {}
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        context = stream.codec_context
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=context.sample_rate,
            format=context.format.name,
            layout=context.layout.name,
            time_base=Fraction(1, context.sample_rate),
        )
        meter, sink = graph.add("ebur128", "metadata=1:peak=true"), graph.add("abuffersink")
        source.link_to(meter)
        meter.link_to(sink)
        graph.configure()
        for frame in container.decode(stream):
            frame.pts = None
            source.push(frame)
            for measured_frame in pulled(graph):
                metadata = dict(measured_frame.metadata)
    return {
        "I": float(metadata["lavfi.r128.I"]),
        "LRA": float(metadata["lavfi.r128.LRA"]),
        "true_peak_dbtp": 20 * np.log10(float(metadata["lavfi.r128.true_peak"])),
    }


def pulled(graph: Any) -> Iterator[AudioFrame]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
