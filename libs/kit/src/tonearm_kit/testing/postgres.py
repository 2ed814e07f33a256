"""A database per test, cloned from a template that is migrated once per set of files.

The server comes from `TONEARM_TEST_DATABASE_URL` (a role that may create databases) or, without
it, from the local stack. No server fails the run: a test that cannot run has not passed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tonearm_kit.db import Database
from tonearm_kit.ids import new_id
from tonearm_kit.migrations import KIT, Component, migrate, read_component

VARIABLE = "TONEARM_TEST_DATABASE_URL"
_TEMPLATE_LOCK = 7_340_001
LOCAL_PORT = 5433
"""Where the local stack's Postgres listens unless it is told otherwise."""

SCHEMA = "app"
"""Schema that test databases migrate into; not `public`, so that search paths are exercised."""


class NoDatabase(RuntimeError):
    """No Postgres for tests: run `make up`, or point TONEARM_TEST_DATABASE_URL at one."""


def admin_url() -> str:
    """Return the URL of the server's administrator. Raises `NoDatabase`."""
    given = os.environ.get(VARIABLE)  # noqa: TID251 - read by tests only, before any settings
    if given:
        return given
    for folder in (Path.cwd(), *Path.cwd().parents):
        secret = folder / ".local" / "secrets" / "postgres-postgres"
        if secret.is_file():
            password = secret.read_text(encoding="utf-8").strip()
            return f"postgresql://postgres:{password}@127.0.0.1:{LOCAL_PORT}/postgres"
    raise NoDatabase(NoDatabase.__doc__)


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    try:
        return await asyncpg.connect(url, timeout=5.0)
    except (OSError, TimeoutError) as error:
        raise NoDatabase(f"{NoDatabase.__doc__} ({type(error).__name__}: {error})") from error


def _digest(components: Sequence[Component]) -> str:
    digest = hashlib.sha256()
    for component in components:
        for migration in read_component(component):
            digest.update(f"{migration.label}\0{migration.sha256}\0".encode())
    return digest.hexdigest()[:16]


async def _template(
    admin: asyncpg.Connection[asyncpg.Record], components: Sequence[Component], url: str
) -> str:
    name = f"tonearm_template_{_digest(components)}"
    # Parallel test processes want the same template: the first one makes it.
    await admin.execute("SELECT pg_advisory_lock($1)", _TEMPLATE_LOCK)
    try:
        if await admin.fetchval(
            "SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate", name
        ):
            return name
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}"')
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        target = _with_database(url, name)
        made = await _connect(target)
        await made.execute(f'CREATE SCHEMA "{SCHEMA}"')
        await made.close()
        async with Database.open(target, schema=SCHEMA, size_max=1, wait_s=0) as db:
            await migrate(db, components)
        await admin.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE true')
        return name
    finally:
        await admin.execute("SELECT pg_advisory_unlock($1)", _TEMPLATE_LOCK)


@asynccontextmanager
async def temporary_database(components: Sequence[Component] = (KIT,)) -> AsyncIterator[str]:
    """Make a migrated database and yield its URL; it is dropped on leaving, whoever uses it.

    Tables are in the schema `SCHEMA`. Raises `NoDatabase`.
    """
    url = admin_url()
    admin = await _connect(url)
    name = f"tonearm_test_{new_id().replace('-', '')}"
    try:
        template = await _template(admin, components, url)
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield _with_database(url, name)
        finally:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await admin.close()
