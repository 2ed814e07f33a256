"""Which events are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tonearm_contracts import topics
from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.db import Connection
from tonearm_kit.kafka import BatchHandler
from tonearm_notify.usecases.record import PUBLISHED_TYPES

GROUP: Final = "notify.record"
TOPICS: Final = (
    topics.AUTH_ACCOUNT.name,
    topics.AUTH_FLAGS.name,
    topics.AUTH_NOTICES.name,
    topics.INGEST_AUDIO.name,
    topics.ANALYSIS_JOB.name,
)


class Record(Protocol):
    """The recorder, bound to its books."""

    async def __call__(self, tx: Connection, /, *events: CloudEvent) -> int:
        """Write events in the given transaction."""
        ...


def batch_handlers(record: Record) -> dict[str, BatchHandler]:
    """Return the handler of every event type that a person may follow: one for all of them."""

    async def on_events(tx: Connection, events: Sequence[CloudEvent]) -> None:
        await record(tx, *events)

    return dict.fromkeys(PUBLISHED_TYPES, on_events)
