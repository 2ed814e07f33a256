"""Schema changes: numbered SQL files, forward only, applied once each.

A file is named `NNNN_pre_<what>.sql` (safe before the new code runs: it adds) or
`NNNN_post_<what>.sql` (safe only after it: it drops). A file whose first line is
`-- no-transaction` holds one statement that Postgres refuses inside a transaction, such as
`CREATE INDEX CONCURRENTLY`; write it so that it can run twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

import asyncpg

from tonearm_kit.db import Connection, Database
from tonearm_kit.logs import get_logger

Component = tuple[str, Traversable]
Phase = Literal["pre", "post", "all"]

KIT: Component = ("kit", files("tonearm_kit") / "sql")
"""The kit's own tables; give it first."""

_NAME = re.compile(r"^(?P<version>\d{4})_(?P<phase>pre|post)_[a-z0-9_]+\.sql$")
_NO_TRANSACTION = "-- no-transaction"
_LOCK_POLL_S = 0.1
_LOCK_WAIT_S = 120.0
_LOCK_TIMEOUT = "5s"
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    component text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, version)
)
"""

log = get_logger(__name__)


class MigrationError(RuntimeError):
    """A migration cannot be applied; the message names the file and the rule it breaks."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `sha256` is of its text with line ends as LF."""

    component: str
    version: int
    phase: str
    name: str
    sql: str
    sha256: str

    @property
    def in_transaction(self) -> bool:
        """Whether the file runs, together with its record, in one transaction."""
        return not self.sql.startswith(_NO_TRANSACTION)

    @property
    def label(self) -> str:
        """How logs and errors call the file."""
        return f"{self.component}/{self.name}"


def read_component(component: Component) -> list[Migration]:
    """Return a component's files by version. Raises `MigrationError` on a bad or double name."""
    name, folder = component
    found: dict[int, Migration] = {}
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".sql"):
            continue
        match = _NAME.match(entry.name)
        if match is None:
            raise MigrationError(
                f"{name}/{entry.name}: not NNNN_pre_name.sql or NNNN_post_name.sql"
            )
        version = int(match["version"])
        if version in found:
            raise MigrationError(f"{name}/{entry.name}: version used by {found[version].name} too")
        sql = entry.read_text(encoding="utf-8").replace("\r\n", "\n")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        found[version] = Migration(name, version, match["phase"], entry.name, sql, digest)
    return [found[version] for version in sorted(found)]


@asynccontextmanager
async def _only_runner(conn: Connection, schema: str) -> AsyncIterator[None]:
    """Hold the schema's migration lock.

    Polled, never awaited in Postgres: a session that waits there holds a snapshot, and
    `CREATE INDEX CONCURRENTLY` of the lock's owner would wait for it in turn.
    """
    key = int.from_bytes(hashlib.sha256(f"migrations:{schema}".encode()).digest()[:8], signed=True)
    give_up_at = asyncio.get_running_loop().time() + _LOCK_WAIT_S
    while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", key):
        if asyncio.get_running_loop().time() > give_up_at:
            raise MigrationError(f"another runner has held the lock for {_LOCK_WAIT_S:.0f} s")
        await asyncio.sleep(_LOCK_POLL_S)
    try:
        yield
    finally:
        await conn.execute("SELECT pg_advisory_unlock($1)", key)


async def _applied(conn: Connection, component: str) -> dict[int, str]:
    rows = await conn.fetch(
        "SELECT version, sha256 FROM schema_migrations WHERE component = $1", component
    )
    return {row["version"]: row["sha256"] for row in rows}


async def _apply(conn: Connection, migration: Migration) -> None:
    record = "INSERT INTO schema_migrations (component, version, name, sha256) VALUES ($1,$2,$3,$4)"
    values = (migration.component, migration.version, migration.name, migration.sha256)
    try:
        if migration.in_transaction:
            async with conn.transaction():
                await conn.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                await conn.execute("SET LOCAL statement_timeout = 0")
                await conn.execute(migration.sql)
                await conn.execute(record, *values)
        else:
            await conn.execute("SET statement_timeout = 0")
            await conn.execute(migration.sql)
            await conn.execute(record, *values)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.label}: {type(error).__name__}: {error}") from error


def _pending(migrations: Sequence[Migration], applied: dict[int, str]) -> list[Migration]:
    for migration in migrations:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.label}: changed after it was applied; add a new file")
    return [migration for migration in migrations if migration.version not in applied]


async def migrate(
    db: Database, components: Sequence[Component], *, phase: Phase = "all"
) -> list[str]:
    """Apply what is missing, component after component, and return the labels of what ran.

    Any number of runners may start at once: one applies, the others find nothing to do.
    Raises `MigrationError`; files applied before the failing one stay applied.
    """
    done: list[str] = []
    async with db.acquire() as conn, _only_runner(conn, db.schema):
        await conn.execute(_TABLE)
        for component in components:
            migrations = read_component(component)
            for migration in _pending(migrations, await _applied(conn, component[0])):
                if phase in ("all", migration.phase):
                    await _apply(conn, migration)
                    log.info("migration applied", migration=migration.label)
                    done.append(migration.label)
    return done


async def missing(db: Database, components: Sequence[Component]) -> list[str]:
    """Return the labels of *pre* files that are not applied; the code needs every one of them."""
    async with db.acquire() as conn:
        if await conn.fetchval("SELECT to_regclass('schema_migrations')") is None:
            applied: dict[str, dict[int, str]] = {name: {} for name, _ in components}
        else:
            applied = {name: await _applied(conn, name) for name, _ in components}
    return [
        migration.label
        for component in components
        for migration in _pending(read_component(component), applied[component[0]])
        if migration.phase == "pre"
    ]


async def wait_for_schema(
    db: Database, components: Sequence[Component], *, timeout_s: float = 60.0
) -> None:
    """Return once every *pre* file is applied; raise `MigrationError` after `timeout_s` seconds."""
    give_up_at = asyncio.get_running_loop().time() + timeout_s
    while lacking := await missing(db, components):
        if asyncio.get_running_loop().time() >= give_up_at:
            raise MigrationError(f"schema is not migrated; missing: {', '.join(lacking)}")
        log.info("waiting for migrations", missing=lacking)
        await asyncio.sleep(min(1.0, max(0.05, timeout_s / 10)))
