"""The command as its users have it: a process of its own, through the gateway."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import sounds
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that was printed."""
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


@dataclass
class Tonearm:
    """`tonearm` with a configuration folder and a password of its own."""

    gateway_url: str
    config: Path
    password: str

    async def __call__(self, *words: str, stdin: str = "") -> Done:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tonearm_cli",
            *words,
            env={
                "TONEARM_SERVER": self.gateway_url,
                "TONEARM_CONFIG_DIR": str(self.config),
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.config),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        return Done(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
async def tonearm(stack: Stack, tmp_path: Path) -> Tonearm:
    made = Tonearm(stack.gateway_url, tmp_path / "config", secrets.token_urlsafe(18))
    email = f"cli-{secrets.token_hex(6)}@example.org"
    done = await made(
        "register", "--email", email, "--password-stdin", "--json", stdin=made.password + "\n"
    )
    assert done.code == 0, done.err
    assert done.document["account"]["email"] == email
    return made


async def test_the_life_of_a_recording(tonearm: Tonearm, tmp_path: Path) -> None:
    path = sounds.tone(tmp_path / "a song.flac", seed=secrets.randbelow(10**6), duration_s=6)
    uploaded = await tonearm("upload", str(path), "--watch", "--json")
    assert uploaded.code == 0, uploaded.err
    assert uploaded.err == ""
    ended = uploaded.document
    assert ended["delivered_by"] == "push"
    assert ended["audio"]["status"] == "completed"
    assert ended["analysis"]["result"]["properties"]["duration_s"] == pytest.approx(6, abs=0.01)
    audio_id = ended["audio"]["id"]

    watched = await tonearm("watch", audio_id)
    assert watched.code == 0, watched.err
    assert "✓ loudness" in watched.err
    assert "a song.flac" in watched.out
    assert audio_id in (await tonearm("list")).out
    assert (await tonearm("show", audio_id, "--json")).document["audio"]["id"] == audio_id
    copy = tmp_path / "copy.flac"
    assert (await tonearm("download", audio_id, "--to", str(copy))).code == 0
    assert copy.read_bytes() == path.read_bytes()
    assert (await tonearm("delete", audio_id)).code == 0
    gone = await tonearm("show", audio_id)
    assert (gone.code, gone.out) == (1, "")
    assert "no such recording" in gone.err


async def test_what_is_refused_is_said_in_one_line(tonearm: Tonearm, tmp_path: Path) -> None:
    text, empty = tmp_path / "song.mp3", tmp_path / "empty.wav"
    text.write_text("no music " * 1000)
    empty.touch()
    for path, words in ((text, "not audio"), (empty, "no bytes")):
        done = await tonearm("upload", str(path), "--watch", "--json")
        assert (done.code, done.out) == (1, "")
        (line,) = done.err.splitlines()
        assert words in line


async def test_logging_out_ends_the_session(tonearm: Tonearm) -> None:
    assert (await tonearm("whoami")).code == 0
    (kept,) = tonearm.config.iterdir()
    stolen = kept.read_text()
    assert (await tonearm("logout")).code == 0
    assert (await tonearm("whoami")).code == 1
    kept.write_text(stolen)
    assert (await tonearm("whoami")).code == 1
