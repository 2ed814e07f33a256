"""The stage of the chaos suite: writer, actors, verdict."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.errors import KafkaError

from tonearm_contracts.envelope import EventData
from tonearm_contracts.topics import Topic
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Connection, Database
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import RetryPolicy, retries
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.failures import DATABASE_TROUBLE
from tonearm_kit.kafka.log import KafkaLog, open_reader, partitions_of
from tonearm_kit.kafka.ports import BrokerError
from tonearm_kit.migrations import KIT, migrate
from tonearm_kit.outbox import Outbox
from tonearm_local.testing import Stack

from .actors import EVENT_TYPE, SCHEMA, Config

T = TypeVar("T")

TABLES = """
CREATE TABLE counters (key text PRIMARY KEY, number int NOT NULL);
CREATE TABLE sent (event_id text PRIMARY KEY, key text NOT NULL, number int NOT NULL);
CREATE TABLE effects (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL, key text NOT NULL, number int NOT NULL
);
"""
NEXT = """
INSERT INTO counters (key, number) VALUES ($1, 1)
ON CONFLICT (key) DO UPDATE SET number = counters.number + 1 RETURNING number
"""
AWAY = (*DATABASE_TROUBLE, BrokerError, KafkaError)
KEYS = 40


class Happened(EventData):
    """Something happened to `key` for the `number`th time."""

    TYPE: ClassVar[str] = EVENT_TYPE
    TOPIC: ClassVar[str] = "chaos"

    happened_to: str
    number: int

    def key(self) -> str:
        """Return the key."""
        return self.happened_to


class Actor:
    """One relay or consumer process; whoever is found dead is started again."""

    def __init__(self, role: str, config: Config, folder: Path) -> None:
        self.role, self.deaths, self.is_wanted = role, 0, False
        self._config_file = folder / f"{role}-{new_id()}.json"
        self._log = folder / "actors.log"
        self.pid_file = self._config_file.with_suffix(".pid")
        config.write(self._config_file)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process."""
        self.is_wanted = True
        with self._log.open("ab") as log:
            argv = [sys.executable, "-m", "tests.chaos.actors", self.role, str(self._config_file)]
            root = Path(__file__).parents[2]
            self._process = subprocess.Popen(argv, cwd=root, stdout=log, stderr=log)
        self.pid_file.write_text(str(self.pid))

    def revive(self) -> None:
        """Start it again if it died."""
        if self.is_wanted and self._process is not None and self._process.poll() is not None:
            self.deaths += 1
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    async def leave(self) -> None:
        """End it as a supervisor would: SIGTERM, then wait."""
        self.is_wanted = False
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, 60)


