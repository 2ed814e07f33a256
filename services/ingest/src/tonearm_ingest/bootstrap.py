"""The electrician: opens what the settings name, wires the use cases, runs the doors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from fastapi import FastAPI

from tonearm_contracts import topics
from tonearm_ingest.adapters.auth_client import GrpcEntitlements
from tonearm_ingest.adapters.object_store import ObstoreBlobs
from tonearm_ingest.adapters.postgres import PostgresLibrary
from tonearm_ingest.adapters.probe_child import ProbeLimits
from tonearm_ingest.adapters.prober import ProcessProber
from tonearm_ingest.adapters.store_url import local_folder, open_store
from tonearm_ingest.entrypoints import consumers, http, measures, tus, tus_headers
from tonearm_ingest.entrypoints.gate import UploadGate
from tonearm_ingest.settings import Settings
from tonearm_ingest.usecases.accept_upload import Intake, UploadLimits, accept_upload
from tonearm_ingest.usecases.append_bytes import append_bytes
from tonearm_ingest.usecases.browse import download_audio, get_audio, list_audio
from tonearm_ingest.usecases.concatenate import concatenate
from tonearm_ingest.usecases.delete_audio import delete_audio, forget_account
from tonearm_ingest.usecases.ports import Entitlements, Prober, Transaction
from tonearm_ingest.usecases.resumable import (
    ResumableLimits,
    find_upload,
    give_up,
    open_upload,
)
from tonearm_ingest.usecases.sweep import SweepLimits, sweep
from tonearm_ingest.usecases.track_analysis import track_analysis
from tonearm_kit import grpc as kit_grpc
from tonearm_kit import http as kit_http
from tonearm_kit import inbox
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Database
from tonearm_kit.http import Check
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import ConsumerRunner, KafkaProducer
from tonearm_kit.kafka.claims import ObjectClaims
from tonearm_kit.lifecycle import every, keep_running
from tonearm_kit.migrations import KIT, Component, wait_for_schema
from tonearm_kit.migrations import migrate as migrate_schema
from tonearm_kit.outbox import Outbox, OutboxRelay
from tonearm_kit.tokens import TokenVerifier
from tonearm_kit.wiring import open_database, token_verifier

SOURCE = "/tonearm/ingest"
COMPONENTS: tuple[Component, ...] = (KIT, ("ingest", files("tonearm_ingest") / "migrations"))
_FORM_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the doors stand on; tests put fakes in place of neighbours."""

    settings: Settings
    db: Database
    library: PostgresLibrary
    blobs: ObstoreBlobs
    entitlements: Entitlements
    prober: Prober
    verifier: TokenVerifier


