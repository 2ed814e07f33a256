"""What auth does when other services tell what happened to a recording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tonearm_auth.usecases.ports import Tx
from tonearm_auth.usecases.settle_quota import on_completed, on_deleted, on_failed, on_requested
from tonearm_contracts import topics
from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisRequested,
    AudioDeleted,
)
from tonearm_kit.clock import Clock
from tonearm_kit.db import Connection
from tonearm_kit.kafka import Handler, decode

GROUP = "auth.settle_quota"
TOPICS = (
    topics.ANALYSIS_REQUEST.name,
    topics.ANALYSIS_REQUEST_PRIORITY.name,
    topics.ANALYSIS_JOB.name,
    topics.INGEST_AUDIO.name,
)

TxOn = Callable[[Connection], Tx]
"""Returns the stores on the connection whose transaction the runner opened."""


def handlers(tx_on: TxOn, *, clock: Clock) -> Mapping[str, Handler]:
    """Return the handler of each event type."""

    async def requested(conn: Connection, event: CloudEvent) -> None:
        await on_requested(tx_on(conn), decode(event, AnalysisRequested))

    async def completed(conn: Connection, event: CloudEvent) -> None:
        await on_completed(tx_on(conn), decode(event, AnalysisCompleted))

    async def failed(conn: Connection, event: CloudEvent) -> None:
        await on_failed(tx_on(conn), decode(event, AnalysisFailed))

    async def deleted(conn: Connection, event: CloudEvent) -> None:
        await on_deleted(tx_on(conn), decode(event, AudioDeleted), clock=clock)

    table: dict[str, Callable[[Connection, CloudEvent], Awaitable[None]]] = {
        AnalysisRequested.TYPE: requested,
        AnalysisCompleted.TYPE: completed,
        AnalysisFailed.TYPE: failed,
        AudioDeleted.TYPE: deleted,
    }
    return table
