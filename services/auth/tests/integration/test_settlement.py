"""Quota settled by events over real Kafka, each exactly once; auth's own events on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.auth.tests.conformance import account
from tonearm_auth.adapters.postgres import PostgresTx
from tonearm_auth.bootstrap import Parts
from tonearm_auth.domain.quota import Amounts
from tonearm_auth.entrypoints.consumers import handlers
from tonearm_auth.usecases.reserve_quota import Reserve, quote, reserve
from tonearm_contracts.events import (
    AccountRegistered,
    AnalysisCompleted,
    AnalysisRequested,
    AnalysisSummary,
    AudioDeleted,
)
from tonearm_contracts.topics import Topic
from tonearm_kit.clock import SystemClock
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import ConsumerRunner, KafkaProducer, RunnerSettings, admin
from tonearm_kit.outbox import Outbox, OutboxRelay
from tonearm_kit.testing.kafka import bootstrap_servers

pytestmark = pytest.mark.integration


@asynccontextmanager
async def running(parts: Parts, topic: str) -> AsyncIterator[None]:
    """Relay what is in the outbox to `topic`, and settle quota by what is read from it."""
    servers, stop = bootstrap_servers(), asyncio.Event()
    made = Topic(name=topic, partitions=2, retention_s=3600)
    await admin.ensure_topics(servers, [made], replication_factor=1)
    runner = ConsumerRunner(
        bootstrap_servers=servers,
        group=f"{topic}.settle",
        topics=[topic],
        db=parts.db,
        handlers=handlers(lambda conn: PostgresTx(conn, outbox=parts.outbox), clock=parts.clock),
        settings=RunnerSettings(client_id=topic),
    )
    async with (
        KafkaProducer.open(servers, client_id=topic) as producer,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(OutboxRelay(parts.db, producer).run(stop))
        tasks.create_task(runner.run(stop))
        try:
            yield
        finally:
            stop.set()


async def until_used(parts: Parts, expected: Amounts) -> None:
    async with asyncio.timeout(45):
        while (await quote("id-anna", begin=parts.begin, clock=parts.clock)).used != expected:
            await asyncio.sleep(0.05)


async def test_the_life_of_a_recording_settles_its_reservation(parts: Parts) -> None:
    topic = f"test.auth.{new_id()}"
    outbox = Outbox(source="/tonearm/test", clock=SystemClock(), new_id=new_id)
    async with parts.begin() as tx:
        await tx.accounts.add(account())
    held = await reserve(
        Reserve(
            account_id="id-anna",
            idempotency_key="audio1",
            amounts=Amounts(uploads=1, stored_bytes=1000, analysed_audio_ms=60_000),
            ttl_s=600,
        ),
        begin=parts.begin,
        clock=parts.clock,
        new_id=new_id,
    )
    requested = AnalysisRequested(
        audio_id="audio1",
        account_id="id-anna",
        job_id="j1",
        object_key="o",
        sha256="0" * 64,
        size_bytes=1000,
        format="wav",
        lane="standard",
        quota_reservation_id=held.id,
    )
    completed = AnalysisCompleted(
        job_id="j1",
        audio_id="audio1",
        account_id="id-anna",
        result_id="r",
        engine_version="1",
        engine_duration_s=1.0,
        cached=False,
        summary=AnalysisSummary(
            duration_s=61.5,
            tempo_bpm=None,
            tempo_confidence=None,
            key=None,
            key_confidence=None,
            loudness_lufs=None,
        ),
        quota_reservation_id=held.id,
        completed_at=parts.clock.now(),
    )
    deleted = AudioDeleted(audio_id="audio1", account_id="id-anna")
    unrelated = AccountRegistered(
        account_id="id-anna",
        email="x@example.org",
        full_name=None,
        plan="free",
        registered_at=parts.clock.now(),
    )
    async with running(parts, topic):
        async with parts.db.begin() as conn:
            for event in (requested, unrelated, completed, completed):
                await outbox.add(conn, event, topic=topic)
        await until_used(parts, Amounts(uploads=1, stored_bytes=1000, analysed_audio_ms=61_500))
        async with parts.db.begin() as conn:
            await outbox.add(conn, deleted, topic=topic)
        await until_used(parts, Amounts(uploads=1, analysed_audio_ms=61_500))