async def migrate(settings: Settings) -> list[str]:
    """Apply what the schema lacks; returns the labels of the files that ran."""
    async with open_database(settings, service="ingest") as db:
        return await migrate_schema(db, COMPONENTS)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run HTTP, relay, consumers and sweeper until `stop`."""
    async with (
        open_database(settings, service="ingest") as db,
        kit_grpc.channel(settings.auth_grpc_target, timeout_s=settings.auth_timeout_s) as channel,
        KafkaProducer.open(settings.kafka_bootstrap_servers, client_id="ingest") as producer,
        ProcessProber.open(
            settings.object_store_url,
            children_max=settings.probe_processes_max,
            timeout_s=settings.probe_timeout_s,
            limits=ProbeLimits(
                read_bytes_max=settings.probe_read_bytes_max,
                address_space_bytes_max=settings.probe_address_space_bytes_max,
                tag_chars_max=settings.tag_chars_max,
            ),
        ) as prober,
    ):
        parts = Parts(
            settings=settings,
            db=db,
            library=PostgresLibrary(db, Outbox(source=SOURCE, clock=SystemClock(), new_id=new_id)),
            blobs=open_blobs(settings),
            entitlements=GrpcEntitlements(
                channel,
                reservation_ttl_s=settings.reservation_ttl_s,
                retry_after_s=settings.auth_retry_after_s,
            ),
            prober=prober,
            verifier=token_verifier(settings),
        )
        await wait_for_schema(db, COMPONENTS, timeout_s=settings.database_wait_s)
        await prober.warm_up()
        await _run(parts, OutboxRelay(db, producer), stop)


async def _run(parts: Parts, relay: OutboxRelay, stop: asyncio.Event) -> None:
    settings = parts.settings
    jobs, accounts = make_consumers(parts)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            kit_http.serve(
                make_app(parts), host=settings.http_host, port=settings.http_port, stop=stop
            )
        )
        tasks.create_task(keep_running("relay", relay.run, stop))
        tasks.create_task(keep_running("jobs", jobs.run, stop))
        tasks.create_task(keep_running("accounts", accounts.run, stop))
        tasks.create_task(every(settings.sweep_interval_s, make_sweep(parts), stop, name="sweep"))
        tasks.create_task(inbox.sweep_forever(parts.db, stop))


def open_blobs(settings: Settings) -> ObstoreBlobs:
    """Return the object store that the settings name."""
    return ObstoreBlobs(
        open_store(
            settings.object_store_url,
            timeout_s=settings.object_store_timeout_s,
            retries_max=settings.object_store_retries_max,
        ),
        part_size_bytes=settings.upload_part_size_bytes,
        parts_in_flight_max=settings.upload_parts_in_flight_max,
        read_size_bytes=settings.download_piece_size_bytes,
        folder=local_folder(settings.object_store_url),
    )


def make_intake(parts: Parts) -> Intake:
    """Return what uploads of either kind work with."""
    settings = parts.settings
    return Intake(
        begin=parts.library.begin,
        blobs=parts.blobs,
        entitlements=parts.entitlements,
        prober=parts.prober,
        clock=SystemClock(),
        new_id=new_id,
        limits=UploadLimits(
            size_bytes_max=settings.upload_size_bytes_max,
            filename_chars_max=settings.filename_chars_max,
            duration_s_max=settings.upload_duration_s_max,
            lease_s=settings.upload_lease_s,
        ),
    )


def make_office(parts: Parts, intake: Intake, gate: UploadGate) -> http.Office:
    """Return what the door `/v1/audio` opens to."""
    settings, begin, clock = parts.settings, parts.library.begin, SystemClock()
    return http.Office(
        accept=partial(accept_upload, intake=intake),
        get=partial(get_audio, begin=begin),
        browse=partial(list_audio, begin=begin),
        download=partial(
            download_audio, begin=begin, blobs=parts.blobs, entitlements=parts.entitlements
        ),
        delete=partial(delete_audio, begin=begin, blobs=parts.blobs, clock=clock),
        gate=gate,
        upload_idle_s_max=settings.upload_idle_s_max,
    )


def make_tus_office(parts: Parts, intake: Intake, gate: UploadGate) -> tus.TusOffice:
    """Return what the door `/v1/uploads` opens to."""
    settings, begin, clock = parts.settings, parts.library.begin, SystemClock()
    limits = ResumableLimits(
        lifetime_s=settings.resumable_lifetime_h * 3600,
        open_per_account_max=settings.resumable_open_max,
        open_bytes_per_account_max=settings.resumable_open_bytes_max,
        part_size_bytes=settings.resumable_part_size_bytes,
        parts_max=settings.resumable_parts_max,
    )
    return tus.TusOffice(
        open=partial(open_upload, intake=intake, limits=limits),
        find=partial(find_upload, begin=begin, clock=clock),
        append=partial(append_bytes, intake=intake, limits=limits),
        concatenate=partial(concatenate, intake=intake, limits=limits),
        give_up=partial(give_up, begin=begin, blobs=parts.blobs, clock=clock),
        gate=gate,
        upload_idle_s_max=settings.upload_idle_s_max,
        size_bytes_max=settings.upload_size_bytes_max,
    )


def make_app(parts: Parts) -> FastAPI:
    """Return the HTTP app."""
    measures.begin_counts()
    settings, intake = parts.settings, make_intake(parts)
    gate = UploadGate(
        settings.uploads_concurrent_max,
        refused_body_bytes_max=settings.refused_body_bytes_max,
        refused_body_s_max=settings.refused_body_s_max,
    )
    return kit_http.create_app(
        title="Tonearm ingest",
        version="1",
        routers=[
            http.routes(make_office(parts, intake, gate)),
            tus.routes(make_tus_office(parts, intake, gate)),
        ],
        readiness=[Check("postgres", parts.db.ping), Check("object_store", parts.blobs.ping)],
        body_size_bytes_max=settings.http_body_size_bytes_max,
        body_size_bytes_max_by_prefix={
            "/v1/audio": settings.upload_size_bytes_max + _FORM_BYTES_MAX,
            tus_headers.PREFIX: settings.resumable_request_bytes_max,
        },
        verifier=parts.verifier,
    )


def make_consumers(parts: Parts) -> tuple[ConsumerRunner, ConsumerRunner]:
    """Return the consumers of job news and of account news."""
    settings, clock = parts.settings, SystemClock()

    async def forget(account_id: str, tx: Transaction) -> int:
        return await forget_account(
            account_id, tx=tx, clock=clock, batch_size_max=settings.account_batch_size_max
        )

    jobs = ConsumerRunner(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group="ingest.track_analysis",
        topics=[topics.ANALYSIS_JOB.name],
        db=parts.db,
        handlers=consumers.job_handlers(
            within=parts.library.within, track=lambda news, tx: track_analysis(news, tx=tx)
        ),
        batch=True,
        claims=ObjectClaims.open(settings.object_store_url),
    )
    accounts = ConsumerRunner(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group="ingest.forget_account",
        topics=[topics.AUTH_ACCOUNT.name],
        db=parts.db,
        handlers=consumers.account_handlers(within=parts.library.within, forget=forget),
    )
    return jobs, accounts


def make_sweep(parts: Parts) -> Callable[[], Awaitable[None]]:
    """Return the sweep, bound and measured."""
    settings = parts.settings
    bound = partial(
        sweep,
        begin=parts.library.begin,
        blobs=parts.blobs,
        clock=SystemClock(),
        limits=SweepLimits(
            objects_max=settings.sweep_objects_max,
            uploads_max=settings.sweep_uploads_max,
            retry_after_s=settings.sweep_retry_after_s,
            removed_kept_s=settings.removed_kept_s,
        ),
    )

    async def measured() -> None:
        measures.count_swept(await bound())

    return measured
