from __future__ import annotations

import asyncio

import asyncpg
import pytest
from opentelemetry import trace

from tonearm_kit.db import Database, DatabaseAway, SchemaMissing, is_outage
from tonearm_kit.dbtrace import summarize
from tonearm_kit.testing.postgres import SCHEMA
from tonearm_kit.testing.spans import Spans

pytestmark = pytest.mark.integration


@pytest.fixture
async def table(database: Database) -> str:
    async with database.acquire() as conn:
        await conn.execute("CREATE TABLE records (id int PRIMARY KEY, tags jsonb, at timestamptz)")
    return "records"


async def count(db: Database) -> int:
    async with db.acquire() as conn:
        return int(await conn.fetchval("SELECT count(*) FROM records"))


@pytest.mark.usefixtures("table")
async def test_a_transaction_commits_on_leaving(database: Database) -> None:
    async with database.begin() as conn:
        await conn.execute("INSERT INTO records (id) VALUES (1)")
    assert await count(database) == 1


@pytest.mark.usefixtures("table")
async def test_a_transaction_rolls_back_on_an_error(database: Database) -> None:
    async def fail() -> None:
        async with database.begin() as conn:
            await conn.execute("INSERT INTO records (id) VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(database) == 0


@pytest.mark.usefixtures("table")
async def test_json_travels_as_values_and_times_are_aware(database: Database) -> None:
    tags = {"genre": ["dub", None], "bpm": 140.5}
    async with database.begin() as conn:
        await conn.execute("INSERT INTO records VALUES (1, $1, now())", tags)
        row = await conn.fetchrow("SELECT tags, at FROM records")
    assert row is not None
    assert row["tags"] == tags
    assert row["at"].tzinfo is not None


async def test_json_that_is_no_json_is_refused(database: Database) -> None:
    async with database.acquire() as conn:
        with pytest.raises(asyncpg.DataError):
            await conn.fetchval("SELECT $1::jsonb", {"loudness": float("-inf")})


async def test_a_single_statement_commits_and_its_connection_is_kept(
    database: Database, table: str
) -> None:
    async with database.single() as conn:
        await conn.execute(f"INSERT INTO {table} VALUES (1)")  # noqa: S608 - the test's own table
        pid = await conn.fetchval("SELECT pg_backend_pid()")
    async with database.single() as conn:
        assert await conn.fetchval("SELECT pg_backend_pid()") == pid
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 1  # noqa: S608
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.single() as conn:
            await conn.execute("SELECT FROM nothing")
    async with database.single() as conn:
        assert await conn.fetchval("SELECT 1") == 1


async def test_tables_are_made_in_the_services_own_schema(database: Database, table: str) -> None:
    async with database.acquire() as conn:
        found = await conn.fetchval("SELECT schemaname FROM pg_tables WHERE tablename = $1", table)
    assert found == SCHEMA


async def test_a_statement_that_takes_too_long_is_ended(postgres_url: str) -> None:
    async with Database.open(
        postgres_url, schema=SCHEMA, size_max=1, statement_timeout_s=0.05
    ) as db:
        async with db.acquire() as conn:
            with pytest.raises(asyncpg.QueryCanceledError):
                await conn.execute("SELECT pg_sleep(10)")
        await db.ping()


async def test_a_lock_is_not_awaited_for_ever(postgres_url: str, database: Database) -> None:
    async with (
        Database.open(postgres_url, schema=SCHEMA, size_max=1, lock_timeout_s=0.05) as db,
        database.begin() as first,
        db.begin() as second,
    ):
        await first.execute("LOCK TABLE schema_migrations")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await second.execute("LOCK TABLE schema_migrations")


async def test_a_missing_schema_is_named(postgres_url: str) -> None:
    with pytest.raises(SchemaMissing, match="nowhere"):
        async with Database.open(postgres_url, schema="nowhere", size_max=1):
            pass


async def test_no_postgres_ends_the_wait_after_its_bound() -> None:
    with pytest.raises(OSError, match="Connect call failed"):
        async with Database.open("postgresql://u:p@127.0.0.1:1/x", wait_s=0.3):
            pass


async def test_a_late_postgres_is_waited_for(postgres_url: str) -> None:
    """The server answers only after a while; a proxy that refuses at first stands in for it."""
    host, port = postgres_url.rsplit("@", 1)[1].split("/", 1)[0].split(":")
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        for pair in ((reader, far_writer), (far_reader, writer)):
            pipes.add(asyncio.ensure_future(pipe(*pair)))

    listening = await asyncio.start_server(forward, "127.0.0.1", 0)
    near = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    url = postgres_url.replace(f"{host}:{port}", f"127.0.0.1:{near}")

    async def open_and_ping() -> None:
        async with Database.open(url, schema=SCHEMA, size_max=1, wait_s=20) as db:
            await db.ping()

    async with asyncio.TaskGroup() as group:
        opening = group.create_task(open_and_ping())
        await asyncio.wait({opening}, timeout=0.2)
        assert not opening.done()
        server = await asyncio.start_server(forward, "127.0.0.1", near)
        await opening
        server.close()
    await asyncio.gather(*pipes)


async def test_a_cut_connection_is_an_outage_and_the_pool_recovers(database: Database) -> None:
    async def cut_off() -> None:
        async with database.begin() as conn, database.acquire() as other:
            await other.execute("SELECT pg_terminate_backend($1)", conn.get_server_pid())
            await conn.execute("SELECT 1")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as caught:
        await cut_off()
    assert is_outage(caught.value)
    await database.ping()


async def test_wrong_sql_is_no_outage(database: Database) -> None:
    async with database.acquire() as conn:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await conn.execute("SELECT nonsense FROM nowhere")
    assert not is_outage(caught.value)


@pytest.mark.usefixtures("table")
async def test_a_statement_inside_a_trace_is_a_span(database: Database, spans: Spans) -> None:
    with trace.get_tracer("test").start_as_current_span("work") as work:
        async with database.begin() as conn:
            await conn.execute("INSERT INTO records (id) VALUES ($1)", 7)
    assert spans.names() == ["INSERT records", "work"]
    span = spans.one("INSERT records")
    assert span.parent is not None
    assert span.parent.span_id == work.get_span_context().span_id
    attributes = dict(span.attributes or {})
    assert attributes["db.system.name"] == "postgresql"
    assert attributes["db.operation.name"] == "INSERT"
    assert attributes["db.collection.name"] == "records"
    assert attributes["db.query.text"] == "INSERT INTO records (id) VALUES ($1)"


async def test_what_one_borrower_sets_the_next_does_not_find(postgres_url: str) -> None:
    async with Database.open(postgres_url, schema=SCHEMA, size_max=1) as db:
        async with db.begin() as conn:
            await conn.execute("SET LOCAL work_mem = '3MB'")
        async with db.acquire() as conn:
            assert await conn.fetchval("SHOW work_mem") != "3MB"
            await conn.execute("SET work_mem = '3MB'")
        async with db.acquire() as conn:
            assert await conn.fetchval("SHOW work_mem") != "3MB"


async def test_a_connection_cut_between_transactions_is_replaced(
    postgres_url: str, database: Database
) -> None:
    async with Database.open(postgres_url, schema=SCHEMA, size_max=1) as db:
        async with db.begin() as conn:
            backend, listens = conn.get_server_pid(), asyncio.Event()
            conn.add_termination_listener(lambda _: listens.set())
        async with database.acquire() as other:
            await other.execute("SELECT pg_terminate_backend($1)", backend)
        async with asyncio.timeout(10):
            await listens.wait()
        async with db.begin() as conn:
            assert conn.get_server_pid() != backend


async def test_nobody_waits_for_a_connection_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tonearm_kit.db._ACQUIRE_TIMEOUT_S", 0.05)
    async with Database.open(postgres_url, schema=SCHEMA, size_max=1) as db:
        async with db.begin():
            with pytest.raises(DatabaseAway, match="in use"):
                await db.ping()
        await db.ping()


@pytest.mark.usefixtures("table")
async def test_a_statement_travels_with_begin(database: Database) -> None:
    insert = "INSERT INTO records (id) VALUES (1) ON CONFLICT DO NOTHING"
    async with database.begin_with(insert) as (conn, status):
        assert status == "INSERT 0 1"
        assert conn.is_in_transaction()
        async with conn.transaction():  # nested: the driver knows of the outer one
            await conn.execute("INSERT INTO records (id) VALUES (2)")
    async with database.begin_with(insert) as (_, status):
        assert status == "INSERT 0 0"
    assert await count(database) == 2


@pytest.mark.usefixtures("table")
async def test_a_statement_that_fails_with_begin_leaves_nothing(postgres_url: str) -> None:
    async with Database.open(postgres_url, schema=SCHEMA, size_max=1) as db:
        with pytest.raises(asyncpg.UndefinedTableError):
            async with db.begin_with("INSERT INTO nowhere VALUES (1)"):
                pytest.fail("the transaction did not begin")
        async with db.begin() as conn:
            await conn.execute("INSERT INTO records (id) VALUES (1)")
        assert await count(db) == 1


async def test_a_transaction_that_goes_silent_is_ended(postgres_url: str) -> None:
    async def go_silent(db: Database) -> None:
        async with db.begin() as conn:
            ended = asyncio.Event()
            conn.add_termination_listener(lambda _: ended.set())
            async with asyncio.timeout(10):
                await ended.wait()
            await conn.execute("SELECT 1")

    async with Database.open(
        postgres_url, schema=SCHEMA, size_max=1, idle_in_transaction_timeout_s=0.05
    ) as db:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as caught:
            await go_silent(db)
        assert is_outage(caught.value)
        await db.ping()


@pytest.mark.usefixtures("table")
async def test_a_refused_statement_marks_its_span(database: Database, spans: Spans) -> None:
    with trace.get_tracer("test").start_as_current_span("work"):
        async with database.acquire() as conn:
            with pytest.raises(asyncpg.UndefinedColumnError):
                await conn.fetch("SELECT nothing FROM records")
    assert (spans.one("SELECT records").attributes or {})["error.type"] == "42703"


async def test_polling_outside_a_trace_leaves_no_span(database: Database, spans: Spans) -> None:
    await database.ping()
    assert spans.names() == []


@pytest.mark.parametrize(
    ("query", "summary"),
    [
        ("SELECT 1", ("SELECT", None)),
        ("  select a\nFROM b WHERE c", ("SELECT", "b")),
        ("INSERT INTO t (a) VALUES ($1)", ("INSERT", "t")),
        ("-- why\nUPDATE ONLY t SET a = 1", ("UPDATE", "t")),
        ("DELETE FROM t", ("DELETE", "t")),
        ("", ("EMPTY", None)),
        ("-- summary: RECORD t\nWITH a AS (INSERT INTO inbox)", ("RECORD", "t")),
    ],
)
def test_a_statement_is_summed_up(query: str, summary: tuple[str, str | None]) -> None:
    assert summarize(query) == summary
