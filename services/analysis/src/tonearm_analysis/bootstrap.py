"""The electrician: opens what the settings name, wires the use cases, runs the doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib import resources

from fastapi import FastAPI
from obstore.store import from_url

from tonearm_analysis.adapters.object_store import StoredRecordings
from tonearm_analysis.adapters.postgres import PostgresStore
from tonearm_analysis.adapters.tempo_ranking import rank_tempi
from tonearm_analysis.adapters.worker_pool import PoolSettings, WorkerPool
from tonearm_analysis.entrypoints import consumers, http
from tonearm_analysis.entrypoints.measures import JobMeasures
from tonearm_analysis.settings import AnalysisSettings
from tonearm_analysis.usecases.analyze_recording import analyze_recording
from tonearm_analysis.usecases.forget import forget_account, forget_audio
from tonearm_analysis.usecases.get_analysis import get_analysis
from tonearm_contracts import topics
from tonearm_contracts.events import AccountDeleted, AnalysisRequested, AudioDeleted
from tonearm_kit import inbox
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Connection, Database
from tonearm_kit.http import Check, create_app, serve
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import ConsumerRunner, KafkaProducer, RunnerSettings
from tonearm_kit.kafka.claims import ObjectClaims
from tonearm_kit.lifecycle import every, keep_running
from tonearm_kit.migrations import KIT, Component, migrate, wait_for_schema
from tonearm_kit.outbox import Outbox, OutboxRelay
from tonearm_kit.wiring import open_database, token_verifier

SOURCE = "/tonearm/analysis"
COMPONENTS: tuple[Component, ...] = (
    KIT,
    ("analysis", resources.files("tonearm_analysis") / "migrations"),
)


async def apply_migrations(settings: AnalysisSettings) -> list[str]:
    """Bring the schema to this version; return what was applied."""
    async with open_database(settings, service="analysis") as db:
        return await migrate(db, COMPONENTS)


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that runs between start and stop."""

    app: FastAPI
    relay: OutboxRelay
    requests: ConsumerRunner
    deletions: ConsumerRunner
    db: Database
    store: PostgresStore


@asynccontextmanager
async def assemble(settings: AnalysisSettings) -> AsyncIterator[Service]:
    """Open pool, producer and workers, and wire them together."""
    clock = SystemClock()
    pool_settings = PoolSettings(
        workers=settings.workers,
        job_timeout_s=settings.job_timeout_s,
        stage_timeout_s=settings.stage_timeout_s,
        memory_bytes_max=settings.worker_memory_bytes_max,
        jobs_per_worker=settings.jobs_per_worker,
    )
    async with (
        open_database(settings, service="analysis") as db,
        WorkerPool.open(pool_settings) as analyzer,
        KafkaProducer.open(settings.kafka_bootstrap_servers, client_id="analysis") as producer,
    ):
        await wait_for_schema(db, COMPONENTS, timeout_s=settings.database_wait_s)
        # Progress with long lists (`progress_items_max`) can be larger than an event may be.
        claims = ObjectClaims.open(settings.object_store_url)
        outbox = Outbox(source=SOURCE, clock=clock, new_id=new_id, claims=claims)
        store = PostgresStore(db, outbox)
        recordings = StoredRecordings(from_url(settings.object_store_url), spool=settings.spool_dir)
        analyze = partial(
            analyze_recording,
            begin=store.begin,
            recordings=recordings,
            analyzer=analyzer,
            clock=clock,
            attempts_max=settings.job_attempts_max,
            progress_items_max=settings.progress_items_max,
        )

        async def forget_one(conn: Connection, audio_id: str) -> None:
            await forget_audio(store.bind(conn), audio_id, clock=clock)

        async def forget_all(conn: Connection, account_id: str) -> None:
            await forget_account(store.bind(conn), account_id)

        yield Service(
            app=create_app(
                title="Tonearm analysis",
                version="1",
                description="What was heard in a recording.",
                readiness=[Check("postgres", db.ping)],
                routers=[
                    http.routes(get=partial(get_analysis, begin=store.begin, rank=rank_tempi))
                ],
                body_size_bytes_max=settings.http_body_size_bytes_max,
                verifier=token_verifier(settings),
            ),
            relay=OutboxRelay(db, producer),
            requests=ConsumerRunner(
                bootstrap_servers=settings.kafka_bootstrap_servers,
                group="analysis.analyze_recording",
                topics=[topics.ANALYSIS_REQUEST_PRIORITY.name, topics.ANALYSIS_REQUEST.name],
                db=db,
                settings=RunnerSettings(
                    client_id="analysis",
                    # One more than works: the next recording is fetched while the last one runs.
                    concurrency=settings.workers + 1,
                    job_timeout_s=settings.job_timeout_s * 2 + 60,
                    priority_topics=(topics.ANALYSIS_REQUEST_PRIORITY.name,),
                ),
                job_handlers={
                    AnalysisRequested.TYPE: consumers.on_analysis_requested(
                        analyze, measures=JobMeasures()
                    )
                },
                claims=claims,
            ),
            deletions=ConsumerRunner(
                bootstrap_servers=settings.kafka_bootstrap_servers,
                group="analysis.forget",
                topics=[topics.INGEST_AUDIO.name, topics.AUTH_ACCOUNT.name],
                db=db,
                handlers={
                    AudioDeleted.TYPE: consumers.on_audio_deleted(forget_one),
                    AccountDeleted.TYPE: consumers.on_account_deleted(forget_all),
                },
            ),
            db=db,
            store=store,
        )


async def serve_until(settings: AnalysisSettings, stop: asyncio.Event) -> None:
    """Run the HTTP door, the relay, both consumers and the sweeper until *stop* is set."""
    clock = SystemClock()
    async with assemble(settings) as service, asyncio.TaskGroup() as tasks:

        async def sweep() -> None:
            memory = timedelta(seconds=settings.deletion_memory_s)
            await service.store.sweep_deleted(older_than=clock.now() - memory)
            await inbox.sweep(service.db)

        host, port = settings.http_host, settings.http_port
        tasks.create_task(serve(service.app, host=host, port=port, stop=stop))
        tasks.create_task(keep_running("relay", service.relay.run, stop))
        tasks.create_task(keep_running("requests", service.requests.run, stop))
        tasks.create_task(keep_running("deletions", service.deletions.run, stop))
        tasks.create_task(every(settings.sweep_every_s, sweep, stop, name="sweep"))
