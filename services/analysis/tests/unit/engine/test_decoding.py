"""Decoding: exact lengths and positions from every container, precise errors from the rest."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tonearm_analysis.engine import DEFAULT_LIMITS, AudioError, Limits
from tonearm_analysis.engine.decoding import SourceFormat, blocks_of, open_source
from tonearm_analysis.engine.decoding import source as source_module
from tonearm_analysis.engine.decoding.ffmpeg import open_ffmpeg, without_padding

Signal = NDArray[np.float64]
Write = Callable[..., Path]
Encode = Callable[..., Path]


def decode(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> tuple[SourceFormat, Signal]:
    with open_source(path, limits=limits) as source:
        blocks = [block.astype(np.float64) for block in blocks_of(path, source)]
        return source.format, np.concatenate([np.empty((0, source.format.channels)), *blocks])


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
        ("a.flac", "PCM_24", "flac", 2**-23),
        ("a.caf", "ALAC_16", "alac", 2**-14),
    ],
)
def test_lossless_files_decode_to_the_sample(
    write: Write, music: Signal, name: str, subtype: str, codec: str, error_max: float
) -> None:
    path = write(music[:44_100], name, subtype=subtype)
    format, found = decode(path)
    assert format.codec == codec
    assert format.lossless
    assert format.bit_depth == {"PCM_24": 24, "FLOAT": 32}.get(subtype, 16)
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


@pytest.mark.parametrize("frames", [3 * 48_000, 2 * 48_000 + 331])
@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.m4a", "aac", 44_100),
        ("a.m4a", "aac", 22_050),
        ("a.mov", "aac", 48_000),
        ("a.m4a", "alac", 44_100),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.opus", "libopus", 48_000),
        ("a.webm", "libopus", 48_000),
    ],
)
def test_encoder_delay_and_padding_are_removed(
    encode: Encode, music: Signal, name: str, codec: str, rate_hz: int, frames: int
) -> None:
    """Edit lists, the LAME header, Opus' pre-skip: exact length, the music in its place."""
    samples = music[:frames]
    exact = {"movie_timescale": str(rate_hz)} if name.endswith(("m4a", "mov")) else None
    format, found = decode(encode(samples, name, codec=codec, rate_hz=rate_hz, options=exact))
    assert format.sample_rate_hz == rate_hz
    assert len(found) == frames
    assert lag_frames(found[:, 0], samples[:, 0]) == 0


@pytest.mark.parametrize("at", [0, 20_000, 43_999])
@pytest.mark.parametrize(
    ("name", "codec"), [("a.m4a", "aac"), ("a.mp3", "libmp3lame"), ("a.m4a", "alac")]
)
def test_a_click_stays_at_its_sample(encode: Encode, name: str, codec: str, at: int) -> None:
    samples = np.zeros((44_100, 2))
    samples[at] = 0.9
    _, found = decode(encode(samples, name, codec=codec))
    assert int(np.abs(found[:, 0]).argmax()) == at


def test_tags_in_another_encoding_do_not_matter(encode: Encode, music: Signal) -> None:
    path = encode(music, "old.m4a", codec="aac", tags={"title": "Cafe Zzzz"})
    whole = path.read_bytes()
    assert whole.count(b"Zzzz") == 1
    path.write_bytes(whole.replace(b"Zzzz", "né é".encode("latin-1")))
    form, _ = decode(path)
    assert form.codec == "aac"


def test_raw_aac_says_nothing_of_its_delay_and_keeps_it(encode: Encode, music: Signal) -> None:
    """ADTS has no place for it; encoders lead in with 1024 to 2112 samples. FFmpeg's: 1024."""
    samples = music[: 44_100 * 2]
    _, found = decode(encode(samples, "a.aac", codec="aac"))
    assert lag_frames(found[:, 0], samples[:, 0]) == 1024
    assert 0 <= len(found) - len(samples) - 1024 < 1024


@pytest.mark.parametrize(
    ("noted", "expected"),
    [("000000000001583D", 88_125), ("0000000000013880", 88_200), ("no number", 88_200)],
    ids=["believed", "too far from the header", "broken"],
)
def test_the_gapless_note_of_itunes_sets_the_length(
    encode: Encode, music: Signal, noted: str, expected: int
) -> None:
    path = encode(
        music[:88_200],
        "a.m4a",
        codec="aac",
        tags={"iTunSMPB": f" 00000000 00000400 00000000 {noted} 00000000"},
        options={"movflags": "use_metadata_tags"},
    )
    assert len(decode(path)[1]) == expected


def test_an_edit_list_in_milliseconds_is_exact_to_the_millisecond(
    encode: Encode, music: Signal
) -> None:
    _, found = decode(encode(music[:96_331], "a.m4a", codec="aac"))
    assert len(found) == pytest.approx(96_331, abs=45)
    assert lag_frames(found[:, 0], music[:96_331, 0]) == 0


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


@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_of_ogg_lie_in_the_usual_order(write: Write, channels: int) -> None:
    """Ogg's own order has the centre second and the LFE last; FFmpeg puts them right."""
    noise = np.random.default_rng(3).uniform(-1, 1, (44_100, 1))
    path = write(noise * 0.8 ** np.arange(channels), "a.ogg", subtype=None)
    frames = list(open_ffmpeg(path).blocks())
    expected = np.sqrt(np.mean(np.square(np.concatenate(frames), dtype=np.float64), axis=0))
    found = np.sqrt(np.mean(decode(path)[1] ** 2, axis=0))
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("channels", [7, 8])
def test_many_channels_from_ffmpeg(tmp_path: Path, channels: int) -> None:
    """Planar frames of eight are beyond the library's reader: repacked, to the sample."""
    samples = np.random.default_rng(3).integers(-30_000, 30_000, (20_000, channels), np.int32)
    path, layout = tmp_path / "a.mka", {7: "6.1", 8: "7.1"}[channels]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=44_100, layout=layout, format="s16")
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.open()
        step = stream.codec_context.frame_size
        for start in range(0, len(samples), step):
            piece = samples[start : start + step].astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout=layout)
            frame.sample_rate, frame.pts = 44_100, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = np.concatenate(list(open_ffmpeg(path).blocks()))
    assert np.array_equal(np.rint(found * 32_768).astype(np.int32), samples)


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


def test_without_ffmpeg_its_formats_are_refused_and_the_others_are_not(
    encode: Encode, wav: Path, music: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(music[:44_100], "a.m4a", codec="aac")
    monkeypatch.delitem(sys.modules, "tonearm_analysis.engine.decoding.ffmpeg")
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(decode(wav)[1]) == 44_100
    with pytest.raises(AudioError) as refused:
        decode(path)
    assert refused.value.code == "unsupported_codec"


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


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.ogg"])
def test_samples_do_not_depend_on_how_they_are_read(
    write: Write, music: Signal, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subtype = "PCM_16" if name.endswith("flac") else None
    path = write(music[: 44_100 * 6 : 2, :1], name, rate_hz=22_050, subtype=subtype)
    _, whole = decode(path)
    monkeypatch.setattr(source_module, "BLOCK_SAMPLES", 3 * 1024)
    _, pieces = decode(path)
    assert np.array_equal(pieces, whole)


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
    assert max(sizes) <= 196_608


def test_soundfile_agrees_on_the_length(write: Write, music: Signal) -> None:
    path = write(music, "a.mp3", subtype=None)
    assert soundfile.info(path).frames == len(decode(path)[1])
