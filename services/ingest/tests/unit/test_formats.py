from __future__ import annotations

import struct

import pytest

from tonearm_ingest.domain.formats import MEDIA_TYPES, is_readable, sniff, sniff_other

MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)
ADTS_FRAME = bytes([0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC]) + bytes(9)


def id3(body: bytes, size: int) -> bytes:
    return b"ID3\x04\x00\x00" + bytes([0, 0, size >> 7, size & 127]) + bytes(size) + body


def ogg(packet: bytes) -> bytes:
    return b"OggS" + bytes(22) + b"\x01" + bytes([len(packet)]) + packet


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
        (b"fLaC\x00\x00\x00\x22", "flac"),
        (b"FORM\x00\x00\x00\x00AIFFCOMM", "aiff"),
        (b"FORM\x00\x00\x00\x00AIFCFVER", "aiff"),
        (ogg(b"OpusHead\x01\x02"), "opus"),
        (ogg(b"\x01vorbis" + bytes(23)), "ogg"),
        (ogg(b"\x7fFLAC\x01\x00"), "ogg"),
        (struct.pack(">I", 32) + b"ftypM4A \x00\x00", "m4a"),
        (struct.pack(">I", 32) + b"ftypisom\x00\x00", "m4a"),
        (MP3_FRAME * 3, "mp3"),
        (bytes(1000) + MP3_FRAME * 3, "mp3"),
        (ADTS_FRAME * 3, "aac"),
        (id3(MP3_FRAME * 2, 300), "mp3"),
        (id3(ADTS_FRAME * 2, 300), "aac"),
        (id3(b"fLaC\x00\x00", 12), "flac"),
        (id3(b"", 3000)[:100], "mp3"),
    ],
)
def test_every_format_is_known_by_its_bytes(head: bytes, name: str) -> None:
    assert sniff(head) == name
    assert name in MEDIA_TYPES


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"hello world, this is a text file",
        b"RIFF\x24\x00\x00\x00AVI LIST",
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        ogg(b"\x80theora"),
        b"OggS",
        struct.pack(">I", 32) + b"ftypheic\x00\x00",
        b"\xff\xfe" + "UTF-16 text".encode("utf-16-le"),
        b"\xff\xfb\x90\x00" + bytes(2000),
        bytes(4096),
    ],
)
def test_nothing_else_is_audio(head: bytes) -> None:
    assert sniff(head) is None


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"MThd\x00\x00", "midi"),
        (b"\x1a\x45\xdf\xa3\x01", "matroska"),
        (ogg(b"\x80theora"), "ogg"),
        (struct.pack(">I", 32) + b"ftypheic", "mp4"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", "avi"),
        (b"hello", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_what_we_do_not_take_is_called_by_its_name(head: bytes, name: str | None) -> None:
    assert sniff_other(head) == name


def test_codecs() -> None:
    assert is_readable("pcm_s24le")
    assert is_readable("mp3float")
    assert not is_readable("adpcm_ms")
    assert not is_readable("wmav2")
