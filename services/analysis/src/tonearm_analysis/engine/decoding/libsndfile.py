"""Decoding by libsndfile: WAV, AIFF, FLAC, MP3, Ogg (Vorbis, Opus), CAF, W64, AU and kin."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from tonearm_analysis.engine.decoding.source import Source, SourceFormat, block_frames

_BIT_DEPTHS = {
    "PCM_S8": 8,
    "PCM_U8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 32,
    "FLOAT": 32,
    "DOUBLE": 64,
    "ALAC_16": 16,
    "ALAC_20": 20,
    "ALAC_24": 24,
    "ALAC_32": 32,
}
_FORMATS = {"WAVEX": "wav", "MPEG": "mp3"}
_OGG_ORDERS = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""Ogg's codecs put the centre second and the LFE last, and libsndfile leaves it so: where the
channels lie in the order of everybody else (left, right, centre, LFE, back, side)."""
_STATED_MORE = re.compile(r"^\s*(?:data|SSND|frames).*\(should be", re.MULTILINE | re.IGNORECASE)
_FRAMES_UNKNOWN = 1 << 62


class _Onwards(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A file that is read from its beginning to its end.

    Of a file that it may seek in, SoundFile seeks after each read to where it is already. An MP3's
    decoder then works on several frames once more, and of some the last bits come out otherwise.
    """

    def seekable(self) -> bool:
        return False


class _LibsndfileSource:
    def __init__(self, file: Any) -> None:
        self._file = file
        subtype: str = file.subtype
        known = 0 < file.frames < _FRAMES_UNKNOWN
        self.format = SourceFormat(
            format=_FORMATS.get(file.format, file.format.lower()),
            codec=_codec(file.format, subtype),
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            bit_depth=_BIT_DEPTHS.get(subtype),
            lossless=subtype in _BIT_DEPTHS,
            decoder="libsndfile",
            frames_stated=file.frames if known else None,
        )
        self._order = _OGG_ORDERS.get(file.channels) if file.format == "OGG" else None
        self.truncated = bool(_STATED_MORE.search(file.extra_info))
        self.damaged = False
        self.warnings: list[str] = []

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        channels = self.format.channels
        buffer = np.empty((block_frames(channels), channels), dtype=np.float32)
        frames = 0
        while True:
            count = self._read(buffer, frames)
            if not count:
                break
            frames += count
            block = buffer[:count]
            yield block if self._order is None else np.take(block, self._order, axis=1)
            if count < len(buffer):
                break
        stated = self.format.frames_stated
        if stated is not None and frames < stated:
            self.truncated = True

    def _read(self, buffer: NDArray[np.float32], frames: int) -> int:
        """Fill the buffer; return how many frames decode, those before an error included."""
        try:
            return len(self._file.read(out=buffer))
        except soundfile.LibsndfileError as problem:
            self.truncated = self.damaged = True
            self.warnings.append(f"Decoding stopped early: {problem}")
        try:
            return int(np.clip(self._file.tell() - frames, 0, len(buffer)))
        except soundfile.LibsndfileError:
            return 0

    def close(self) -> None:
        self._file.close()


def _codec(format: str, subtype: str) -> str:
    """Return the codec's own name; how deep a lossless one's samples are is told beside it."""
    if format == "FLAC" or (format == "OGG" and subtype.startswith("PCM_")):
        return "flac"
    return "alac" if subtype.startswith("ALAC_") else subtype.lower()


def open_libsndfile(path: Path) -> Source | None:
    """Return an open source, or None when libsndfile does not know the bytes.

    The file is handed over as a descriptor, so that only its bytes decide, never its name.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        file = _Onwards(descriptor, closefd=True)
    except soundfile.LibsndfileError:
        return None  # libsndfile has closed the descriptor
    if file.channels < 1 or file.samplerate < 1:
        file.close()
        return None
    return _LibsndfileSource(file)
