"""The whole HTTP door on real Postgres, real files and real children, from outside."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tonearm_kit.testing.postgres import SCHEMA

from ..sounds import make

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

MIB = 1024 * 1024
TOKEN = "the-token"
HOOKS = Path(__file__).parents[4] / "tests" / "schemathesis_hooks.py"


@dataclass
class Served:
    client: httpx.AsyncClient
    process: psutil.Process
    objects: Path

    def files(self) -> list[Path]:
        return [path for path in self.objects.rglob("*") if path.is_file()]


@pytest.fixture
async def served(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    objects = tmp_path / "objects"
    environment = {
        "INGEST_DATABASE_URL": database_url,
        "INGEST_DATABASE_SCHEMA": SCHEMA,
        "OBJECT_STORE_URL": f"file://{objects}",
        "INGEST_UPLOAD_SIZE_BYTES_MAX": str(220 * MIB),
        "PYTHONPATH": ":".join(sys.path),
        "PATH": "/usr/bin:/bin",
    }
    with (tmp_path / "stderr").open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("served.py")),
            TOKEN,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    try:
        assert process.stdout is not None
        port = 0
        while not port:
            line = (await process.stdout.readline()).decode().strip()
            assert line, (tmp_path / "stderr").read_text()[-3000:]
            port = int(line) if line.isdigit() else 0
        async with (
            asyncio.TaskGroup() as tasks,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=60,
            ) as client,
        ):
            reading = tasks.create_task(process.stdout.read())
            yield Served(client, psutil.Process(process.pid), objects)
            process.terminate()
            await reading
            # Killing one that has just ended would take its exit code from the loop.
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    assert await process.wait() == 0


async def form(head: bytes, *, size_bytes: int) -> AsyncIterator[bytes]:
    """A form with a file of `head` and zeros."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.wav"\r\n\r\n'
    async for piece in file_of(head, size_bytes=size_bytes):
        yield piece
    yield b"\r\n--b--\r\n"


async def file_of(head: bytes, *, size_bytes: int) -> AsyncIterator[bytes]:
    yield head
    left_bytes, zeros = size_bytes - len(head), bytes(256 * 1024)
    while left_bytes > 0:
        yield zeros[:left_bytes]
        left_bytes -= len(zeros)


def wav_head(size_bytes: int) -> bytes:
    body = struct.pack("<HHIIHH", 1, 2, 44_100, 176_400, 4, 16)
    riff = b"RIFF" + struct.pack("<I", size_bytes - 8) + b"WAVEfmt " + struct.pack("<I", 16)
    return riff + body + b"data" + struct.pack("<I", size_bytes - 44)


TYPE = {"Content-Type": "multipart/form-data; boundary=b"}