@dataclass
class Verdict:
    """What is left at the end."""

    events: int
    doubled: int
    lost: int
    phantoms: int
    disordered_keys: int
    stuck_partitions: int
    dead_letters: int
    retried: int
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Whether every effect is there exactly once, in order, and nothing hangs."""
        return not (
            self.doubled
            or self.lost
            or self.phantoms
            or self.disordered_keys
            or self.stuck_partitions
            or self.dead_letters
        )


class World:
    """A topic, a group and a database of their own, on the stack of this run."""

    def __init__(self, stack: Stack, config: Config, folder: Path, chance: random.Random) -> None:
        self.stack, self.config, self.folder, self.chance = stack, config, folder, chance
        self.actors: list[Actor] = []
        self.kills: Counter[str] = Counter()
        self._outbox = Outbox(source="/chaos", clock=SystemClock(), new_id=new_id)
        self._db: Database | None = None

    @classmethod
    @asynccontextmanager
    async def make(
        cls, stack: Stack, folder: Path, *, mutation: str = "", batch: bool = False, seed: int = 1
    ) -> AsyncIterator[World]:
        """Make one and clear it away."""
        name = f"chaos_{new_id().replace('-', '')}"
        (folder / name).mkdir()
        url = urlunsplit(urlsplit(stack.database_admin_url)._replace(path=f"/{name}"))
        admin = await asyncpg.connect(stack.database_admin_url)
        await admin.execute(f'CREATE DATABASE "{name}"')
        await admin.close()
        made = await asyncpg.connect(url)
        await made.execute(f'CREATE SCHEMA "{SCHEMA}"')
        await made.close()
        config = Config(
            servers=stack.kafka, database_url=url, topic=name, group=f"group.{name}",
            fuses=str(folder / name), mutation=mutation, batch=batch,
        )  # fmt: skip
        world = cls(stack, config, folder, random.Random(seed))  # noqa: S311 - repeatable
        topic = Topic(name=name, partitions=4, retention_s=24 * 3600)
        await world.surely(lambda: KafkaBroker(stack.kafka).ensure_topics([topic]))
        async with (
            Database.open(url, schema=SCHEMA, size_max=2) as db,
            asyncio.TaskGroup() as tasks,
        ):
            world._db = db
            await migrate(db, [KIT])
            async with db.acquire() as conn:
                await conn.execute(TABLES)
            reviver = tasks.create_task(world._revive())
            try:
                yield world
            finally:
                reviver.cancel()
                for actor in world.actors:
                    await actor.leave()

    async def surely(self, call: Callable[[], Awaitable[T]], *, timeout_s: float = 300.0) -> T:
        """Call until it works: the stage is shot at, too."""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await call()
                except AWAY:
                    await asyncio.sleep(0.1)

    def actor(self, role: str) -> Actor:
        """Start one more actor."""
        actor = Actor(role, self.config, self.folder)
        actor.start()
        self.actors.append(actor)
        return actor

    async def _revive(self) -> None:
        while True:
            for actor in self.actors:
                actor.revive()
            await asyncio.sleep(0.05)

    async def write(self, count: int) -> None:
        """Commit `count` events with random keys, or a few less when the database dies."""
        for _ in range(count):
            try:
                await self._write_one(f"k{self.chance.randrange(KEYS)}")
            except AWAY:
                await asyncio.sleep(0.05)

    async def _write_one(self, key: str) -> None:
        assert self._db is not None
        async with self._db.begin() as conn:
            number = await conn.fetchval(NEXT, key)
            event = Happened(happened_to=key, number=number)
            event_id = await self._outbox.add(conn, event, topic=self.config.topic)
            await conn.execute("INSERT INTO sent VALUES ($1, $2, $3)", event_id, key, number)

    async def count(self, what: str) -> int:
        """Return a number that the database knows."""

        async def ask() -> int:
            assert self._db is not None
            async with self._db.acquire() as conn:
                return int(await conn.fetchval(f"SELECT count(*) FROM {what}"))  # noqa: S608

        return await self.surely(ask)

    def light(self, point: str, target: str) -> Path:
        """Light the fuse of a point."""
        fuse = Path(self.config.fuses) / point
        part = fuse.with_suffix(".part")
        part.write_text(target)
        part.rename(fuse)
        return fuse

    async def settle(self, events: int, *, timeout_s: float) -> None:
        """Fill up to `events`, then wait until everything is done or nothing moves in time."""
        while (there := await self.count("sent")) < events:
            await self.write(min(50, events - there))
        try:
            async with asyncio.timeout(timeout_s):
                while await self.count("outbox") or await self._unsettled():
                    await asyncio.sleep(0.5)
        except TimeoutError:
            return

    async def _unsettled(self) -> int:
        return await self.surely(self._stuck)

    async def _stuck(self) -> int:
        """Return how many partitions are not committed to their end."""
        config = self.config
        async with open_reader(config.servers, group_id=config.group) as reader:
            partitions = await partitions_of(reader, config.topic)
            ends = await reader.end_offsets(partitions)
            return sum([(await reader.committed(each) or 0) != ends[each] for each in partitions])

    async def verdict(self) -> Verdict:
        """Compare what was committed with what had effect."""

        async def read(conn: Connection) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
            return (
                await conn.fetch("SELECT event_id FROM sent"),
                await conn.fetch("SELECT event_id, key, number FROM effects ORDER BY position"),
            )

        assert self._db is not None
        async with self._db.acquire() as conn:
            sent, effects = await read(conn)
        ids = {row["event_id"] for row in sent}
        applied = Counter(row["event_id"] for row in effects)
        by_key: dict[str, list[int]] = {}
        for row in effects:
            by_key.setdefault(row["key"], []).append(row["number"])
        log, policy = KafkaLog(self.config.servers), RetryPolicy()
        levels = range(len(policy.delays_s) + 1)
        dead = await log.read([retries.dead_letter_topic(self.config.group)])
        again = await log.read([retries.retry_topic(self.config.group, each) for each in levels])
        return Verdict(
            events=len(ids),
            doubled=sum(1 for each in applied.values() if each > 1),
            lost=len(ids - set(applied)),
            phantoms=len(set(applied) - ids),
            disordered_keys=sum(numbers != sorted(numbers) for numbers in by_key.values()),
            stuck_partitions=await self._unsettled(),
            dead_letters=len(dead),
            retried=len(again),
            kills=self.kills,
        )
