"""Which events are recorded."""

from __future__ import annotations

from typing import Final

from tonearm_contracts import topics
from tonearm_kit.kafka import StatementHandler
from tonearm_notify.usecases.record import PUBLISHED_TYPES

GROUP: Final = "notify.record"
TOPICS: Final = (
    topics.AUTH_ACCOUNT.name,
    topics.AUTH_FLAGS.name,
    topics.AUTH_NOTICES.name,
    topics.INGEST_AUDIO.name,
    topics.ANALYSIS_JOB.name,
)


def statement_handlers(record: StatementHandler) -> dict[str, StatementHandler]:
    """Return the handler of every event type that a person may follow: one for all of them."""
    return dict.fromkeys(PUBLISHED_TYPES, record)
