"""A notify of its own for every test: real Postgres, real sockets, no Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tonearm_contracts.envelope import CloudEvent, EventData
from tonearm_kit.db import Database
from tonearm_kit.ids import new_id
from tonearm_kit.testing.plugin import MakeDatabase
from tonearm_kit.testing.postgres import SCHEMA
from tonearm_kit.tokens import StaticKeys, TokenVerifier
from tonearm_notify import bootstrap
from tonearm_notify.bootstrap import House
from tonearm_notify.settings import NotifySettings
from tonearm_notify.usecases.record import record

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

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.house.sockets.port}/connection/websocket"

    async def publish(self, data: EventData, *, id_: str | None = None) -> str:
        """Record an event as the consumer would."""
        event = to_event(data, id_=id_)
        async with self.db.begin() as tx:
            await record(tx, event, journal=self.house.store, revoked_keep_s=3600)
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
        }
        settings = NotifySettings(**{**defaults, **fields})
        async with AsyncExitStack() as stack:
            db = await stack.enter_async_context(bootstrap.open_database(settings))
            house = bootstrap.build(settings, db, tokens.verifier())
            stop = asyncio.Event()
            notify = Notify(house, db, stop)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(bootstrap.serve_pushes(house, stop))
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
