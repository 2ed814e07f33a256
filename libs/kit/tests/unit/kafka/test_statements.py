"""The statement's grain: a handler that marks the inbox in a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import asyncpg
import pytest

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.db import Connection, Database, DatabaseAway
from tonearm_kit.kafka.effects import Effects
from tonearm_kit.kafka.failures import Failed, Poison, Verdict
from tonearm_kit.testing.broker import FakeInbox
from tonearm_kit.testing.fakes import FakeDb


class World:
    """Two types in the statement's grain, one in the batch's, and what was done with them."""

    def __init__(self) -> None:
        self.inbox = FakeInbox()
        self.db = FakeDb(self.inbox)
        self.done: list[tuple[str, list[str]]] = []
        self.raises: Exception | None = None
        self.effects = Effects(
            group="g",
            db=cast(Database, self.db),
            handlers={},
            batch_handlers={"z": self.apply_together},
            statement_handlers=dict.fromkeys("xy", self.apply_alone),
            job_handlers={},
            handler_timeout_s=5.0,
            job_timeout_s=5.0,
            inbox=self.inbox,
        )

    async def apply_alone(self, db: Database, group: str, events: Sequence[CloudEvent]) -> int:
        async with db.begin() as conn:
            marks = [(event.source, event.id) for event in events]
            fresh = await self.inbox.first_times(conn, group=group, events=marks)
            if self.raises is not None:
                raise self.raises
            self.done.append(("alone", sorted(id_ for _, id_ in fresh)))
        return len(fresh)

    async def apply_together(self, _: Connection, events: Sequence[CloudEvent]) -> None:
        self.done.append(("together", [event.id for event in events]))


def event(id_: str, type_: str = "x") -> CloudEvent:
    now = datetime.now(UTC)
    return CloudEvent(id=id_, source="/tests", type=type_, subject="s", time=now, data={})


async def test_an_event_is_applied_once() -> None:
    world = World()
    assert world.effects.wants("y")
    assert await world.effects.apply(event("1"))
    assert not await world.effects.apply(event("1"))
    assert world.done == [("alone", ["1"]), ("alone", [])]
    assert world.db.commits == 2


async def test_a_batch_of_several_types_goes_to_their_handler_at_once() -> None:
    world = World()
    await world.effects.apply(event("1"))
    batch = [event("1"), event("2", "y"), event("3"), event("3")]
    assert await world.effects.apply_batch(batch) == 2
    assert world.done[1:] == [("alone", ["2", "3"])]


async def test_a_mixed_batch_keeps_its_order() -> None:
    world = World()
    batch = [event("1"), event("2", "z"), event("3", "z"), event("4", "y")]
    assert await world.effects.apply_batch(batch) == 4
    assert world.done == [("alone", ["1"]), ("together", ["2", "3"]), ("alone", ["4"])]


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (DatabaseAway("no connection"), Verdict.OUTAGE),
        (asyncpg.DeadlockDetectedError("circle"), Verdict.OUTAGE),
        (Poison("no"), Verdict.POISON),
        (ZeroDivisionError(), Verdict.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_fails_is_told_apart_and_leaves_nothing(cause: Exception, kind: Verdict) -> None:
    world = World()
    world.raises = cause
    for attempt in (world.effects.apply(event("1")), world.effects.apply_batch([event("1")])):
        with pytest.raises(Failed) as failed:
            await attempt
        assert (failed.value.cause, failed.value.kind) == (cause, kind)
    world.raises = None
    assert await world.effects.apply(event("1"))


def test_it_needs_a_database() -> None:
    with pytest.raises(ValueError, match="need a database"):
        Effects(
            group="g",
            db=None,
            handlers={},
            batch_handlers={},
            statement_handlers={"x": World().apply_alone},
            job_handlers={},
            handler_timeout_s=5.0,
            job_timeout_s=5.0,
            inbox=FakeInbox(),
        )
