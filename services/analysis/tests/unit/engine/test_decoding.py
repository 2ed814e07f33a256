"""Decoding: exact lengths and positions from every container, precise errors from the rest."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tonearm_analysis.engine import DEFAULT_LIMITS, AudioError, Limits
from tonearm_analysis.engine.decoding import SourceFormat, blocks_of, open_source
from tonearm_analysis.engine.decoding.ffmpeg import without_padding

Signal = NDArray[np.float64]
Write = Callable[..., Path]


def decode(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> tuple[SourceFormat, Signal]:
    with open_source(path, limits=limits) as source:
        blocks = [block.astype(np.float64) for block in blocks_of(path, source)]
        return source.format, np.concatenate([np.empty((0, source.format.channels)), *blocks])


def encode(path: Path, samples: Signal, *, codec: str, rate_hz: int = 44_100) -> Path:
    """Write a file with FFmpeg's encoder; samples have shape (n, 2) at 44.1 kHz."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.astype(np.float32).reshape(1, -1)),
            format="flt",
            layout="stereo",
        )
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="stereo",
            rate=rate_hz,
            frame_size=stream.codec_context.frame_size or None,
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def lag_frames(found: Signal, expected: Signal) -> int:
    """Return by how many frames `found` lies behind, from the peak of the correlation."""
    size = 1 << int(np.ceil(np.log2(len(found) + len(expected))))
    product = np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size))
    at = int(np.argmax(np.fft.irfft(product, size)))
    return at if at < size // 2 else at - size


@pytest.mark.parametrize(
    ("name", "subtype", "codec", "error_max"),
    [
        ("a.wav", "PCM_16", "pcm_16", 2**-15),
        ("a.wav", "PCM_24", "pcm_24", 2**-23),
        ("a.wav", "FLOAT", "float", 1e-7),
        ("a.aiff", "PCM_16", "pcm_16", 2**-15),
        ("a.flac", "PCM_24", "pcm_24", 2**-23),
        ("a.caf", "ALAC_16", "alac_16", 2**-14),
    ],
)
def test_lossless_files_decode_to_the_sample(
    write: Write, music: Signal, name: str, subtype: str, codec: str, error_max: float
) -> None:
    path = write(music[:44_100], name, subtype=subtype)
    format, found = decode(path)
    assert format.codec == codec
    assert format.lossless
    assert format.decoder == "libsndfile"
    assert np.abs(found - music[:44_100]).max() <= error_max


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "mpeg_layer_iii"), ("a.ogg", "vorbis")])
def test_lossy_files_have_their_exact_length_and_place(
    write: Write, music: Signal, name: str, codec: str
) -> None:
    samples = music[: 44_100 * 3 + 17]
    format, found = decode(write(samples, name, subtype=None))
    assert (format.codec, format.lossless, format.bit_depth) == (codec, False, None)
    assert len(found) == len(samples)
    assert lag_frames(found[:, 0], samples[:, 0]) == 0


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.m4a", "aac", 44_100),
        ("a.m4a", "alac", 44_100),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.opus", "libopus", 48_000),
        ("a.webm", "libopus", 48_000),
    ],
)
def test_encoder_delay_and_padding_are_removed(
    tmp_path: Path, music: Signal, name: str, codec: str, rate_hz: int
) -> None:
    samples = music[: 44_100 * 3]
    format, found = decode(encode(tmp_path / name, samples, codec=codec, rate_hz=rate_hz))
    assert format.sample_rate_hz == rate_hz
    assert len(found) == pytest.approx(3 * rate_hz, abs=1)
    at = np.arange(len(found)) * (44_100 / rate_hz)
    expected = np.interp(at, np.arange(len(samples)), samples[:, 0])
    assert lag_frames(found[:, 0], expected) == 0


