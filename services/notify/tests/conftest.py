"""A notify of its own for every test: real Postgres, real sockets, no Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tonearm_contracts.envelope import CloudEvent, EventData
from tonearm_kit.db import Database
from tonearm_kit.ids import new_id
from tonearm_kit.testing.plugin import MakeDatabase
from tonearm_kit.testing.postgres import SCHEMA
from tonearm_kit.tokens import StaticKeys, TokenVerifier
from tonearm_kit.wiring import open_database
from tonearm_notify import bootstrap
from tonearm_notify.adapters.journal import PostgresJournal
from tonearm_notify.adapters.notifications import PostgresNotifications
from tonearm_notify.adapters.sealing import SecretBox
from tonearm_notify.adapters.sender import open_client
from tonearm_notify.adapters.webhooks import PostgresWebhooks
from tonearm_notify.bootstrap import House
from tonearm_notify.settings import NotifySettings
from tonearm_notify.usecases.record import Books, record

SEALING_KEY = Fernet.generate_key().decode()
ISSUER, AUDIENCE, KEY_ID = "https://tonearm.test", "tonearm", "k1"


class Tokens:
    """Issues access tokens."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.jwks = {"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "ES256"}]}

    def make(self, account_id: str, *, session_id: str = "s1", ttl_s: float = 600) -> str:
        now = time.time()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": account_id,
            "sid": session_id,
            "jti": new_id(),
            "iat": int(now) - 1,
            "exp": int(now + ttl_s),
            "plan": "free",
        }
        headers = {"typ": "at+jwt", "kid": KEY_ID}
        return jwt.encode(claims, self._key, algorithm="ES256", headers=headers)

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(StaticKeys(self.jwks), issuer=ISSUER, audience=AUDIENCE, leeway_s=0)


class Notify:
    """One replica in this process."""

    def __init__(self, house: House, db: Database, stop: asyncio.Event) -> None:
        self.house, self.db, self.stop = house, db, stop
        self.http_port = asyncio.get_running_loop().create_future()

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.house.sockets.port}/connection/websocket"

    async def publish(self, data: EventData, *, id_: str | None = None) -> str:
        """Record an event as the consumer would."""
        event = to_event(data, id_=id_)
        await record(self.db, "tests", [event], books=self.house.books)
        return event.id


def to_event(data: EventData, *, id_: str | None = None) -> CloudEvent:
    return CloudEvent(
        id=id_ or new_id(),
        source="/tests",
        type=data.TYPE,
        subject=data.key(),
        time=datetime.now(UTC),
        data=data.model_dump(mode="json"),
    )


StartNotify = Callable[..., AbstractAsyncContextManager[Notify]]


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest_asyncio.fixture
async def notify_database(make_database: MakeDatabase) -> AsyncIterator[str]:
    async with make_database(bootstrap.COMPONENTS) as url:
        yield url


@pytest.fixture
def start_notify(notify_database: str, tokens: Tokens) -> StartNotify:
    """Starts replicas on one database; settings are given by field name."""

    @asynccontextmanager
    async def start(**fields: Any) -> AsyncIterator[Notify]:
        defaults: dict[str, Any] = {
            "database_url": notify_database,
            "database_schema": SCHEMA,
            "database_pool_size_max": 6,
            "ws_port": 0,
            "http_port": 0,
            "compare_interval_s": 0.5,
            "drain_window_s_max": 0.5,
            "webhook_secret_keys": SEALING_KEY,
        }
        settings = NotifySettings(**{**defaults, **fields})
        async with AsyncExitStack() as stack:
            db = await stack.enter_async_context(open_database(settings, service="notify"))
            client = await stack.enter_async_context(open_client())
            house = bootstrap.build(settings, db, tokens.verifier(), client)
            stop = asyncio.Event()
            notify = Notify(house, db, stop)
            async with asyncio.TaskGroup() as tasks:
                on_http = notify.http_port.set_result
                tasks.create_task(bootstrap.serve_pushes(settings, house, stop, on_http))
                await asyncio.wait_for(house.is_open(), 10)
                try:
                    yield notify
                finally:
                    stop.set()

    return start


