from __future__ import annotations

import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tonearm_ingest.adapters.probe_child import ProbeLimits
from tonearm_ingest.adapters.prober import ProcessProber
from tonearm_ingest.domain.audio import Properties
from tonearm_ingest.domain.errors import NotAudio, UnsupportedAudio
from tonearm_ingest.domain.formats import HEAD_BYTES, sniff

from ..sounds import FORMATS, make, make_video

LIMITS = ProbeLimits(
    read_bytes_max=8 * 1024 * 1024, address_space_bytes_max=2 * 1024**3, tag_chars_max=8
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "objects"
    made.mkdir()
    return made


@pytest.fixture
async def prober(folder: Path) -> AsyncIterator[ProcessProber]:
    async with ProcessProber.open(
        f"file://{folder}", children_max=1, timeout_s=20, limits=LIMITS
    ) as opened:
        yield opened


async def probe(prober: ProcessProber, path: Path, *, format: str = "wav") -> Properties:
    return await prober.probe(path.name, size_bytes=path.stat().st_size, format=format)


async def test_every_format_tells_what_it_is(prober: ProcessProber, folder: Path) -> None:
    for name in FORMATS:
        path = make(folder / f"a.{name}", name, title="A long title")
        assert sniff(path.read_bytes()[:HEAD_BYTES]) == name
        found = await probe(prober, path, format=name)
        assert found.duration_s == pytest.approx(2.0, abs=0.1)
        assert found.channels == 2
        assert found.sample_rate_hz == (48_000 if name == "opus" else 44_100)
        assert found.bit_depth == {"wav": 24, "flac": 16, "aiff": 16}.get(name)
        assert found.bitrate_bps
        if name not in {"aac", "opus", "aiff"}:
            assert found.tags["title"] == "A long t"


async def test_tags_in_another_encoding_are_told_as_far_as_they_go(
    prober: ProcessProber, folder: Path
) -> None:
    path = make(folder / "old.mp3", "mp3", title="Caf Zzzz")
    path.write_bytes(path.read_bytes().replace(b"Zzzz", "né é".encode("latin-1")))
    assert (await probe(prober, path, format="mp3")).tags["title"] == "Caf n� �"


async def test_files_that_are_cut_off_are_left_to_analysis(
    prober: ProcessProber, folder: Path
) -> None:
    for name in ("wav", "flac", "mp3", "ogg"):
        whole = make(folder / f"whole.{name}", name, duration_s=20).read_bytes()
        path = folder / f"cut.{name}"
        path.write_bytes(whole[: len(whole) // 2])
        assert (await probe(prober, path, format=name)).codec


async def test_a_film_without_sound_is_no_audio(prober: ProcessProber, folder: Path) -> None:
    with pytest.raises(NotAudio):
        await probe(prober, make_video(folder / "film.m4a"), format="m4a")


async def test_what_we_do_not_read_is_refused(prober: ProcessProber, folder: Path) -> None:
    header = struct.pack("<HHIIHH", 0x0055 + 0x100, 1, 8000, 4000, 256, 4)
    odd = folder / "odd.wav"
    odd.write_bytes(
        b"RIFF\xff\xff\x00\x00WAVEfmt "
        + struct.pack("<I", 16)
        + header
        + b"data\xff\x0f\0\0"
        + bytes(4000)
    )
    with pytest.raises(UnsupportedAudio):
        await probe(prober, odd)
    broken = folder / "broken.m4a"
    broken.write_bytes(struct.pack(">I", 32) + b"ftypM4A " + bytes(20) + os.urandom(5000))
    with pytest.raises(UnsupportedAudio):
        await probe(prober, broken, format="m4a")


async def test_a_child_that_dies_is_replaced(prober: ProcessProber, folder: Path) -> None:
    path = make(folder / "a.wav", "wav")
    await prober.warm_up()
    (child,) = [
        process
        for process in psutil.Process().children()
        if "spawn_main" in " ".join(process.cmdline())
    ]
    child.send_signal(signal.SIGKILL)
    with pytest.raises(UnsupportedAudio):
        await probe(prober, path)
    assert (await probe(prober, path)).codec == "pcm_s24le"


async def test_a_look_that_takes_too_long_is_ended(folder: Path) -> None:
    path = make(folder / "a.wav", "wav")
    async with ProcessProber.open(
        f"file://{folder}", children_max=1, timeout_s=0.0, limits=LIMITS
    ) as hasty:
        assert await probe(hasty, path) == Properties(format="wav")


async def test_no_child_is_left_behind(folder: Path) -> None:
    async with ProcessProber.open(
        f"file://{folder}", children_max=1, timeout_s=5, limits=LIMITS
    ) as prober:
        await prober.warm_up()
        children = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
        assert children
    assert not any(child.is_running() for child in children)