def test_padding_is_kept_when_the_stated_length_is_wrong() -> None:
    pieces = [np.full((1024, 1), k, dtype=np.float32) for k in range(8)]
    assert sum(map(len, without_padding(iter(pieces), frames_valid=1500))) == 8 * 1024
    assert sum(map(len, without_padding(iter(pieces), frames_valid=8000))) == 8000
    assert sum(map(len, without_padding(iter(pieces), frames_valid=None))) == 8 * 1024


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 32])
def test_any_rate_and_channel_count(write: Write, rate_hz: int, channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (rate_hz // 4 + 3, channels))
    format, found = decode(write(samples, rate_hz=rate_hz, subtype="PCM_24"))
    assert (format.sample_rate_hz, format.channels) == (rate_hz, channels)
    assert found.shape == samples.shape
    assert np.abs(found - samples).max() < 1e-6


def damaged(path: Path, change: Callable[[bytearray], object]) -> Path:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


@pytest.fixture
def wav(write: Write, music: Signal) -> Path:
    return write(music[:44_100], subtype="PCM_16")


def text(directory: Path, name: str, content: str) -> Path:
    path = directory / name
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("song.mp3", "no music at all\n" * 400, "not_audio"),
        ("song.wav", "RIFF", "not_audio"),
        ("empty.flac", "", "empty"),
        ("list.m3u8", "#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n", "not_audio"),
        ("list.ffconcat", "ffconcat version 1.0\nfile signal.wav\n", "not_audio"),
    ],
)
def test_what_is_no_audio_is_refused(
    tmp_path: Path, wav: Path, name: str, content: str, code: str
) -> None:
    with pytest.raises(AudioError) as refused:
        decode(text(tmp_path, name, content))
    assert refused.value.code == code
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("offset", "format", "value"),
    [(22, "<H", 0), (24, "<I", 0)],
    ids=["no channels", "no sample rate"],
)
def test_impossible_headers_are_refused(wav: Path, offset: int, format: str, value: int) -> None:
    damaged(wav, lambda content: struct.pack_into(format, content, offset, value))
    with pytest.raises(AudioError, match=r"neither|known") as refused:
        decode(wav)
    assert refused.value.code == "not_audio"


def test_a_film_without_sound_has_no_audio_stream(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError) as refused:
        decode(path)
    assert refused.value.code == "no_audio_stream"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(duration_s_max=0.5), "too_long"),
        (Limits(channels_max=1), "too_many_channels"),
        (Limits(sample_rate_hz_max=22_050), "unsupported_rate"),
    ],
)
def test_limits_hold(wav: Path, limits: Limits, code: str) -> None:
    with pytest.raises(AudioError) as refused:
        decode(wav, limits=limits)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.mp3"])
def test_a_cut_file_gives_what_decodes(write: Write, music: Signal, name: str) -> None:
    subtype = None if name.endswith("mp3") else "PCM_16"
    path = write(music[: 44_100 * 8], name, subtype=subtype)
    damaged(path, lambda content: content.__delitem__(slice(len(content) // 2, None)))
    with open_source(path, limits=DEFAULT_LIMITS) as source:
        frames = sum(len(block) for block in blocks_of(path, source))
        assert source.truncated
    assert 3 <= frames / 44_100 <= 5


def test_damage_at_the_start_is_passed_over(write: Write, music: Signal) -> None:
    path = write(music[: 44_100 * 8], "a.flac", subtype="PCM_16")
    damaged(path, lambda content: content.__setitem__(9000, content[9000] ^ 255))
    with open_source(path, limits=DEFAULT_LIMITS) as source:
        frames = sum(len(block) for block in blocks_of(path, source))
        assert source.truncated
        assert source.warnings
    assert frames / 44_100 > 7


def test_the_name_does_not_decide(write: Write, music: Signal, tmp_path: Path) -> None:
    path = write(music[:4410], "a.flac", subtype="PCM_16").rename(tmp_path / "a.raw")
    assert decode(path)[0].format == "flac"


def test_a_missing_file_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "absent.wav")


def test_a_file_of_one_sample(write: Write) -> None:
    assert decode(write(np.array([0.25])))[1].tolist() == [[0.25]]


def test_blocks_are_bounded_and_whole_but_for_the_last(write: Write) -> None:
    path = write(np.zeros(300_000), subtype="PCM_16")
    with open_source(path, limits=DEFAULT_LIMITS) as source:
        sizes = [len(block) for block in source.blocks()]
    assert sum(sizes) == 300_000
    assert {size % 1024 for size in sizes[:-1]} == {0}
    assert max(sizes) <= 131_072


def test_soundfile_agrees_on_the_length(write: Write, music: Signal) -> None:
    path = write(music, "a.mp3", subtype=None)
    assert soundfile.info(path).frames == len(decode(path)[1])