@pytest_asyncio.fixture
async def notify(start_notify: StartNotify) -> AsyncIterator[Notify]:
    async with start_notify() as started:
        yield started


class Cable:
    """A TCP proxy in front of replicas that can be cut; new connections take turns."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.is_cut = False
        self.port = 0
        self.accepted_at_s: list[float] = []
        self._turn = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/connection/websocket"

    def cut(self) -> None:
        """Break every connection without a goodbye, and refuse new ones until `mend`."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted_at_s.append(time.monotonic())
        upstream = None if self.is_cut else await self._reach()
        if upstream is None:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream[1]}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, upstream[1]))
                tasks.create_task(self._pump(upstream[0], writer))
        finally:
            self._writers -= {writer, upstream[1]}

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self.ports:
            self._turn += 1
            port = self.ports[self._turn % len(self.ports)]
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(65536):
                writer.write(block)
                await writer.drain()
            writer.close()
        except OSError:
            writer.transport.abort()


@asynccontextmanager
async def open_cable(ports: list[int]) -> AsyncIterator[Cable]:
    cable = Cable(ports)
    server = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
    cable.port = server.sockets[0].getsockname()[1]
    try:
        yield cable
    finally:
        server.close()
        cable.cut()
        await asyncio.sleep(0.05)


@pytest.fixture
def lay_cable() -> Callable[[list[int]], AbstractAsyncContextManager[Cable]]:
    return open_cable


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Replica:
    """A replica that is a process of its own."""

    def __init__(self, port: int, http_port: int, environment: dict[str, str], jwks: Path) -> None:
        self.port, self.http_port = port, http_port
        self._environment, self._jwks = environment, jwks
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("replica.py")),
            str(self.port),
            str(self.http_port),
            str(self._jwks),
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            while not (await self._answers(self.port) and await self._answers(self.http_port)):
                await asyncio.sleep(0.05)

    async def _answers(self, port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    async def stop(self, number: int) -> int:
        """Send a signal and return the exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 30)


@pytest_asyncio.fixture
async def make_replica(
    notify_database: str, tokens: Tokens, tmp_path: Path
) -> AsyncIterator[Callable[..., Replica]]:
    """Makes replicas, not started; whatever still runs at the end is killed."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(tokens.jwks), encoding="utf-8")
    environment = {
        **os.environ,
        "NOTIFY_DATABASE_URL": notify_database,
        "NOTIFY_DATABASE_SCHEMA": SCHEMA,
        "NOTIFY_COMPARE_INTERVAL_S": "0.5",
        "NOTIFY_DRAIN_WINDOW_S_MAX": "2",
        "NOTIFY_WEBHOOK_SECRET_KEYS": SEALING_KEY,
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "OTEL_TRACES_EXPORTER": "none",
    }
    made: list[Replica] = []

    def make(**settings: str) -> Replica:
        made.append(Replica(free_port(), free_port(), environment | settings, jwks))
        return made[-1]

    yield make
    for replica in made:
        if replica.process is not None and replica.process.returncode is None:
            await replica.stop(signal.SIGKILL)


class Recorder:
    """Records events straight into a database, as the consumer of any replica would."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._books = Books(
            journal=PostgresJournal(),
            notifications=PostgresNotifications(db),
            webhooks=PostgresWebhooks(db, SecretBox.from_text(SEALING_KEY)),
            revoked_keep_s=3600,
            hand_over=lambda _: None,
        )

    async def publish(self, data: EventData) -> str:
        event = to_event(data)
        await record(self._db, "tests", [event], books=self._books)
        return event.id


@pytest_asyncio.fixture
async def recorder(notify_database: str) -> AsyncIterator[Recorder]:
    async with Database.open(notify_database, schema=SCHEMA, size_max=4, wait_s=5.0) as db:
        yield Recorder(db)
