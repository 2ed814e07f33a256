"""Decoding by FFmpeg's libraries (PyAV): AAC, ALAC, WMA, Matroska, AMR and what else there is.

Encoder delay and padding (edit lists, iTunSMPB, pre-skip) are dropped by the decoder, which
FFmpeg tells through skip-samples side data; what fills the last packet of an MP4 is cut here.
Only a list of plain containers is opened: a playlist would make the decoder read other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from tonearm_analysis.engine.decoding.source import Source, SourceFormat, block_frames
from tonearm_analysis.engine.errors import AudioError

_CONTAINERS = (
    "aac,ac3,aiff,alp,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,gsm,"
    "iff,ircam,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,qcp,rm,rso,shn,sox,"
    "tak,truehd,tta,voc,w64,wav,wsaud,wv,xwma"
)
_LOSSLESS = {"alac", "flac", "ape", "tta", "wavpack", "tak", "truehd", "mlp", "shorten"}
_LENGTH_IN_HEADER = {
    "mov",
    "matroska",
    "flac",
    "wav",
    "w64",
    "aiff",
    "caf",
    "asf",
    "ape",
    "tta",
    "wv",
}
_FULL_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 9223372036854775808.0}
PADDING_MAX = 4096
"""Longest padding behind the music: two packets of any codec in use."""
PLANES_UNREADABLE_FROM = 8
"""The library looks for the end of a frame's planes behind the eighth, in memory that is not its."""
BAD_PACKETS_MAX = 1000
"""Undecodable packets after which reading stops."""


