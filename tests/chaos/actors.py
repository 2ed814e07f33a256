"""A relay or a consumer as a process that can be made to die, or to kill, at a named point.

`python actors.py ROLE CONFIG.json`. A fuse is a file named like a commit point, holding
`self` or the name of a file with a process id; the actor that passes the point removes it and
kills that process with -9. A fuse that holds `freeze` stops the actor with SIGSTOP instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit import logs
from tonearm_kit.db import Connection, Database
from tonearm_kit.inbox import PostgresInbox
from tonearm_kit.kafka import ConsumerRunner, KafkaProducer, RunnerSettings
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.partition import PartitionWorker
from tonearm_kit.kafka.ports import OnPartitions, Partition, Receiver
from tonearm_kit.lifecycle import run_service
from tonearm_kit.outbox import OutboxRelay, RelaySettings

RELAY_POINTS = ("relay.claimed", "relay.sent", "relay.deleted")
CONSUMER_POINTS = (
    "consumer.begun",
    "consumer.effect",
    "consumer.committed",
    "consumer.offset",
)
IDLE_IN_TRANSACTION_S = 5.0
POINTS = RELAY_POINTS + CONSUMER_POINTS
EVENT_TYPE = "tonearm.chaos.happened.v1"
SCHEMA = "app"

SETTINGS = RunnerSettings(
    session_timeout_s=6.0,
    heartbeat_interval_s=0.5,
    commit_interval_s=0.05,
    outage_max_s=0.5,
    revoke_grace_s=3.0,
    stop_grace_s=5.0,
    queue_messages_high=50,
    queue_messages_low=10,
    batch_messages_max=20,
)


@dataclass(frozen=True, slots=True)
class Config:
    """What an actor is told."""

    servers: str
    database_url: str
    topic: str
    group: str
    fuses: str
    mutation: str = ""
    batch: bool = False

    def write(self, file: Path) -> None:
        """Store it for a child process."""
        file.write_text(json.dumps({name: getattr(self, name) for name in self.__slots__}))

    @classmethod
    def read(cls, file: Path) -> Config:
        """Read what `write` stored."""
        return cls(**json.loads(file.read_text()))


class Fuses:
    """The points of this run."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def pass_point(self, name: str) -> None:
        """Go on, or do what the fuse of this point says."""
        fuse = self._folder / name
        try:
            target = fuse.read_text()
            fuse.unlink()
        except FileNotFoundError:
            return
        if target == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        pid = os.getpid() if target == "self" else int(Path(target).read_text())
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            fuse.write_text(target)  # just being started again: not yet


class ChaosRelay(OutboxRelay):
    """A relay with points before and after each of its commits."""

    fuses: Fuses

    async def _send(self, rows: list[asyncpg.Record]) -> None:
        self.fuses.pass_point("relay.claimed")
        await super()._send(rows)
        self.fuses.pass_point("relay.sent")

    async def _delete(self, conn: Connection, rows: list[asyncpg.Record]) -> None:
        await super()._delete(conn, rows)
        self.fuses.pass_point("relay.deleted")


class ChaosDatabase(Database):
    """A database with a point right after each commit."""

    fuses: Fuses

    @asynccontextmanager
    async def begin_with(self, statement: str) -> AsyncIterator[tuple[Connection, str]]:
        self.fuses.pass_point("consumer.begun")
        async with super().begin_with(statement) as (conn, status):
            yield conn, status
        self.fuses.pass_point("consumer.committed")


class NoInbox(PostgresInbox):
    """Mutation: everything is new."""

    @asynccontextmanager
    async def begin(
        self, db: Database, *, group: str, event_id: str, source: str
    ) -> AsyncIterator[tuple[Connection, bool]]:
        async with db.begin() as conn:
            yield conn, True

    async def first_times(
        self, conn: Connection, *, group: str, events: Sequence[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        return set(events)


class ChaosReceiver:
    """A receiver with a point right after the offset is stored."""

    def __init__(self, receiver: Receiver, fuses: Fuses) -> None:
        self._receiver, self._fuses = receiver, fuses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        await self._receiver.commit(positions)
        self._fuses.pass_point("consumer.offset")


class ChaosBroker(KafkaBroker):
    """A broker whose receivers have points."""

    fuses: Fuses

    @asynccontextmanager
    async def receiver(
        self,
        *,
        group: str,
        topics: Sequence[str],
        on_revoked: OnPartitions,
        on_assigned: OnPartitions,
    ) -> AsyncIterator[Receiver]:
        async with super().receiver(
            group=group, topics=topics, on_revoked=on_revoked, on_assigned=on_assigned
        ) as receiver:
            wrapped: Any = ChaosReceiver(receiver, self.fuses)
            yield wrapped


def commit_before_effect() -> None:
    """Mutation: the offset moves when an event is taken, not when its effect is there."""
    original = PartitionWorker.run

    async def run(self: PartitionWorker) -> None:
        work = self._work

        async def eager(records: Any, hand: Any) -> None:
            hand.done(records[-1].offset + 1)
            await asyncio.sleep(3 * SETTINGS.commit_interval_s)
            await work(records, hand)

        self._work = eager
        await original(self)

    PartitionWorker.run = run  # type: ignore[method-assign]


async def relay(config: Config, stop: asyncio.Event) -> None:
    """Relay until told to stop."""
    settings = RelaySettings(poll_interval_s=0.2, backoff_max_s=0.5, batch_events_max=64)
    async with (
        Database.open(
            config.database_url,
            schema=SCHEMA,
            size_max=3,
            idle_in_transaction_timeout_s=IDLE_IN_TRANSACTION_S,
        ) as db,
        KafkaProducer.open(config.servers, client_id="chaos", send_timeout_s=4.0) as producer,
    ):
        actor = ChaosRelay(db, producer, settings)
        actor.fuses = Fuses(config.fuses)
        await actor.run(stop)


async def consume(config: Config, stop: asyncio.Event) -> None:
    """Consume until told to stop."""
    fuses = Fuses(config.fuses)
    if config.mutation == "commit-before-effect":
        commit_before_effect()

    async def handle(conn: Connection, event: CloudEvent) -> None:
        await conn.execute(
            "INSERT INTO effects (event_id, key, number) VALUES ($1, $2, $3)",
            event.id,
            event.subject,
            event.data["number"],
        )
        fuses.pass_point("consumer.effect")

    async with ChaosDatabase.open(
        config.database_url,
        schema=SCHEMA,
        size_max=5,
        idle_in_transaction_timeout_s=IDLE_IN_TRANSACTION_S,
    ) as db:
        assert isinstance(db, ChaosDatabase)
        db.fuses = fuses
        broker = ChaosBroker(config.servers, settings=SETTINGS)
        broker.fuses = fuses
        runner = ConsumerRunner(
            bootstrap_servers=config.servers,
            group=config.group,
            topics=[config.topic],
            db=db,
            handlers={EVENT_TYPE: handle},
            batch=config.batch,
            settings=SETTINGS,
            broker=broker,
            inbox=NoInbox() if config.mutation == "no-inbox" else None,
        )
        await runner.run(stop)


def main() -> int:
    """Run the role that the command line names."""
    role, config = sys.argv[1], Config.read(Path(sys.argv[2]))
    logs.configure(f"chaos-{role}", level="INFO", format="json")

    async def run(stop: asyncio.Event) -> None:
        await (relay if role == "relay" else consume)(config, stop)

    return run_service(run, grace_s=15.0)


if __name__ == "__main__":
    raise SystemExit(main())
