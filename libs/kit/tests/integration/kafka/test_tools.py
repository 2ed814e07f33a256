"""The tools on real Kafka: dead letters by command line, replay for idle and busy groups."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.topics import Topic
from tonearm_kit import replay
from tonearm_kit.db import Connection, Database
from tonearm_kit.deadletters.__main__ import main as dlq
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import ConsumerRunner, KafkaProducer, Poison, RetryPolicy, RunnerSettings
from tonearm_kit.kafka import topics as topics_command
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.headers import encode
from tonearm_kit.kafka.topics import KafkaSettings

pytestmark = pytest.mark.integration

SETTINGS = RunnerSettings(heartbeat_interval_s=0.2, retries=RetryPolicy(delays_s=(0.1,)))


class Place:
    """A topic, a group and what the group has seen."""

    def __init__(self, servers: str, db: Database) -> None:
        self.servers, self.db = servers, db
        self.topic = f"test.{new_id()}"
        self.group = f"group.{self.topic}"
        self.seen: list[str] = []

    async def handle(self, conn: Connection, event: CloudEvent) -> None:
        if event.data.get("bad"):
            raise Poison("bad")
        self.seen.append(event.id)

    async def send(self, *event_ids: str, **data: object) -> None:
        events = [
            CloudEvent(id=each, source="/t", type="x", subject=each, time=datetime.now(UTC), data=data)
            for each in event_ids
        ]  # fmt: skip
        async with KafkaProducer.open(self.servers, client_id="test") as producer:
            await producer.send([encode(event, topic=self.topic) for event in events])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        runner = ConsumerRunner(
            bootstrap_servers=self.servers, group=self.group, topics=[self.topic], db=self.db,
            handlers={"x": self.handle}, settings=SETTINGS,
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(runner.run(stop))
            try:
                yield
            finally:
                stop.set()

    async def until_seen(self, *event_ids: str) -> None:
        async with asyncio.timeout(40):
            while not set(event_ids) <= set(self.seen):
                await asyncio.sleep(0.02)


@pytest.fixture
async def place(database: Database) -> Place:
    made = Place(KafkaSettings().kafka_bootstrap_servers, database)
    declared = Topic(name=made.topic, partitions=2, retention_s=3600)
    await KafkaBroker(made.servers).ensure_topics([declared])
    return made


async def test_a_dead_letter_is_listed_mended_and_redriven(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def said(*arguments: str) -> str:
        assert await asyncio.to_thread(partial(dlq, list(arguments))) == 0
        return capsys.readouterr().out

    async with place.running():
        await place.send("e1", bad=True)
        async with asyncio.timeout(40):
            while not (listed := await said("list", "--json", "--group", place.group)):
                await asyncio.sleep(0.1)
        letter = json.loads(listed)["id"]
        value = tmp_path / "value.json"
        value.write_text('{"bad": false}', encoding="utf-8")
        await said("--actor", "anna", "edit", letter, "--value", f"@{value}")
        await said("redrive", "--all", "--group", place.group, "--rate", "100")
        await place.until_seen("e1")
    assert "0 dead letters" in await said("list", "--group", place.group)
    assert json.loads((await said("audit", letter)).splitlines()[0])["actor"] == "anna"


async def replayed(place: Place, start: datetime, *more: str) -> int:
    arguments = ["--topic", place.topic, "--group", place.group, "--from", start.isoformat(), *more]
    return await asyncio.to_thread(partial(replay.main, arguments))


@pytest.mark.parametrize("is_live", [False, True])
async def test_a_replay_brings_back_what_had_no_effect_and_doubles_nothing(
    place: Place, capsys: pytest.CaptureFixture[str], is_live: bool
) -> None:
    start = datetime.now(UTC) - timedelta(seconds=1)
    await place.send("e1", "e2", "e3")
    async with place.running():
        await place.until_seen("e1", "e2", "e3")
    async with place.db.begin() as conn:
        await conn.execute("DELETE FROM inbox WHERE event_id = 'e2'")
    place.seen.clear()
    assert await replayed(place, start, "--dry-run") == 0
    assert "3 messages would be" in capsys.readouterr().out
    if not is_live:
        assert await replayed(place, start) == 0
    async with place.running():
        if is_live:
            await place.send("e4")
            await place.until_seen("e4")
            assert await replayed(place, start) == 0
            assert "copied" in capsys.readouterr().out
        await place.until_seen("e2")
    assert sorted(place.seen) == (["e2", "e4"] if is_live else ["e2"])


async def test_a_new_group_starts_where_it_is_told(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    await place.send("e1")
    await asyncio.sleep(0.02)  # Kafka's timestamps count milliseconds
    start = datetime.now(UTC)
    await asyncio.sleep(0.02)
    await place.send("e2")
    assert await replayed(place, start) == 0
    assert "1 messages are read again" in capsys.readouterr().out
    async with place.running():
        await place.until_seen("e2")
    assert place.seen == ["e2"]


def test_creating_the_topics_twice_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert topics_command.main(["create"]) == 0
    capsys.readouterr()
    assert topics_command.main(["create"]) == 0
    out = capsys.readouterr().out
    assert "analysis.job.v1: up to date" in out
    assert "created" not in out


async def test_a_replay_of_nothing_says_so(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.topic = "no.such.topic"
    assert await replayed(place, datetime.now(UTC)) == 1
    assert "no topic no.such.topic" in capsys.readouterr().err