class _FfmpegSource:
    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream
        context = stream.codec_context
        codec: str = context.name
        lossless = codec in _LOSSLESS or codec.startswith("pcm_")
        self.format = SourceFormat(
            format=container.format.name.split(",")[0],
            codec=codec,
            sample_rate_hz=context.sample_rate,
            channels=context.layout.nb_channels,
            bit_depth=_bit_depth(context) if lossless else None,
            lossless=lossless,
            decoder="ffmpeg",
            frames_stated=_frames_stated(container, stream),
        )
        self._frames_valid = _frames_valid(container, self.format.frames_stated)
        self.truncated = self.damaged = False
        self.warnings: list[str] = []

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        size = block_frames(self.format.channels)
        pending: list[NDArray[np.float32]] = []
        held = frames = 0
        for samples in without_padding(self._samples(), frames_valid=self._frames_valid):
            pending.append(samples)
            held += len(samples)
            if held < size:
                continue
            joined = np.concatenate(pending)
            whole = held // size * size
            for start in range(0, whole, size):
                yield joined[start : start + size]
            frames += whole
            held -= whole
            pending = [joined[whole:]]
        if held:
            frames += held
            yield np.concatenate(pending)
        self._check_length(frames)

    def _samples(self) -> Iterator[NDArray[np.float32]]:
        format = self.format
        for frame in self._readable(self._frames()):
            rate, channels = frame.sample_rate, frame.layout.nb_channels
            if (rate, channels) != (format.sample_rate_hz, format.channels):
                self.truncated = True
                self.warnings.append("The audio format changes midway; the rest is left out.")
                return
            yield _samples(frame, channels)

    def _readable(self, frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
        """Yield frames of which an array can be made."""
        if self.format.channels < PLANES_UNREADABLE_FROM:
            yield from frames
            return
        packer: av.AudioResampler | None = None
        for frame in frames:
            if not frame.format.is_planar:
                yield frame
                continue
            if packer is None:
                # Neither the rate nor the layout is named: both stay, only samples move.
                packer = av.AudioResampler(format=frame.format.packed)
            yield from packer.resample(frame)
        if packer is not None:
            yield from packer.resample(None)

    def _frames(self) -> Iterator[AudioFrame]:
        bad_packets = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                decoded = packet.decode()
            except av.error.EOFError:
                break
            except (av.error.InvalidDataError, av.error.FFmpegError):
                bad_packets += 1
                if bad_packets > BAD_PACKETS_MAX:
                    self.truncated = True
                    break
                continue
            yield from (frame for frame in decoded if frame.samples)
        if bad_packets:
            self.warnings.append(f"Packets that could not be decoded: {bad_packets}.")

    def _check_length(self, frames: int) -> None:
        stated = self.format.frames_stated
        tolerance = self.format.sample_rate_hz // 4
        if stated is not None and frames < stated - tolerance:
            self.truncated = True

    def close(self) -> None:
        self._container.close()


def open_ffmpeg(path: Path) -> Source:
    """Return an open source. Raises AudioError when there is no audio that FFmpeg decodes."""
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        # Tags are often in no UTF-8, and none that is read here needs it.
        container = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as problem:
        raise AudioError("not_audio", "The file is in no audio format that is known.") from problem
    try:
        return _source(container)
    except BaseException:
        container.close()
        raise


def _source(container: Any) -> Source:
    streams = container.streams.audio
    if not streams:
        raise AudioError("no_audio_stream", "The file holds no audio stream.")
    stream = container.streams.best("audio") or streams[0]
    try:
        context = stream.codec_context
        if context is None:
            raise AudioError("unsupported_codec", "The audio's codec is not supported.")
        if context.sample_rate < 1 or context.layout.nb_channels < 1:
            raise AudioError("not_audio", "The audio states neither a rate nor channels.")
        context.thread_count = 1
        context.open(strict=False)
    except (av.error.FFmpegError, ValueError) as problem:
        raise AudioError("unsupported_codec", "The audio's codec is not supported.") from problem
    return _FfmpegSource(container, stream)


def _frames_stated(container: Any, stream: Any) -> int | None:
    if container.format.name.split(",")[0] not in _LENGTH_IN_HEADER:
        return None  # a guess from the bit rate
    rate = stream.codec_context.sample_rate
    if stream.duration and stream.time_base:
        return int(stream.duration * stream.time_base * rate)
    if container.duration:
        return int(container.duration * rate // av.time_base)
    return None


def _frames_valid(container: Any, frames_stated: int | None) -> int | None:
    """Return how many frames are music where the last packet is filled up, or None.

    The note of iTunes counts samples; an edit list may count milliseconds only. A note that is
    further from the header's length than padding can be is not believed.
    """
    is_mov = container.format.name.startswith("mov")
    noted = _frames_noted(container.metadata.get("iTunSMPB", ""))
    if noted and (frames_stated is None or abs(frames_stated - noted) <= PADDING_MAX):
        return noted
    return frames_stated if is_mov else None


def _frames_noted(note: str) -> int | None:
    """Return the length in an iTunSMPB note: zeros, delay, padding, length, all hexadecimal."""
    fields = note.split()
    try:
        return int(fields[3], 16) if len(fields) >= 4 else None
    except ValueError:
        return None


def without_padding(
    pieces: Iterator[NDArray[np.float32]], *, frames_valid: int | None
) -> Iterator[NDArray[np.float32]]:
    """Yield the pieces without what an encoder appended to fill its last packet.

    frames_valid: how many frames are music; None if nobody says. When more than PADDING_MAX
    frames lie behind them, the number is wrong and everything is yielded.
    """
    frames = 0
    beyond: list[NDArray[np.float32]] = []
    for piece in pieces:
        if frames_valid is None:
            yield piece
            continue
        music = min(max(frames_valid - frames, 0), len(piece))
        frames += len(piece)
        if music:
            yield piece[:music]
        if music < len(piece):
            beyond.append(piece[music:])
        if frames - frames_valid > PADDING_MAX:
            yield from beyond
            frames_valid, beyond = None, []


def _bit_depth(context: Any) -> int | None:
    raw = getattr(context, "bits_per_coded_sample", 0) or 0
    if raw:
        return int(raw)
    sample_format = context.format
    return int(sample_format.bits) if sample_format is not None else None


def _samples(frame: AudioFrame, channels: int) -> NDArray[np.float32]:
    """Return a frame as float32, shape (n, channels), full scale 1."""
    raw = frame.to_ndarray()
    interleaved = raw.T if frame.format.is_planar else raw.reshape(-1, channels)
    kind = frame.format.name.removesuffix("p")
    scale = _FULL_SCALE.get(kind)
    if scale is None:
        return np.ascontiguousarray(interleaved, dtype=np.float32)
    centred = interleaved.astype(np.float64)
    if kind == "u8":
        centred -= 128.0
    return np.ascontiguousarray((centred / scale).astype(np.float32))
