"""The pytest plugin: fixtures that every member's tests may ask for by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    # At run time these are imported by the fixtures: a plugin is loaded before every test run,
    # also those that need none of it.
    from tonearm_kit.db import Database
    from tonearm_kit.migrations import Component
    from tonearm_kit.testing.clock import FixedClock
    from tonearm_kit.testing.spans import Spans

MakeDatabase = Callable[["Sequence[Component]"], "AbstractAsyncContextManager[str]"]


@pytest.fixture
def fixed_clock() -> FixedClock:
    """A clock that stands still until it is advanced."""
    from tonearm_kit.testing.clock import FixedClock

    return FixedClock()


@pytest.fixture
def spans() -> Iterator[Spans]:
    """The spans that end during the test."""
    from tonearm_kit.testing.spans import record_spans

    with record_spans() as recorded:
        yield recorded


@pytest.fixture
def make_database() -> MakeDatabase:
    """Makes temporary databases with other migrations than the kit's."""
    from tonearm_kit.testing.postgres import temporary_database

    return temporary_database


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """Address of a real Kafka: KAFKA_BOOTSTRAP_SERVERS, or the local stack's.

    Fails the test, rather than skipping it, when nobody answers there.
    """
    from tonearm_kit.testing.kafka import bootstrap_servers

    return bootstrap_servers()


@pytest_asyncio.fixture
async def postgres_url() -> AsyncIterator[str]:
    """URL of a new database with the kit's tables in the schema `app`."""
    from tonearm_kit.testing.postgres import temporary_database

    async with temporary_database() as url:
        yield url


@pytest_asyncio.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """A pool on a new database with the kit's tables."""
    from tonearm_kit.db import Database
    from tonearm_kit.testing.postgres import SCHEMA

    async with Database.open(postgres_url, schema=SCHEMA, size_max=4, wait_s=5.0) as opened:
        yield opened
