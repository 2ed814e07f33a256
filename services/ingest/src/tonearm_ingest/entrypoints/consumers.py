"""The Kafka door: what analysis says of its jobs, what auth says of accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import (
    AccountDeleted,
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisStarted,
)
from tonearm_ingest.domain.audio import Failure, Status
from tonearm_ingest.entrypoints import measures
from tonearm_ingest.usecases.ports import Transaction
from tonearm_ingest.usecases.track_analysis import AnalysisNews
from tonearm_kit.db import Connection
from tonearm_kit.kafka import Handler, decode
from tonearm_kit.logs import get_logger

Within = Callable[[Connection], Transaction]
"""Puts the ports on the consumer's transaction."""

log = get_logger(__name__)


def job_handlers(
    *, within: Within, track: Callable[[AnalysisNews, Transaction], Awaitable[bool]]
) -> Mapping[str, Handler]:
    """Return the handlers for `analysis.job.v1`. Progress within a job is of no concern here."""

    async def tell(conn: Connection, news: AnalysisNews) -> None:
        moved = await track(news, within(conn))
        if moved:
            measures.STATUS_MOVES.add(1, {"status": news.status.value})
        log.info(
            "analysis news",
            audio_id=news.audio_id,
            job_id=news.job_id,
            status=news.status.value,
            moved=moved,
        )

    async def on_started(conn: Connection, event: CloudEvent) -> None:
        started = decode(event, AnalysisStarted)
        await tell(
            conn,
            AnalysisNews(
                audio_id=started.audio_id,
                job_id=started.job_id,
                status=Status.PROCESSING,
                at=started.started_at,
            ),
        )

    async def on_completed(conn: Connection, event: CloudEvent) -> None:
        completed = decode(event, AnalysisCompleted)
        await tell(
            conn,
            AnalysisNews(
                audio_id=completed.audio_id,
                job_id=completed.job_id,
                status=Status.COMPLETED,
                at=completed.completed_at,
                summary=completed.summary.model_dump(mode="json"),
            ),
        )

    async def on_failed(conn: Connection, event: CloudEvent) -> None:
        failed = decode(event, AnalysisFailed)
        await tell(
            conn,
            AnalysisNews(
                audio_id=failed.audio_id,
                job_id=failed.job_id,
                status=Status.FAILED,
                at=failed.failed_at,
                failure=Failure(code=failed.code, reason=failed.reason),
            ),
        )

    return {
        AnalysisStarted.TYPE: on_started,
        AnalysisCompleted.TYPE: on_completed,
        AnalysisFailed.TYPE: on_failed,
    }


def account_handlers(
    *, within: Within, forget: Callable[[str, Transaction], Awaitable[int]]
) -> Mapping[str, Handler]:
    """Return the handlers for `auth.account.v1`."""

    async def on_deleted(conn: Connection, event: CloudEvent) -> None:
        account_id = decode(event, AccountDeleted).account_id
        n_removed = await forget(account_id, within(conn))
        log.info("account forgotten", account_id=account_id, n_removed=n_removed)

    return {AccountDeleted.TYPE: on_deleted}
