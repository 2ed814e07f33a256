"""What the runner needs of a broker: the real one and the one in `tonearm_kit.testing` offer it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tonearm_contracts.topics import Topic

Header = tuple[str, bytes]


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(Protocol):
    """One record as a consumer sees it; aiokafka's own class fits."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""
        ...

    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[Header]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class OutRecord:
    """One record to send. Without a partition, the key chooses it (murmur2, as Java does)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    partition: int | None = None


class BrokerError(Exception):
    """The broker did not do what was asked; the same call may succeed later."""


class Lost(BrokerError):
    """A commit came too late: the partitions belong to another member by now."""


class Sender(Protocol):
    """Sends records so that those of one partition stay in order."""

    async def send(self, records: Sequence[OutRecord]) -> None:
        """Return when every record is acknowledged by all in-sync replicas.

        Raises `BrokerError`; then any part of the records may or may not have arrived.
        """
        ...


OnPartitions = Callable[[frozenset[Partition]], Awaitable[None]]


class Receiver(Protocol):
    """One member of a consumer group."""

    async def poll(
        self, *, timeout_s: float, records_max: int
    ) -> Mapping[Partition, Sequence[Record]]:
        """Return what has arrived, at latest after `timeout_s`. Raises `BrokerError`."""
        ...

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Deliver nothing of these partitions until `resume`."""
        ...

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Deliver these partitions again."""
        ...

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Store the next offset to read of each partition. Raises `Lost`, `BrokerError`."""
        ...

    async def committed(self, partition: Partition) -> int | None:
        """Return the stored next offset, None if there is none. Raises `BrokerError`."""
        ...


class Broker(Protocol):
    """A message broker with consumer groups."""

    async def ensure_topics(self, topics: Sequence[Topic]) -> list[str]:
        """Create what is missing and return the names created. Raises `BrokerError`."""
        ...

    async def missing_topics(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that do not exist. Raises `BrokerError`."""
        ...

    def sender(self) -> AbstractAsyncContextManager[Sender]:
        """Open a sender for as long as the context lasts."""
        ...

    def receiver(
        self,
        *,
        group: str,
        topics: Sequence[str],
        on_revoked: OnPartitions,
        on_assigned: OnPartitions,
    ) -> AbstractAsyncContextManager[Receiver]:
        """Join `group` for as long as the context lasts.

        `on_revoked` is awaited before the partitions go to another member; `on_assigned` gets
        the whole new assignment. Heartbeats go on during both.
        """
        ...
