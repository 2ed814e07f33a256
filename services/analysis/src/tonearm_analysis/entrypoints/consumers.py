"""What analysis does with the events it hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tonearm_analysis.entrypoints.measures import JobMeasures
from tonearm_analysis.usecases.analyze_recording import AnalyzeRecording, Ending
from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AccountDeleted, AnalysisRequested, AudioDeleted
from tonearm_kit.db import Connection
from tonearm_kit.kafka import Handler, JobHandler, decode


def on_analysis_requested(
    analyze: Callable[[AnalyzeRecording], Awaitable[Ending]], *, measures: JobMeasures
) -> JobHandler:
    """Return the handler of requests; it may run for minutes and owns its transactions."""

    async def handle(event: CloudEvent) -> None:
        asked = decode(event, AnalysisRequested)
        ending = await analyze(
            AnalyzeRecording(
                job_id=asked.job_id,
                audio_id=asked.audio_id,
                account_id=asked.account_id,
                object_key=asked.object_key,
                sha256=asked.sha256,
                size_bytes=asked.size_bytes,
                parameters=asked.parameters,
                quota_reservation_id=asked.quota_reservation_id,
            )
        )
        measures.count(ending)

    return handle


def on_audio_deleted(forget: Callable[[Connection, str], Awaitable[None]]) -> Handler:
    """Return the handler of deletions."""

    async def handle(conn: Connection, event: CloudEvent) -> None:
        await forget(conn, decode(event, AudioDeleted).audio_id)

    return handle


def on_account_deleted(forget: Callable[[Connection, str], Awaitable[None]]) -> Handler:
    """Return the handler of deleted accounts."""

    async def handle(conn: Connection, event: CloudEvent) -> None:
        await forget(conn, decode(event, AccountDeleted).account_id)

    return handle
