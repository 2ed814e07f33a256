"""Postgres: one pool per process, transactions visible in the code that needs them.

A pool sees one schema (`search_path`), so SQL never names a schema. `json` and `jsonb` travel as
Python values, `timestamptz` as aware datetimes. Every statement has a time limit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic import SecretStr

from tonearm_kit.backoff import Backoff
from tonearm_kit.dbtrace import TracedConnection
from tonearm_kit.logs import get_logger

if TYPE_CHECKING:
    Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
    Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
else:
    Connection = PoolConnectionProxy
    Pool = asyncpg.Pool

NOT_READY = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.ConnectionFailureError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TooManyConnectionsError,
    TimeoutError,
)
"""Errors that mean "not now": worth a retry with a new connection."""


class DatabaseAway(ConnectionError):
    """No connection to Postgres could be had: it is away, or every one is in use."""


_OUTAGES = (
    DatabaseAway,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)

_ACQUIRE_TIMEOUT_S = 10.0

_ACQUIRE_S = 10.0

log = get_logger(__name__)


class SchemaMissing(RuntimeError):
    """The schema is not there, or this role may not use it."""


def is_outage(error: BaseException) -> bool:
    """Whether `error` says that Postgres is away, rather than that a statement is wrong."""
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    return isinstance(error, _OUTAGES)


def _encode_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


async def _prepare(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    for name in ("json", "jsonb"):
        await conn.set_type_codec(
            name, encoder=_encode_json, decoder=json.loads, schema="pg_catalog"
        )


async def _connect_when_ready(wait_s: float, **options: Any) -> Pool:
    """Return a pool as soon as Postgres answers; raise its last error after `wait_s` seconds."""
    loop = asyncio.get_running_loop()
    give_up_at, backoff = loop.time() + wait_s, Backoff(first_s=0.1, max_s=2.0)
    while True:
        try:
            return cast("Pool", await asyncpg.create_pool(**options))
        except NOT_READY as error:
            delay_s = backoff.next_s()
            if loop.time() + delay_s > give_up_at:
                raise
            log.info("waiting for Postgres", reason=type(error).__name__, retry_in_s=delay_s)
        await asyncio.sleep(delay_s)


class _Reset:
    """Cleans a connection's session when it comes back, unless it only ran a transaction.

    Transactions clean up after themselves, and the round trip would be a fifth of a small one.
    """

    def __init__(self) -> None:
        self._clean_pids: set[int] = set()

    def skip_once(self, conn: Connection) -> None:
        """Leave this connection's session as it is when it comes back next."""
        self._clean_pids.add(conn.get_server_pid())

    async def __call__(self, conn: asyncpg.Connection[asyncpg.Record]) -> None:
        pid = conn.get_server_pid()
        if pid in self._clean_pids:
            self._clean_pids.discard(pid)
            return
        query = conn.get_reset_query()
        if query:
            await conn.execute(query)


class Database:
    """The pool of one process."""

    def __init__(self, pool: Pool, *, schema: str, reset: _Reset | None = None) -> None:
        self._pool = pool
        self.schema = schema
        self._reset = reset or _Reset()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: SecretStr | str,
        *,
        schema: str = "public",
        size_max: int = 8,
        statement_timeout_s: float = 30.0,
        lock_timeout_s: float = 5.0,
        wait_s: float = 60.0,
        application_name: str = "tonearm",
    ) -> AsyncIterator[Database]:
        """Open the pool, waiting up to `wait_s` seconds for Postgres; close it on leaving.

        Raises the last connection error when Postgres does not come, `SchemaMissing` when it
        lacks the schema. Leaving waits up to 10 s for borrowed connections, then cuts them.
        """
        reset = _Reset()
        pool = await _connect_when_ready(
            wait_s,
            dsn=url.get_secret_value() if isinstance(url, SecretStr) else url,
            min_size=1,
            max_size=size_max,
            max_inactive_connection_lifetime=300.0,
            timeout=10.0,
            connection_class=TracedConnection,
            init=_prepare,
            reset=reset,
            server_settings={
                "application_name": application_name,
                "search_path": f'"{schema}", public',
                "statement_timeout": str(int(statement_timeout_s * 1000)),
                "lock_timeout": str(int(lock_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": "120000",
                "timezone": "UTC",
            },
        )
        try:
            if await pool.fetchval("SELECT current_schema()") != schema:
                raise SchemaMissing(f"schema {schema!r} is missing or closed to this role")
            yield cls(pool, schema=schema, reset=reset)
        finally:
            await _close(pool)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        """Run one transaction: commits on leaving, rolls back when an error passes through.

        Raises `DatabaseAway` when no connection is to be had.
        """
        async with self.acquire() as conn:
            async with conn.transaction():
                yield conn
            self._reset.skip_once(conn)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Borrow a connection outside a transaction: every statement commits by itself.

        Raises `DatabaseAway` when no connection is to be had within 10 s.
        """
        try:
            conn = await self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S)
        except NOT_READY as error:
            raise DatabaseAway(f"no connection to Postgres: {type(error).__name__}") from error
        try:
            yield conn
        finally:
            await self._pool.release(conn)

    async def ping(self) -> None:
        """Ask Postgres for a sign of life; for readiness checks."""
        async with self.acquire() as conn:
            await conn.fetchval("SELECT 1")


async def _close(pool: Pool) -> None:
    try:
        async with asyncio.timeout(10.0):
            await pool.close()
    except TimeoutError:
        log.warning("connections were still in use at the end", open=pool.get_size())
        pool.terminate()
