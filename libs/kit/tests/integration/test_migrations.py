from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tonearm_kit.db import Database
from tonearm_kit.migrations import (
    KIT,
    Component,
    MigrationError,
    migrate,
    missing,
    read_component,
    wait_for_schema,
)
from tonearm_kit.testing.postgres import SCHEMA

pytestmark = pytest.mark.integration


@pytest.fixture
def deck(tmp_path: Path) -> Component:
    (tmp_path / "0001_pre_create.sql").write_text("CREATE TABLE deck (id int);")
    (tmp_path / "0002_post_drop.sql").write_text("ALTER TABLE deck DROP COLUMN id;")
    (tmp_path / "0003_pre_add.sql").write_text(
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;\n"
        "ALTER TABLE deck ADD COLUMN speed int;"
    )
    return "deck", tmp_path


def path(deck: Component, name: str) -> Path:
    folder = deck[1]
    assert isinstance(folder, Path)
    return folder / name


async def columns(db: Database) -> list[str]:
    async with db.acquire() as conn:
        rows = await conn.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'deck' AND table_schema = $1 ORDER BY 1",
            SCHEMA,
        )
    return [row["column_name"] for row in rows]


async def test_files_are_applied_once_in_order(database: Database, deck: Component) -> None:
    assert await migrate(database, [KIT, deck]) == [
        "deck/0001_pre_create.sql",
        "deck/0002_post_drop.sql",
        "deck/0003_pre_add.sql",
    ]
    assert await migrate(database, [KIT, deck]) == []
    assert await columns(database) == ["speed"]


async def test_a_rollout_adds_first_and_drops_last(database: Database, deck: Component) -> None:
    before = await migrate(database, [deck], phase="pre")
    assert before == ["deck/0001_pre_create.sql", "deck/0003_pre_add.sql"]
    assert await missing(database, [deck]) == []
    assert await migrate(database, [deck], phase="post") == ["deck/0002_post_drop.sql"]


async def test_five_runners_apply_each_file_once(postgres_url: str, deck: Component) -> None:
    async def one() -> list[str]:
        async with Database.open(postgres_url, schema=SCHEMA, size_max=1) as db:
            return await migrate(db, [deck])

    async with asyncio.TaskGroup() as group:
        runners = [group.create_task(one()) for _ in range(5)]
    applied = [label for runner in runners for label in runner.result()]
    assert len(applied) == len(set(applied)) == 3


async def test_an_edited_file_is_refused(database: Database, deck: Component) -> None:
    await migrate(database, [deck])
    path(deck, "0001_pre_create.sql").write_text("CREATE TABLE deck (id bigint);")
    with pytest.raises(MigrationError, match=r"deck/0001_pre_create.sql: changed"):
        await migrate(database, [deck])


async def test_a_failing_file_leaves_nothing_behind_and_is_named(
    database: Database, deck: Component
) -> None:
    path(deck, "0004_pre_broken.sql").write_text("CREATE TABLE half (id int); SELECT oops;")
    with pytest.raises(MigrationError, match=r"deck/0004_pre_broken.sql"):
        await migrate(database, [deck])
    assert await missing(database, [deck]) == ["deck/0004_pre_broken.sql"]
    async with database.acquire() as conn:
        assert await conn.fetchval("SELECT to_regclass('half')") is None


async def test_an_index_is_built_outside_a_transaction_while_another_runner_waits(
    database: Database, postgres_url: str, deck: Component
) -> None:
    path(deck, "0004_pre_index.sql").write_text(
        "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS deck_speed ON deck (speed)"
    )

    async def one() -> None:
        async with Database.open(postgres_url, schema=SCHEMA, size_max=1) as db:
            await migrate(db, [deck])

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(one())
        group.create_task(one())
    assert await missing(database, [deck]) == []


async def test_services_wait_until_the_schema_is_there(database: Database, deck: Component) -> None:
    with pytest.raises(MigrationError, match=r"deck/0003_pre_add.sql"):
        await wait_for_schema(database, [deck], timeout_s=0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(wait_for_schema(database, [deck], timeout_s=15))
        group.create_task(migrate(database, [deck], phase="pre"))


@pytest.mark.parametrize("name", ["1_pre_x.sql", "0001_x.sql", "0001_pre_X.sql"])
def test_a_badly_named_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match="not NNNN_pre_name"):
        read_component(("deck", tmp_path))


def test_two_files_cannot_share_a_version(tmp_path: Path) -> None:
    for name in ("0001_pre_a.sql", "0001_pre_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=r"version used by 0001_pre_a.sql"):
        read_component(("deck", tmp_path))
