"""Opening a recording with the decoder that knows it, and reading on past damage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.decoding.source import Source, SourceFormat, block_frames
from tonearm_analysis.engine.errors import AudioError
from tonearm_analysis.engine.limits import Limits


@contextmanager
def open_source(path: Path, *, limits: Limits) -> Iterator[Source]:
    """Open a recording with the first decoder that knows it, and check the limits.

    Raises AudioError, and OSError when the file cannot be read.
    """
    with path.open("rb") as stream:
        if not stream.read(1):
            raise AudioError("empty", "The file has no bytes.")
    from tonearm_analysis.engine.decoding.libsndfile import open_libsndfile

    source = open_libsndfile(path)
    if source is None:
        source = _open_ffmpeg(path)
    try:
        check_limits(source.format, limits)
        yield source
    finally:
        source.close()


def blocks_of(path: Path, source: Source) -> Iterator[NDArray[np.float32]]:
    """Yield a source's blocks; where it stops at damage, FFmpeg may get past it.

    Every block but the last holds `block_frames(channels)` frames.
    """
    frames = 0
    rest: NDArray[np.float32] | None = None
    for block in source.blocks():
        if source.damaged and source.format.decoder != "ffmpeg":
            rest = block.copy()
            break
        frames += len(block)
        yield block
    if not source.damaged or source.format.decoder == "ffmpeg":
        return
    resumed = False
    for block in _blocks_past_damage(path, source, frames_done=frames):
        resumed = True
        yield block
    if rest is not None and not resumed:
        yield rest


def _blocks_past_damage(
    path: Path, source: Source, *, frames_done: int
) -> Iterator[NDArray[np.float32]]:
    """Yield FFmpeg's blocks behind the frames that another decoder has read."""
    try:
        other = _open_ffmpeg(path)
    except AudioError:
        return
    try:
        if (other.format.sample_rate_hz, other.format.channels) != (
            source.format.sample_rate_hz,
            source.format.channels,
        ):
            return
        blocks_done = frames_done // block_frames(source.format.channels)
        yield from islice(other.blocks(), blocks_done, None)
        source.warnings.extend(other.warnings)
    finally:
        other.close()


def _open_ffmpeg(path: Path) -> Source:
    # Imported when needed: it costs a tenth of a second, and most files never come here. It may
    # be missing altogether (docs/adr/0014).
    try:
        from tonearm_analysis.engine.decoding.ffmpeg import open_ffmpeg
    except ImportError as problem:
        raise AudioError(
            "unsupported_codec", "The decoder for this format is not installed."
        ) from problem

    return open_ffmpeg(path)


def check_limits(format: SourceFormat, limits: Limits) -> None:
    """Raise AudioError for what the header alone rules out."""
    rate = format.sample_rate_hz
    if not limits.sample_rate_hz_min <= rate <= limits.sample_rate_hz_max:
        raise AudioError(
            "unsupported_rate",
            f"The sample rate, {rate} Hz, lies outside "
            f"{limits.sample_rate_hz_min}-{limits.sample_rate_hz_max} Hz.",
        )
    if format.channels > limits.channels_max:
        raise AudioError(
            "too_many_channels",
            f"The recording has {format.channels} channels; at most {limits.channels_max} "
            "are analysed.",
        )
    if format.frames_stated is not None:
        check_duration(format.frames_stated, rate, limits)


def check_duration(frames: int, sample_rate_hz: int, limits: Limits) -> None:
    """Raise AudioError `too_long` when that many frames exceed the limit."""
    if frames > limits.duration_s_max * sample_rate_hz:
        raise AudioError(
            "too_long",
            f"The recording is longer than {limits.duration_s_max / 60:g} minutes.",
        )
