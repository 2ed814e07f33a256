"""Postgres: one pool per process, transactions visible in the code that needs them.

A pool sees one schema (`search_path`), so SQL never names a schema. `json` and `jsonb` travel as
Python values, `timestamptz` as aware datetimes. Every statement has a time limit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
_RELEASE_TIMEOUT_S = 10.0

_IDLE_S_MAX = 300.0
"""A connection that nobody used for so long is replaced: something in between may have cut it."""

log = get_logger(__name__)


class SchemaMissing(RuntimeError):
    """The schema is not there, or this role may not use it."""


def is_outage(error: BaseException) -> bool:
    """Whether `error` says that Postgres is away, rather than that a statement is wrong."""
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    return isinstance(error, _OUTAGES)


def literal(text: str) -> str:
    """Return an SQL expression for `text`, safe whatever is in it: it is spelled in hex digits."""
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


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


class Database:
    """The pool of one process.

    A connection that ran a transaction or a single statement is kept for the next borrower: these
    clean up after themselves, and giving it to the driver's pool and back, which resets its
    session, would be a quarter of what a small transaction costs. Any other goes back at once.
    """

    def __init__(self, pool: Pool, *, schema: str) -> None:
        self._pool = pool
        self.schema = schema
        self._turns = asyncio.Semaphore(pool.get_max_size())
        self._kept: list[tuple[Connection, float]] = []

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
        idle_in_transaction_timeout_s: float = 20.0,
        wait_s: float = 60.0,
        application_name: str = "tonearm",
    ) -> AsyncIterator[Database]:
        """Open the pool, waiting up to `wait_s` seconds for Postgres; close it on leaving.

        idle_in_transaction_timeout_s: a transaction that sends nothing for so long is rolled
        back, so that a process that froze in one holds nobody up for longer. Raises the last
        connection error when Postgres does not come, `SchemaMissing` when it lacks the schema.
        Leaving waits up to 10 s for borrowed connections, then cuts them.
        """
        pool = await _connect_when_ready(
            wait_s,
            dsn=url.get_secret_value() if isinstance(url, SecretStr) else url,
            min_size=1,
            max_size=size_max,
            max_inactive_connection_lifetime=300.0,
            timeout=10.0,
            connection_class=TracedConnection,
            init=_prepare,
            server_settings={
                "application_name": application_name,
                "search_path": f'"{schema}", public',
                "statement_timeout": str(int(statement_timeout_s * 1000)),
                "lock_timeout": str(int(lock_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": str(
                    int(idle_in_transaction_timeout_s * 1000)
                ),
                "timezone": "UTC",
            },
        )
        db = cls(pool, schema=schema)
        try:
            if await pool.fetchval("SELECT current_schema()") != schema:
                raise SchemaMissing(f"schema {schema!r} is missing or closed to this role")
            yield db
        finally:
            await db._close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        """Run one transaction: commits on leaving, rolls back when an error passes through.

        Raises `DatabaseAway` when no connection is to be had.
        """
        async with self.begin_with("") as (conn, _):
            yield conn

    @asynccontextmanager
    async def begin_with(self, statement: str) -> AsyncIterator[tuple[Connection, str]]:
        """Run one transaction as `begin` does; `statement` and BEGIN share a round trip.

        Yields the statement's status, such as `INSERT 0 1`, with the connection. It has no
        parameters, so its values are part of its text: `literal` makes them safe.
        """
        conn = await self._take()
        try:
            traced = cast("TracedConnection", conn)  # the pool's proxy passes its methods on
            traced.send_with_begin(statement)
            async with conn.transaction():
                yield conn, traced.status_with_begin
        except BaseException:
            await self._release(conn)  # the driver looks at it before anybody else gets it
            raise
        self._keep(conn)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Borrow a connection outside a transaction: every statement commits by itself.

        Raises `DatabaseAway` when no connection is to be had within 10 s.
        """
        conn = await self._take()
        try:
            yield conn
        finally:
            await self._release(conn)

    @asynccontextmanager
    async def single(self) -> AsyncIterator[Connection]:
        """Borrow a connection for one statement, which commits by itself: one round trip in all.

        The statement leaves nothing in the session (no SET, no LISTEN, no advisory lock): the
        connection is kept as after a transaction. Raises `DatabaseAway` as `begin` does.
        """
        conn = await self._take()
        try:
            yield conn
        except BaseException:
            await self._release(conn)
            raise
        self._keep(conn)

    async def _take(self) -> Connection:
        if self._turns.locked():
            try:
                async with asyncio.timeout(_ACQUIRE_TIMEOUT_S):
                    await self._turns.acquire()
            except TimeoutError as error:
                raise DatabaseAway("every connection to Postgres is in use") from error
        else:
            await self._turns.acquire()  # a timer is 6 % of what a small transaction costs
        try:
            return self._kept_one() or await self._pool.acquire()
        except BaseException as error:
            self._turns.release()
            if isinstance(error, NOT_READY):
                raise DatabaseAway(f"no connection to Postgres: {type(error).__name__}") from error
            raise

    def _keep(self, conn: Connection) -> None:
        self._kept.append((conn, asyncio.get_running_loop().time()))
        self._turns.release()

    def _kept_one(self) -> Connection | None:
        while self._kept:
            conn, since_s = self._kept.pop()
            is_fresh = asyncio.get_running_loop().time() - since_s < _IDLE_S_MAX
            # One cut while nobody used it has gone back to the pool by itself.
            with suppress(asyncpg.InterfaceError):
                if is_fresh and not conn.is_closed():
                    return conn
                conn.terminate()  # and thereby goes back to the pool
        return None

    async def _release(self, conn: Connection) -> None:
        try:
            await self._pool.release(conn, timeout=_RELEASE_TIMEOUT_S)
        finally:
            self._turns.release()

    async def _close(self) -> None:
        while (conn := self._kept_one()) is not None:
            await self._pool.release(conn, timeout=_RELEASE_TIMEOUT_S)
        try:
            async with asyncio.timeout(10.0):
                await self._pool.close()
        except TimeoutError:
            log.warning("connections were still in use at the end", open=self._pool.get_size())
            self._pool.terminate()

    async def ping(self) -> None:
        """Ask Postgres for a sign of life; for readiness checks."""
        async with self.acquire() as conn:
            await conn.fetchval("SELECT 1")
