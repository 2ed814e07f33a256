"""Which events are recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tonearm_contracts import topics
from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.db import Connection
from tonearm_kit.kafka import Handler
from tonearm_notify.usecases.record import PUBLISHED_TYPES

GROUP: Final = "notify.record"
TOPICS: Final = (
    topics.AUTH_ACCOUNT.name,
    topics.AUTH_FLAGS.name,
    topics.AUTH_NOTICES.name,
    topics.INGEST_AUDIO.name,
    topics.ANALYSIS_JOB.name,
)
Record = Callable[[Connection, CloudEvent], Awaitable[int]]


def handlers(record: Record) -> dict[str, Handler]:
    """Return the handler of every event type that a person may follow."""

    async def on_event(tx: Connection, event: CloudEvent) -> None:
        await record(tx, event)

    return dict.fromkeys(PUBLISHED_TYPES, on_event)
