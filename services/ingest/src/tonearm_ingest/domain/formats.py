"""Tell an audio format by the first bytes of a file, as its own specification marks it.

Names and content types that a client sends are hearsay; these bytes are not.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 4096
"""How many leading bytes `sniff` wants to see; fewer are fine when the file is shorter."""

MEDIA_TYPES: Final = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
}

CODECS: Final = frozenset({"flac", "mp3", "vorbis", "opus", "aac", "alac"})
"""Codecs that we read, besides every kind of PCM (`pcm_...`)."""

_MP4_AUDIO_BRANDS = frozenset(
    {b"M4A ", b"M4B ", b"mp42", b"mp41", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"dash"}
)


_OTHERS = (
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma"),
    (b"#!AMR", "amr"),
    (b"MThd", "midi"),
    (b"MAC ", "ape"),
    (b"wvpk", "wavpack"),
    (b"MPCK", "musepack"),
    (b"MP+", "musepack"),
    (b"DSD ", "dsf"),
    (b"FRM8", "dff"),
    (b"caff", "caf"),
    (b".snd", "au"),
    (b"\x0b\x77", "ac3"),
    (b"\x7f\xfe\x80\x01", "dts"),
    (b"TTA1", "tta"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
)


def sniff_other(head: bytes) -> str | None:
    """Name a format that does carry audio, but is not one that we take; None for the rest."""
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[:4] == b"OggS":
        return "ogg"
    if head[4:8] == b"ftyp":
        return "mp4"
    return "avi" if head[:4] == b"RIFF" and head[8:12] == b"AVI " else None


def sniff(head: bytes) -> str | None:
    """Return one of `MEDIA_TYPES`' keys, or None where the bytes begin like none of them.

    An ID3v2 tag says nothing of what follows it (mp3, aac or flac), so we look behind the tag
    when it is short enough to be in `head` and say mp3, by far the most frequent, otherwise.
    """
    if head[:3] == b"ID3" and len(head) >= 10:
        behind = head[_id3_size_bytes(head) :]
        return (_by_magic(behind) or _by_frame(behind) or "mp3") if len(behind) >= 4 else "mp3"
    # Some encoders pad an MP3 with zeros at its start.
    return _by_magic(head) or _by_frame(head.lstrip(b"\0"))


def media_type(name: str) -> str:
    """Return the media type for a format that `sniff` named."""
    return MEDIA_TYPES.get(name, "application/octet-stream")


def is_readable(codec: str) -> bool:
    """Tell whether a codec, by FFmpeg's name for it, is one that we read."""
    return codec in CODECS or codec.startswith(("pcm_", "mp3", "aac"))


def _id3_size_bytes(head: bytes) -> int:
    """Size of the leading ID3v2 tag, with header and footer; sizes are 7-bit bytes."""
    body = 0
    for byte in head[6:10]:
        body = body << 7 | byte & 0x7F
    return 10 + body + (10 if head[5] & 0x10 else 0)


def _by_magic(head: bytes) -> str | None:
    if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "aiff"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return _in_ogg(head)
    if head[4:8] == b"ftyp" and head[8:12] in _MP4_AUDIO_BRANDS:
        return "m4a"
    return None


def _in_ogg(head: bytes) -> str | None:
    """Look at the first packet, which follows the segment table of the first page."""
    if len(head) < 28:
        return None
    packet = head[27 + head[26] :]
    if packet.startswith(b"OpusHead"):
        return "opus"
    return "ogg" if packet.startswith((b"\x01vorbis", b"\x7fFLAC")) else None


def _by_frame(head: bytes) -> str | None:
    """Recognise a bare stream of MPEG audio or ADTS frames by two headers in a row."""
    if len(head) < 7 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        size_bytes = (head[3] & 0x03) << 11 | head[4] << 3 | head[5] >> 5
        return "aac" if size_bytes > 7 and _repeats(head, size_bytes, 0xF6) else None
    if head[1] & 0xE0 != 0xE0:
        return None
    size_bytes = _mpeg_frame_size_bytes(head)
    return "mp3" if size_bytes and _repeats(head, size_bytes, 0xFE) else None


def _repeats(head: bytes, size_bytes: int, mask: int) -> bool:
    """Tell whether a frame header like the first follows the first frame (or `head` ends)."""
    if size_bytes + 2 > len(head):
        return True
    return head[size_bytes] == 0xFF and head[size_bytes + 1] & mask == head[1] & mask


_KBPS_V1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_V2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATE_HZ = (44_100, 48_000, 32_000)


def _mpeg_frame_size_bytes(head: bytes) -> int:
    """Size of the layer III frame at the start; 0 where the header is not valid."""
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate_index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer != 1 or bitrate_index in {0, 15} or rate_index == 3:
        return 0
    if version == 3:
        return 144_000 * _KBPS_V1[bitrate_index] // _RATE_HZ[rate_index] + padding
    rate_hz = _RATE_HZ[rate_index] // (2 if version == 2 else 4)
    return 72_000 * _KBPS_V2[bitrate_index] // rate_hz + padding
