"""Two replicas on one database and one store: either takes any bytes of any upload."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tonearm_kit.db import Database
from tonearm_kit.testing.postgres import SCHEMA

from ..sounds import make

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

TOKEN = "the-token"
PART_BYTES = 64 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {**TUS, "Content-Type": "application/offset+octet-stream"}
OWN_ACCOUNT = "SELECT pg_advisory_xact_lock(hashtextextended('account:' || $1, 0))"
IS_SOMEBODY_WAITING = """
    SELECT count(*) > 0 FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
"""


@dataclass
class Replica:
    client: httpx.AsyncClient
    process: asyncio.subprocess.Process


Start = Callable[[], AbstractAsyncContextManager[Replica]]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Start:
    environment = {
        "INGEST_DATABASE_URL": database_url,
        "INGEST_DATABASE_SCHEMA": SCHEMA,
        "OBJECT_STORE_URL": f"file://{tmp_path}/objects",
        "INGEST_UPLOAD_LEASE_S": "3",
        "INGEST_RESUMABLE_PART_SIZE_BYTES": str(PART_BYTES),
        "PYTHONPATH": ":".join(sys.path),
        "PATH": "/usr/bin:/bin",
    }
    numbers = itertools.count()

    @asynccontextmanager
    async def started() -> AsyncIterator[Replica]:
        log = tmp_path / f"stderr-{next(numbers)}"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("served.py")),
                TOKEN,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        assert process.stdout is not None
        try:
            line = b""
            while not line.strip().isdigit():
                line = await process.stdout.readline()
                assert line, log.read_text()[-3000:]
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{int(line)}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=60,
            ) as client:
                yield Replica(client, process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return started


async def create(replica: Replica, size_bytes: int) -> str:
    headers = {**TUS, "Upload-Length": str(size_bytes)}
    made = await replica.client.post("/v1/uploads", headers=headers)
    assert made.status_code == 201, made.text
    return made.headers["location"]


async def offset(replica: Replica, url: str) -> int:
    told = await replica.client.head(url, headers=TUS)
    assert told.status_code == 200
    return int(told.headers["upload-offset"])


async def patch(replica: Replica, url: str, content: bytes, *, at: int) -> httpx.Response:
    headers = {**STREAM, "Upload-Offset": str(at)}
    return await replica.client.patch(url, content=content, headers=headers)


async def test_bytes_by_turns(start: Start, tmp_path: Path) -> None:
    content = make(tmp_path / "a.wav", "wav").read_bytes()
    async with start() as one, start() as two:
        url = await create(one, len(content))
        at, step = 0, len(content) // 5 + 1
        for replica in itertools.cycle((two, one)):
            answer = await patch(replica, url, content[at : at + step], at=at)
            assert answer.status_code == 204, answer.text
            at = int(answer.headers["upload-offset"])
            if at == len(content):
                break
        audio_id = answer.headers["tonearm-audio-id"]
        got = await one.client.get(f"/v1/audio/{audio_id}/download")
    assert got.content == content
    objects = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 1, "nothing of the parts is left"


async def test_a_replica_killed_in_the_middle_loses_no_whole_part(
    start: Start, tmp_path: Path
) -> None:
    content = make(tmp_path / "a.wav", "wav", duration_s=10).read_bytes()
    sent = 5 * PART_BYTES + 1000
    over = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield content[:sent]
        await over.wait()

    async with start() as one, start() as two:
        url = await create(one, len(content))

        async def send() -> None:
            with pytest.raises(httpx.TransportError):
                await one.client.patch(
                    url, content=slow(), headers={**STREAM, "Upload-Offset": "0"}
                )

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            async with asyncio.timeout(30):
                while (at := await offset(two, url)) < 5 * PART_BYTES:
                    await asyncio.sleep(0.05)
            assert at == 5 * PART_BYTES
            locked = await patch(two, url, content[at:], at=at)
            assert (locked.status_code, locked.json()["code"]) == (423, "upload_locked")
            one.process.kill()
            over.set()
        async with asyncio.timeout(30):
            while (answer := await patch(two, url, content[at:], at=at)).status_code == 423:
                await asyncio.sleep(float(answer.headers["retry-after"]))
        assert answer.status_code == 204, answer.text
        audio_id = answer.headers["tonearm-audio-id"]
        got = await two.client.get(f"/v1/audio/{audio_id}/download")
    assert got.content == content


async def test_two_ends_at_once_make_one_recording(start: Start, tmp_path: Path) -> None:
    content = make(tmp_path / "a.wav", "wav").read_bytes()
    async with start() as one, start() as two:
        url = await create(one, len(content))
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(patch(replica, url, content, at=0)) for replica in (one, two)]
        statuses = sorted(each.result().status_code for each in both)
        assert statuses in ([204, 409], [204, 423])
        listed = (await one.client.get("/v1/audio")).json()["items"]
    assert len(listed) == 1


async def open_partial(replica: Replica, content: bytes) -> str:
    headers = {**STREAM, "Upload-Length": str(len(content)), "Upload-Concat": "partial"}
    made = await replica.client.post("/v1/uploads", headers=headers, content=content)
    assert made.status_code == 201, made.text
    assert made.headers["upload-offset"] == str(len(content))
    return made.headers["location"]


async def join(replica: Replica, urls: list[str]) -> httpx.Response:
    headers = {**TUS, "Upload-Concat": "final;" + " ".join(urls)}
    return await replica.client.post("/v1/uploads", headers=headers)


async def test_pieces_at_different_replicas_are_joined_by_any_once(
    start: Start, tmp_path: Path
) -> None:
    content = make(tmp_path / "a.wav", "wav").read_bytes()
    half = len(content) // 2
    async with start() as one, start() as two:
        pieces = ((one, content[:half]), (two, content[half:]))
        async with asyncio.TaskGroup() as tasks:
            sent = [tasks.create_task(open_partial(*piece)) for piece in pieces]
        urls = [each.result() for each in sent]
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(join(replica, urls)) for replica in (one, two)]
        statuses = sorted(each.result().status_code for each in both)
        assert statuses in ([201, 201], [201, 423])
        made = await join(one, urls)
        assert made.headers["idempotency-replayed"] == "true"
        [item] = (await two.client.get("/v1/audio")).json()["items"]
        assert item["id"] == made.headers["tonearm-audio-id"]
        got = await two.client.get(f"/v1/audio/{item['id']}/download")
    assert got.content == content
    objects = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 1, "nothing of the pieces is left"


async def test_a_replica_killed_while_it_joins_leaves_that_to_another(
    start: Start, db: Database, tmp_path: Path
) -> None:
    content = make(tmp_path / "a.wav", "wav").read_bytes()
    async with start() as one, start() as two:
        urls = [await open_partial(one, content[:999]), await open_partial(one, content[999:])]

        async def send() -> None:
            with pytest.raises(httpx.TransportError):
                await join(one, urls)

        async with asyncio.TaskGroup() as tasks, db.begin() as conn:
            # Whoever closes the account keeps the recording from being written meanwhile.
            await conn.execute(OWN_ACCOUNT, "anna")
            tasks.create_task(send())
            async with asyncio.timeout(30):
                while not await conn.fetchval(IS_SOMEBODY_WAITING):
                    await asyncio.sleep(0.05)
            locked = await join(two, urls)
            assert (locked.status_code, locked.json()["code"]) == (423, "upload_locked")
            one.process.kill()
        async with asyncio.timeout(30):
            while (made := await join(two, urls)).status_code == 423:
                await asyncio.sleep(float(made.headers["retry-after"]))
        assert made.status_code == 201, made.text
        [item] = (await two.client.get("/v1/audio")).json()["items"]
        got = await two.client.get(f"/v1/audio/{item['id']}/download")
    assert got.content == content
