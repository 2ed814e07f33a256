from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tonearm_ingest.adapters.postgres import PostgresLibrary
from tonearm_ingest.bootstrap import COMPONENTS, SOURCE
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Database
from tonearm_kit.ids import new_id
from tonearm_kit.outbox import Outbox
from tonearm_kit.testing.plugin import MakeDatabase
from tonearm_kit.testing.postgres import SCHEMA


@pytest.fixture
async def database_url(make_database: MakeDatabase) -> AsyncIterator[str]:
    async with make_database(COMPONENTS) as url:
        yield url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url, schema=SCHEMA, size_max=6, wait_s=5) as opened:
        yield opened


@pytest.fixture
def library(db: Database) -> PostgresLibrary:
    return PostgresLibrary(db, Outbox(source=SOURCE, clock=SystemClock(), new_id=new_id))
