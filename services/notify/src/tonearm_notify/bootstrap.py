"""The electrician: the only file that sees everything."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files

from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Database
from tonearm_kit.http import Check, create_app
from tonearm_kit.http import serve as serve_http
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import ConsumerRunner
from tonearm_kit.lifecycle import every, keep_running
from tonearm_kit.migrations import KIT, migrate, wait_for_schema
from tonearm_kit.tokens import TokenVerifier
from tonearm_notify.adapters.broker import PostgresBroker
from tonearm_notify.adapters.credentials import TokenCredentials
from tonearm_notify.adapters.observe import Observer
from tonearm_notify.adapters.postgres import PostgresStore
from tonearm_notify.domain.protocol import Limits
from tonearm_notify.entrypoints import consumers
from tonearm_notify.entrypoints.websocket import WebSocketOptions, WebSocketServer
from tonearm_notify.settings import NotifySettings
from tonearm_notify.usecases.admit import Gate
from tonearm_notify.usecases.answer import AnswerOptions, Answers
from tonearm_notify.usecases.deliver import Deliverer
from tonearm_notify.usecases.hub import Hub, HubLimits
from tonearm_notify.usecases.record import record
from tonearm_notify.usecases.revoked import RevokedRights

COMPONENTS = (KIT, ("notify", files("tonearm_notify") / "migrations"))
VERSION = version("tonearm-notify")
_clock = SystemClock()


def open_database(settings: NotifySettings) -> AbstractAsyncContextManager[Database]:
    """Return the pool as a context manager."""
    return Database.open(
        settings.database_url,
        schema=settings.database_schema,
        size_max=settings.database_pool_size_max,
        statement_timeout_s=settings.database_statement_timeout_s,
        lock_timeout_s=settings.database_lock_timeout_s,
        wait_s=settings.database_wait_s,
        application_name="tonearm-notify",
    )


async def migrate_schema(settings: NotifySettings) -> list[str]:
    """Apply what the schema lacks."""
    async with open_database(settings) as db:
        return await migrate(db, COMPONENTS)


@dataclass(frozen=True, slots=True)
class House:
    """The parts of a running process."""

    hub: Hub
    deliverer: Deliverer
    broker: PostgresBroker
    sockets: WebSocketServer
    runner: ConsumerRunner
    store: PostgresStore

    async def is_open(self) -> None:
        """Return once sockets are accepted and announcements are heard."""
        await self.sockets.accepting.wait()
        await self.broker.listening.wait()


def build(settings: NotifySettings, db: Database, verifier: TokenVerifier) -> House:
    """Wire the parts; nothing runs yet."""
    store = PostgresStore(db)
    observer = Observer()
    revoked = RevokedRights(store.load_revoked)
    hub = Hub(store, limits=HubLimits(), watcher=observer)
    gate = Gate(
        TokenCredentials(verifier),
        store,
        revoked,
        now_s=time.time,
        unknown_wait_s=settings.unknown_audio_wait_s,
        unknown_age_max_s=settings.unknown_audio_age_max_s,
    )
    answers = Answers(
        AnswerOptions(
            node=socket.gethostname(),
            version=VERSION,
            connections_per_account_max=settings.connections_per_account_max,
        ),
        gate=gate,
        hub=hub,
        histories=store,
        now_s=time.time,
        monotonic_s=time.monotonic,
        acknowledged=observer.acknowledged,
    )
    sockets = WebSocketServer(
        _socket_options(settings),
        hub=hub,
        answers=answers,
        new_id=new_id,
        now_s=time.monotonic,
        count=observer.count,
    )
    observer.watch_connections(lambda: sockets.open_count)
    deliverer = Deliverer(
        hub,
        store,
        revoked,
        queue_max=settings.delivery_queue_max,
        queue_bytes_max=settings.delivery_queue_bytes_max,
        saw_audio=gate.saw_audio,
    )
    broker = PostgresBroker(db, deliverer.put, compare_every_s=settings.compare_interval_s)
    runner = ConsumerRunner(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group=consumers.GROUP,
        topics=consumers.TOPICS,
        db=db,
        handlers=consumers.handlers(
            partial(record, journal=store, revoked_keep_s=settings.revoked_keep_s)
        ),
    )
    return House(hub, deliverer, broker, sockets, runner, store)


def _socket_options(settings: NotifySettings) -> WebSocketOptions:
    return WebSocketOptions(
        host=settings.ws_host,
        port=settings.ws_port,
        limits=Limits(
            channels_max=settings.channels_per_connection_max,
            frame_bytes_max=settings.frame_bytes_max,
            commands_per_s=settings.commands_per_s,
            commands_burst_max=settings.commands_burst_max,
            connect_timeout_s=settings.connect_timeout_s,
            ping_interval_s=settings.ping_interval_s,
            pong_timeout_s=settings.pong_timeout_s,
            expiry_grace_s=settings.expiry_grace_s,
        ),
        origins=settings.origins,
        connections_max=settings.connections_max,
        connects_per_s=settings.connects_per_s,
        connects_burst=settings.connects_burst,
        queue_bytes_max=settings.queue_bytes_max,
        read_buffer_bytes=settings.read_buffer_bytes,
        send_buffer_bytes=settings.send_buffer_bytes,
        drain_closes_per_s=settings.drain_closes_per_s,
        drain_window_s_max=settings.drain_window_s_max,
    )


async def serve(settings: NotifySettings, stop: asyncio.Event) -> None:
    """Run until `stop`, then drain: sockets are told to reconnect before deliveries end."""
    async with open_database(settings) as db:
        await wait_for_schema(db, COMPONENTS, timeout_s=settings.database_wait_s)
        verifier = TokenVerifier(
            settings.jwks_url,
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            leeway_s=settings.token_leeway_s,
        )
        house = build(settings, db, verifier)
        # Long-lived objects by the ten thousand are not worth going through again and again.
        gc.collect()
        gc.freeze()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_pushes(house, stop))
            tasks.create_task(house.runner.run(stop))
            tasks.create_task(_sweep(settings, house.store, stop))
            tasks.create_task(_serve_http(settings, db, house, stop, verifier))


async def serve_pushes(house: House, stop: asyncio.Event) -> None:
    """Serve sockets until `stop`; deliveries go on until the last one has left."""
    drained = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_serve_sockets(house, stop, drained))
        tasks.create_task(keep_running("broker", house.broker.run, drained))
        tasks.create_task(house.deliverer.run(drained))


async def _serve_sockets(house: House, stop: asyncio.Event, drained: asyncio.Event) -> None:
    try:
        await house.sockets.run(stop)
    finally:
        drained.set()
        house.deliverer.wake()


async def _sweep(settings: NotifySettings, store: PostgresStore, stop: asyncio.Event) -> None:
    async def sweep() -> None:
        await store.sweep(
            keep_s=settings.history_keep_s,
            keep_count=settings.history_keep_count,
            keep_s_max=settings.history_keep_s_max,
            count_max=settings.history_count_max,
        )

    await every(settings.sweep_interval_s, sweep, stop, name="history sweep")


async def _serve_http(
    settings: NotifySettings,
    db: Database,
    house: House,
    stop: asyncio.Event,
    verifier: TokenVerifier,
) -> None:
    async def listening() -> None:
        if not house.broker.listening.is_set():
            raise ConnectionError("not listening for announcements")

    app = create_app(
        title="Tonearm notify",
        version=VERSION,
        routers=[],
        readiness=[Check("postgres", db.ping), Check("broker", listening)],
        body_size_bytes_max=settings.http_body_size_bytes_max,
        verifier=verifier,
    )
    await serve_http(
        app,
        host=settings.http_host,
        port=settings.http_port,
        stop=stop,
        grace_s=settings.shutdown_grace_s,
    )
