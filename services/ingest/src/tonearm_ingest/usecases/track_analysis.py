"""Follow the analysis of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tonearm_contracts.events import AudioUpdated
from tonearm_ingest.domain.audio import Failure, Status
from tonearm_ingest.usecases.ports import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisNews:
    """What analysis said of one of its jobs."""

    audio_id: str
    job_id: str
    status: Status
    at: datetime
    failure: Failure | None = None
    summary: Mapping[str, Any] | None = None


async def track_analysis(news: AnalysisNews, *, tx: Transaction) -> bool:
    """Move the status of the recording and say so; returns whether anything changed.

    Old news, replays and news of deleted recordings change nothing. Runs in the transaction of
    the consumer, which holds the inbox row as well.
    """
    audio = await tx.audio.find_for_update(news.audio_id)
    moved = audio and audio.moved(
        news.status, job_id=news.job_id, at=news.at, failure=news.failure, summary=news.summary
    )
    if not moved:
        return False
    await tx.audio.save(moved)
    await tx.events.add(
        AudioUpdated(
            audio_id=moved.id,
            account_id=moved.account_id,
            status=moved.status.value,
            filename=moved.filename,
            reason=moved.failure.reason if moved.failure else None,
        ),
        correlation_id=moved.job_id,
    )
    return True
