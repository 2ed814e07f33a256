from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tonearm_cli.api import Api
from tonearm_cli.credentials import CredentialsFile
from tonearm_cli.errors import CliError
from tonearm_cli.fetch import fetch
from tonearm_cli.output import Output

CONTENT = bytes(range(256)) * 100


def store(request: httpx.Request) -> httpx.Response:
    """A server that can send from any byte on."""
    wanted = request.headers.get("range")
    if wanted is None:
        return httpx.Response(200, content=CONTENT)
    return httpx.Response(206, content=CONTENT[int(wanted[6:-1]) :])


async def run(to: Path | None, *, filename: str = "song.wav", sha256: str = "") -> Path:
    audio: dict[str, Any] = {
        "id": "1",
        "filename": filename,
        "size_bytes": len(CONTENT),
        "sha256": sha256 or hashlib.sha256(CONTENT).hexdigest(),
    }
    kept = CredentialsFile(Path("/nowhere"))
    transport = httpx.MockTransport(store)
    async with Api.open("http://server", kept=kept, token="t", transport=transport) as api:
        return await fetch(api, audio, to=to, output=Output(as_json=True))


async def test_a_download_goes_to_a_file_or_into_a_folder(tmp_path: Path) -> None:
    assert await run(tmp_path) == tmp_path / "song.wav"
    assert await run(tmp_path / "other.wav") == tmp_path / "other.wav"
    assert (tmp_path / "other.wav").read_bytes() == CONTENT
    with pytest.raises(CliError):
        await run(tmp_path)


async def test_a_download_that_broke_goes_on(tmp_path: Path) -> None:
    part = tmp_path / "song.wav.part"
    part.write_bytes(CONTENT[:1000])
    assert (await run(tmp_path)).read_bytes() == CONTENT
    assert not part.exists()


async def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    assert await run(inner, filename="../../evil.wav") == inner / "evil.wav"


async def test_other_bytes_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(CliError):
        await run(tmp_path, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
