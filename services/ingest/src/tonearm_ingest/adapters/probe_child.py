"""What the probing child process runs: read a header with FFmpeg's libraries, within limits.

Files are hostile until proven otherwise and the libraries are C, so this never runs inside the
service: a crash, a hang or a leak costs one child. The whole decoding, with a verdict on every
frame, is analysis' business; this reads what a library listing wants to show.
"""

from __future__ import annotations

import resource
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import obstore
from av.error import FFmpegError

from tonearm_ingest.adapters.store_url import open_store

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from av.container import InputContainer
    from obstore import ReadableFile
    from obstore.store import ObjectStore

TAG_KEYS = frozenset(
    {
        "title",
        "artist",
        "album",
        "album_artist",
        "composer",
        "genre",
        "date",
        "track",
        "disc",
        "comment",
        "isrc",
        "tbpm",
        "initialkey",
        "copyright",
        "encoder",
    }
)
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLimits:
    """Bounds of one look at one file."""

    read_bytes_max: int
    address_space_bytes_max: int
    tag_chars_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a header told; or, with `error`, why nobody could read it."""

    error: str | None = None
    codec: str | None = None
    duration_s: float | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    bit_depth: int | None = None
    bitrate_bps: int | None = None
    tags: tuple[tuple[str, str], ...] = ()


class ReadTooMuch(OSError):
    """The header wants more bytes than a header should."""


class _BoundedFile:
    """A seekable file over the object store that refuses to read on for ever."""

    def __init__(self, file: ReadableFile, *, read_bytes_max: int) -> None:
        self._file, self._left_bytes = file, read_bytes_max

    def read(self, size: int = -1) -> bytes:
        got = bytes(self._file.read(min(size, _READ_BYTES) if size >= 0 else _READ_BYTES))
        self._left_bytes -= len(got)
        if self._left_bytes < 0:
            raise ReadTooMuch
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def run(questions: Connection, url: str, limits: ProbeLimits) -> None:
    """Answer one question after the other until the other end closes.

    A question is (object key, size in bytes); the answer is a `Found`.
    """
    # The parent decides when to stop: a Ctrl-C at the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bound = limits.address_space_bytes_max
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    store = open_store(url)
    questions.send(None)
    while True:
        try:
            object_key, size_bytes = questions.recv()
        except EOFError:
            return
        questions.send(look(store, object_key, size_bytes=size_bytes, limits=limits))


def look(store: ObjectStore, object_key: str, *, size_bytes: int, limits: ProbeLimits) -> Found:
    """Return what the header of the object tells."""
    reader = obstore.open_reader(store, object_key, buffer_size=_READ_BYTES, size=size_bytes)
    file = _BoundedFile(reader, read_bytes_max=limits.read_bytes_max)
    try:
        with av.open(
            file,
            mode="r",
            metadata_errors="replace",
            options={"probesize": "1000000", "analyzeduration": "2000000"},
        ) as container:
            if not container.streams.audio:
                return Found(error="not_audio")
            return _describe(container, size_bytes=size_bytes, limits=limits)
    except (FFmpegError, ReadTooMuch, ValueError, MemoryError):
        return Found(error="unsupported_audio")


def _describe(container: InputContainer, *, size_bytes: int, limits: ProbeLimits) -> Found:
    stream = container.streams.audio[0]
    context = stream.codec_context
    duration_s: float | None = None
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / 1_000_000
    if duration_s is not None and not 0 < duration_s < 1e7:
        duration_s = None
    bitrate_bps = context.bit_rate or container.bit_rate or None
    if bitrate_bps is None and duration_s:
        bitrate_bps = int(size_bytes * 8 / duration_s)
    return Found(
        codec=context.codec.canonical_name,  # `mp3`, where the name is the decoder's: `mp3float`
        duration_s=duration_s,
        sample_rate_hz=context.sample_rate or None,
        channels=context.channels or None,
        bit_depth=_bit_depth(context),
        bitrate_bps=bitrate_bps if bitrate_bps and bitrate_bps < 2**31 else None,
        tags=_tags({**stream.metadata, **container.metadata}, chars_max=limits.tag_chars_max),
    )


def _bit_depth(context: Any) -> int | None:
    """Bits per sample of the stored audio; lossy codecs have none."""
    name: str = context.name
    if name.startswith("pcm_"):
        digits = "".join(char for char in name.split("_")[1] if char.isdigit())
        return int(digits) if digits else 8
    if name in {"flac", "alac"}:
        raw = getattr(context, "bits_per_raw_sample", None)
        return int(raw) if raw else {"s16": 16, "s16p": 16}.get(context.format.name, 24)
    return None


def _tags(metadata: dict[str, str], *, chars_max: int) -> tuple[tuple[str, str], ...]:
    """Keep well-known tags, cleaned and cut."""
    kept = {
        key.lower(): "".join(char for char in value if char.isprintable()).strip()
        for key, value in metadata.items()
        if key.lower() in TAG_KEYS
    }
    return tuple((key, value[:chars_max]) for key, value in sorted(kept.items()) if value)
