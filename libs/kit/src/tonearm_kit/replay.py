"""`tonearm replay`: let a consumer group read a topic again from a point in time.

For new subscribers (start in the past) and repairs (events that never had their effect). Events
whose effect is there are recognised by the inbox and skipped, so replaying is always safe.

A group without members simply gets new positions. A group at work cannot be moved, so the events
are copied to its own redrive topic and arrive between the others.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka.errors import KafkaError

from tonearm_kit.kafka import admin, retries
from tonearm_kit.kafka.log import KafkaLog, open_reader, partitions_of, told
from tonearm_kit.kafka.ports import BrokerError, OutRecord, Partition, Record
from tonearm_kit.kafka.producer import KafkaProducer
from tonearm_kit.kafka.topics import KafkaSettings

_COPY_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a replay will do: per partition the first offset to read again and today's end."""

    topic: str
    group: str
    is_live: bool
    """Whether the group has members now."""
    ranges: dict[Partition, tuple[int, int]]

    @property
    def messages(self) -> int:
        """How many messages are read again, at most."""
        return sum(end - first for first, end in self.ranges.values())


async def plan(servers: str, *, topic: str, group: str, start: datetime) -> Plan:
    """Look up where `start` lies in each partition. Raises `BrokerError`."""
    async with _kafka_errors(servers), open_reader(servers) as reader:
        partitions = await partitions_of(reader, topic)
        start_ms = int(start.timestamp() * 1000)
        found = await reader.offsets_for_times(dict.fromkeys(partitions, start_ms))
        ends = await reader.end_offsets(partitions)
        ranges = {
            Partition(*each): (found[each].offset if found[each] else ends[each], ends[each])
            for each in partitions
        }
    return Plan(topic=topic, group=group, is_live=await _is_live(servers, group), ranges=ranges)


async def carry_out(servers: str, planned: Plan) -> None:
    """Do what was planned. Raises `BrokerError`."""
    if planned.is_live:
        await _copy(servers, planned)
        return
    async with _kafka_errors(servers), open_reader(servers, group_id=planned.group) as reader:
        partitions = await partitions_of(reader, planned.topic)
        reader.assign(partitions)
        await reader.commit({each: planned.ranges[Partition(*each)][0] for each in partitions})


async def _copy(servers: str, planned: Plan) -> None:
    starts = {where: first for where, (first, _) in planned.ranges.items()}
    batch: list[OutRecord] = []
    async with KafkaProducer.open(servers, client_id="tonearm-replay") as producer:
        async for record in KafkaLog(servers).read_range([planned.topic], starts):
            batch.append(_copied(record, planned.group))
            if len(batch) == _COPY_BATCH:
                await producer.send(batch)
                batch = []
        await producer.send(batch)


def _copied(record: Record, group: str) -> OutRecord:
    return OutRecord(
        topic=retries.retry_topic(group, retries.REDRIVE_LEVEL),
        key=record.key,
        value=record.value,
        headers=[
            *retries.own_headers(record.headers),
            *retries.Origin.of(record).headers(),
            (retries.GROUP, group.encode()),
        ],
    )


async def _is_live(servers: str, group: str) -> bool:
    async with _kafka_errors(servers), admin.open_admin(servers) as client:
        for response in await client.describe_consumer_groups([group]):
            for described in response.groups:
                if described[2] not in ("Empty", "Dead", ""):
                    return True
    return False


@asynccontextmanager
async def _kafka_errors(servers: str) -> AsyncIterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        raise told(error, servers) from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-03-01T12:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


async def _main(options: argparse.Namespace) -> int:
    servers = options.bootstrap_servers or KafkaSettings().kafka_bootstrap_servers
    planned = await plan(servers, topic=options.topic, group=options.group, start=options.start)
    for where, (first, end) in sorted(planned.ranges.items()):
        sys.stdout.write(f"{where.topic}[{where.partition}]: {first} to {end}\n")
    way = "copied to its redrive topic" if planned.is_live else "read again from there"
    word = "would be" if options.dry_run else "are"
    if not options.dry_run:
        await carry_out(servers, planned)
    sys.stdout.write(f"{planned.messages} messages {word} {way} by {planned.group}\n")
    return 0


def main(arguments: Sequence[str] | None = None, *, prog: str = "tonearm replay") -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description="Let a group read a topic again.")
    parser.add_argument("--bootstrap-servers", help="default: KAFKA_BOOTSTRAP_SERVERS")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument(
        "--from", dest="start", type=_moment, required=True, help="ISO 8601; UTC unless it says"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    try:
        return asyncio.run(_main(parser.parse_args(arguments)))
    except BrokerError as error:
        sys.stderr.write(f"{prog}: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main(prog="python -m tonearm_kit.replay"))
