from __future__ import annotations

import asyncio

import pytest

from tonearm_contracts.events import AudioDeleted
from tonearm_ingest.adapters.postgres import PostgresLibrary
from tonearm_ingest.domain.errors import AccountGone
from tonearm_ingest.usecases.ports import Begin
from tonearm_kit.db import Database

from ..conformance_library import NOW, LibraryConformance, make_audio, make_loose
from ..conformance_resumables import ResumablesConformance

pytestmark = pytest.mark.integration


class TestPostgresLibrary(LibraryConformance, ResumablesConformance):
    @pytest.fixture
    def begin(self, library: PostgresLibrary) -> Begin:
        return library.begin


async def test_the_event_is_written_with_the_effect(library: PostgresLibrary, db: Database) -> None:
    async with library.begin() as tx:
        await tx.audio.add(make_audio(1))
        await tx.events.add(
            AudioDeleted(audio_id="1", account_id="anna"), topic="other.v1", correlation_id="c"
        )
    async with db.acquire() as conn:
        row = await conn.fetchrow("SELECT topic, message_key FROM outbox")
    assert row is not None
    assert dict(row) == {"topic": "other.v1", "message_key": "1"}


async def test_sweepers_side_by_side_do_not_wait_for_each_other(
    library: PostgresLibrary,
) -> None:
    async with library.begin() as tx:
        for key in "abc":
            await tx.loose.note(make_loose(key), now=NOW)
    async with library.begin() as one, library.begin() as two:
        assert len(await one.loose.take_due(now=NOW, limit=2)) == 2
        assert len(await two.loose.take_due(now=NOW, limit=2)) == 1


async def test_an_upload_and_the_end_of_its_account_cannot_cross(
    library: PostgresLibrary,
) -> None:
    """Whoever is second sees the first: no recording outlives its account."""
    added, closed = asyncio.Event(), asyncio.Event()

    async def upload() -> None:
        async with library.begin() as tx:
            await tx.audio.add(make_audio(1))
            added.set()
            await asyncio.sleep(0.05)
            assert not closed.is_set()

    async def close() -> int:
        await added.wait()
        async with library.begin() as tx:
            await tx.audio.close_account("anna")
            closed.set()
            return len(await tx.audio.of_account("anna", limit=9))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(upload())
        found = tasks.create_task(close())
    assert found.result() == 1
    with pytest.raises(AccountGone):
        async with library.begin() as tx:
            await tx.audio.add(make_audio(2))


async def test_pages_are_read_from_an_index(library: PostgresLibrary, db: Database) -> None:
    async with db.begin() as conn:
        await conn.execute("SET LOCAL enable_seqscan = off")
        plan = await conn.fetch(
            "EXPLAIN SELECT id FROM audio WHERE account_id = 'a' AND id < 'x' "
            "ORDER BY id DESC LIMIT 10"
        )
    text = "\n".join(row[0] for row in plan)
    assert "audio_by_account" in text
    assert "Sort" not in text