async def test_a_recording_from_upload_to_deletion(served: Served, tmp_path: Path) -> None:
    path = make(tmp_path / "ein lied ♫.flac", "flac", title="Ein Lied")
    posted = await served.client.post("/v1/audio", files={"file": (path.name, path.read_bytes())})
    assert posted.status_code == 202, posted.text
    audio = posted.json()
    assert (audio["format"], audio["codec"], audio["channels"]) == ("flac", "flac", 2)
    assert audio["duration_s"] == 2.0
    assert audio["tags"]["title"] == "Ein Lied"
    assert audio["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (await served.client.get(posted.headers["location"])).json() == audio
    assert len(served.files()) == 1
    url = audio["links"]["download"]
    assert (await served.client.get(url)).content == path.read_bytes()
    part = await served.client.get(url, headers={"Range": "bytes=-100"})
    assert part.content == path.read_bytes()[-100:]
    assert (await served.client.delete(f"/v1/audio/{audio['id']}")).status_code == 204
    assert served.files() == []
    assert (await served.client.get(url)).status_code == 404


@asynccontextmanager
async def watched(process: psutil.Process) -> AsyncIterator[list[float]]:
    """Give a list that holds, afterwards, by how many MiB the process grew in between."""
    before_bytes = peak_bytes = process.memory_info().rss
    done = asyncio.Event()
    grown_mib: list[float] = []

    async def watch() -> None:
        nonlocal peak_bytes
        while not done.is_set():
            peak_bytes = max(peak_bytes, process.memory_info().rss)
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        yield grown_mib
        done.set()
    grown_mib.append((peak_bytes - before_bytes) / MIB)


async def test_memory_stays_flat_however_large_the_file(served: Served) -> None:
    """200 MB in, 200 MB out: the process grows by parts of the file, not by the file."""
    warm = await served.client.post(
        "/v1/audio", content=form(wav_head(30 * MIB), size_bytes=30 * MIB), headers=TYPE
    )
    assert warm.status_code == 202, warm.text
    async with watched(served.process) as grown_mib:
        posted = await served.client.post(
            "/v1/audio", content=form(wav_head(200 * MIB), size_bytes=200 * MIB), headers=TYPE
        )
        assert posted.status_code == 202, posted.text
        async with served.client.stream("GET", posted.json()["links"]["download"]) as response:
            size_bytes = 0
            async for piece in response.aiter_bytes():
                size_bytes += len(piece)
    assert size_bytes == 200 * MIB
    assert posted.json()["duration_s"] == pytest.approx((200 * MIB - 44) / 176_400)
    assert grown_mib[0] < 48


async def test_memory_stays_flat_where_the_file_is_joined_from_parts(served: Served) -> None:
    """The same for a resumable upload: 200 MB in one request, seven parts, one recording."""
    for size_bytes in (40 * MIB, 200 * MIB):  # the first one warms up
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size_bytes)}
        made = await served.client.post("/v1/uploads", headers=headers)
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
        headers["Content-Type"] = "application/offset+octet-stream"
        async with watched(served.process) as grown_mib:
            sent = await served.client.patch(
                made.headers["location"],
                content=file_of(wav_head(size_bytes), size_bytes=size_bytes),
                headers=headers,
            )
        assert sent.status_code == 204, sent.text
    got = await served.client.get(f"/v1/audio/{sent.headers['tonearm-audio-id']}")
    assert got.json()["size_bytes"] == 200 * MIB
    assert len(served.files()) == 2, "nothing of the parts is left"
    assert grown_mib[0] < 48


async def test_a_file_over_the_limit_is_refused_and_removed(served: Served) -> None:
    size_bytes = 221 * MIB
    posted = await served.client.post(
        "/v1/audio", content=form(wav_head(size_bytes), size_bytes=size_bytes), headers=TYPE
    )
    assert posted.status_code == 413, posted.text
    assert served.files() == []


async def test_a_client_that_goes_away_leaves_nothing(served: Served) -> None:
    arrived = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        async for piece in form(wav_head(50 * MIB), size_bytes=20 * MIB):
            yield piece
            if len(served.files()) > 0:
                break
        arrived.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        posting = tasks.create_task(served.client.post("/v1/audio", content=broken(), headers=TYPE))
        await arrived.wait()
        posting.cancel()
    async with asyncio.timeout(10):
        while served.files():
            await asyncio.sleep(0.05)
    assert (await served.client.get("/v1/audio")).json()["items"] == []


async def test_two_requests_with_one_key_make_one_recording(served: Served, tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", "wav")
    files = {"file": (path.name, path.read_bytes())}
    headers = {"Idempotency-Key": '"one"'}
    async with asyncio.TaskGroup() as tasks:
        both = [
            tasks.create_task(served.client.post("/v1/audio", files=files, headers=headers))
            for _ in range(2)
        ]
    statuses = sorted(each.result().status_code for each in both)
    assert statuses in ([202, 202], [202, 409])
    again = await served.client.post("/v1/audio", files=files, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await served.client.get("/v1/audio")).json()["items"]) == 1


async def test_schemathesis_finds_nothing(served: Served, tmp_path: Path) -> None:
    """The description is kept; it cannot say which bytes are audio, so refusals are fine."""
    fuzzing = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{served.client.base_url}/openapi.json",
        f"--header=Authorization: Bearer {TOKEN}",
        "--header=Tus-Resumable: 1.0.0",
        "--checks=all",
        "--exclude-checks=positive_data_acceptance",
        "--phases=coverage,fuzzing",
        "--max-examples=10",
        "--seed=7",
        cwd=tmp_path,
        env={"SCHEMATHESIS_HOOKS": str(HOOKS), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await fuzzing.communicate()
    assert fuzzing.returncode == 0, told.decode()[-6000:]
