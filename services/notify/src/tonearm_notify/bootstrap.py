"""The electrician: the only file that sees everything."""

from __future__ import annotations

import asyncio
import gc
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import Final

import httpx
from fastapi import FastAPI

from tonearm_kit import inbox
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Database
from tonearm_kit.http import Check, create_app
from tonearm_kit.http import serve as serve_http
from tonearm_kit.idempotency import PostgresIdempotency
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import ConsumerRunner
from tonearm_kit.kafka.claims import ObjectClaims
from tonearm_kit.lifecycle import every, keep_running
from tonearm_kit.migrations import KIT, migrate, wait_for_schema
from tonearm_kit.tokens import TokenVerifier
from tonearm_kit.wiring import open_database, token_verifier
from tonearm_notify.adapters.broker import PostgresBroker
from tonearm_notify.adapters.credentials import TokenCredentials
from tonearm_notify.adapters.journal import PostgresJournal
from tonearm_notify.adapters.notifications import PostgresNotifications
from tonearm_notify.adapters.observe import Observer
from tonearm_notify.adapters.postgres import PostgresStore
from tonearm_notify.adapters.presence import PostgresPresence
from tonearm_notify.adapters.sealing import SecretBox
from tonearm_notify.adapters.sender import HttpSender, open_client
from tonearm_notify.adapters.tickets import PostgresTickets
from tonearm_notify.adapters.webhooks import PostgresWebhooks
from tonearm_notify.domain.protocol import Limits
from tonearm_notify.entrypoints import consumers, events, webhooks
from tonearm_notify.entrypoints.notifications import routes as notification_routes
from tonearm_notify.entrypoints.websocket import WebSocketOptions, WebSocketServer
from tonearm_notify.settings import NotifySettings
from tonearm_notify.usecases.admit import Gate
from tonearm_notify.usecases.answer import AnswerOptions, Answers
from tonearm_notify.usecases.deliver import Deliverer
from tonearm_notify.usecases.feed import HubLimits
from tonearm_notify.usecases.hub import Hub
from tonearm_notify.usecases.owners import RememberedOwners
from tonearm_notify.usecases.presence import Presence
from tonearm_notify.usecases.record import Books, record
from tonearm_notify.usecases.revoked import RevokedRights
from tonearm_notify.usecases.send_webhooks import Postman
from tonearm_notify.usecases.stream import StreamOptions, Streams
from tonearm_notify.usecases.webhook_ports import WebhookOptions
from tonearm_notify.usecases.webhooks import Webhooks

COMPONENTS = (KIT, ("notify", files("tonearm_notify") / "migrations"))
VERSION = version("tonearm-notify")
_clock = SystemClock()
_SWITCH_INTERVAL_S: Final = 0.0005


async def migrate_schema(settings: NotifySettings) -> list[str]:
    """Apply what the schema lacks."""
    async with open_database(settings, service="notify") as db:
        return await migrate(db, COMPONENTS)


@dataclass(frozen=True, slots=True)
class House:
    """The parts of a running process."""

    hub: Hub
    deliverer: Deliverer
    broker: PostgresBroker
    sockets: WebSocketServer
    streams: Streams
    runner: ConsumerRunner
    books: Books
    presence: Presence
    postman: Postman
    app: FastAPI
    sweeps: Sequence[Callable[[], Awaitable[object]]]

    async def is_open(self) -> None:
        """Return once sockets are accepted and announcements are heard."""
        await self.sockets.accepting.wait()
        await self.broker.listening.wait()

    async def sweep(self) -> None:
        """Delete what is kept longer than promised."""
        for sweep in self.sweeps:
            await sweep()


def build(
    settings: NotifySettings, db: Database, verifier: TokenVerifier, client: httpx.AsyncClient
) -> House:
    """Wire the parts; nothing runs yet."""
    store = PostgresStore(db)
    observer = Observer()
    revoked = RevokedRights(store.load_revoked)
    hub = Hub(store, limits=HubLimits(), watcher=observer)
    owners = RememberedOwners(store)
    gate = Gate(
        TokenCredentials(verifier),
        owners,
        revoked,
        now_s=time.time,
        unknown_wait_s=settings.unknown_audio_wait_s,
        unknown_age_max_s=settings.unknown_audio_age_max_s,
    )
    presence_store = PostgresPresence(
        db, replica=new_id(), alive_s=5 * settings.presence_interval_s
    )
    presence = Presence(hub, presence_store)
    sockets = _sockets(
        settings, hub=hub, gate=gate, store=store, observer=observer, presence=presence
    )
    observer.watch_connections(lambda: sockets.open_count)
    streams = Streams(
        StreamOptions(
            connections_per_account_max=settings.connections_per_account_max,
            queue_bytes_max=settings.queue_bytes_max,
            keep_alive_s=settings.events_keep_alive_s,
            drain_window_s_max=settings.drain_window_s_max,
        ),
        gate=gate,
        hub=hub,
        new_id=new_id,
        now_s=time.time,
    )
    deliverer = Deliverer(
        hub,
        store,
        revoked,
        owners,
        queue_max=settings.delivery_queue_max,
        queue_bytes_max=settings.delivery_queue_bytes_max,
        saw_audio=gate.saw_audio,
    )
    broker = PostgresBroker(db, deliverer.put, compare_every_s=settings.compare_interval_s)
    notifications, webhook_store = (
        PostgresNotifications(db),
        PostgresWebhooks(db, _secret_box(settings)),
    )
    books = Books(
        journal=PostgresJournal(),
        notifications=notifications,
        webhooks=webhook_store,
        revoked_keep_s=settings.revoked_keep_s,
        hand_over=deliverer.hand_over,
    )
    runner = ConsumerRunner(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group=consumers.GROUP,
        topics=consumers.TOPICS,
        db=db,
        statement_handlers=consumers.statement_handlers(partial(record, books=books)),
        claims=ObjectClaims.open(settings.object_store_url) if settings.object_store_url else None,
    )
    sender = HttpSender(
        client,
        private_allowed=settings.webhook_private_allowed,
        http_allowed=settings.webhook_http_allowed,
        timeout_s=settings.webhook_timeout_s,
    )
    options = WebhookOptions(
        per_account_max=settings.webhooks_per_account_max,
        http_allowed=settings.webhook_http_allowed,
        disable_after_s=settings.webhook_disable_after_s,
        poll_s=settings.webhook_poll_s,
        lease_s=settings.webhook_timeout_s + 30,
    )
    tickets, idempotency = PostgresTickets(db), PostgresIdempotency(db)
    manage = Webhooks(
        options,
        store=webhook_store,
        sender=sender,
        clock=_clock,
        new_id=new_id,
        new_key=secrets.token_bytes,
    )

    async def listening() -> None:
        if not broker.listening.is_set():
            raise ConnectionError("not listening for announcements")

    app = create_app(
        title="Tonearm notify",
        version="1",
        description="What happened, told at once: event streams, notifications, webhooks. "
        "The WebSocket, `/connection/websocket`, speaks the Centrifugo client protocol.",
        routers=[
            events.routes(open_stream=streams.open, tickets=tickets),
            notification_routes(notifications),
            webhooks.routes(manage, idempotency=idempotency, new_id=new_id),
        ],
        readiness=[Check("postgres", db.ping), Check("broker", listening)],
        body_size_bytes_max=settings.http_body_size_bytes_max,
        verifier=verifier,
    )
    return House(
        hub=hub,
        deliverer=deliverer,
        broker=broker,
        sockets=sockets,
        streams=streams,
        runner=runner,
        books=books,
        presence=presence,
        postman=Postman(options, store=webhook_store, sender=sender, clock=_clock),
        app=app,
        sweeps=(
            partial(
                store.sweep,
                keep_s=settings.history_keep_s,
                keep_count=settings.history_keep_count,
                keep_s_max=settings.history_keep_s_max,
                count_max=settings.history_count_max,
            ),
            tickets.sweep,
            presence_store.sweep,
            idempotency.sweep,
            partial(notifications.sweep, keep_s=settings.notifications_keep_s),
            partial(webhook_store.sweep, keep_s=settings.webhook_deliveries_keep_s),
            webhook_store.seal,
        ),
    )


def _secret_box(settings: NotifySettings) -> SecretBox:
    if settings.webhook_secret_keys is not None:
        return SecretBox.from_text(settings.webhook_secret_keys.get_secret_value())
    return SecretBox.from_file(settings.webhook_secret_keys_file)


def _sockets(
    settings: NotifySettings,
    *,
    hub: Hub,
    gate: Gate,
    store: PostgresStore,
    observer: Observer,
    presence: Presence,
) -> WebSocketServer:
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
        presence_of=presence.on,
    )
    return WebSocketServer(
        _socket_options(settings),
        hub=hub,
        answers=answers,
        new_id=new_id,
        now_s=time.monotonic,
        count=observer.count,
    )


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
    async with open_database(settings, service="notify") as db, open_client() as client:
        await wait_for_schema(db, COMPONENTS, timeout_s=settings.database_wait_s)
        verifier = token_verifier(settings)
        house = build(settings, db, verifier, client)
        settle_process()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_pushes(settings, house, stop))
            tasks.create_task(house.runner.run(stop))
            tasks.create_task(keep_running("webhooks", house.postman.run, stop))
            tasks.create_task(every(settings.sweep_interval_s, house.sweep, stop, name="sweep"))
            tasks.create_task(inbox.sweep_forever(db, stop))


def settle_process() -> None:
    """Keep what works beside the loop from holding it up.

    The collector would go through sockets by the ten thousand again and again: what is there
    now stays for good; what comes is looked at when there is enough of it. Connections hold no
    cycles once they have left the hub, so little waits for the collector. And the thread that
    exports spans would keep the interpreter for 5 ms at a time while a publication waits.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def serve_pushes(
    settings: NotifySettings,
    house: House,
    stop: asyncio.Event,
    on_http: Callable[[int], None] | None = None,
) -> None:
    """Serve both doors until `stop`; deliveries go on until the last reader has left."""
    drained = asyncio.Event()

    async def drain() -> None:
        try:
            async with asyncio.TaskGroup() as doors:
                doors.create_task(house.sockets.run(stop))
                doors.create_task(_serve_http(settings, house, stop, on_http))
        finally:
            drained.set()
            house.deliverer.wake()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drain())
        tasks.create_task(keep_running("broker", house.broker.run, drained))
        tasks.create_task(house.deliverer.run(drained))
        sync = house.presence.sync
        tasks.create_task(every(settings.presence_interval_s, sync, drained, name="presence"))


async def _serve_http(
    settings: NotifySettings,
    house: House,
    stop: asyncio.Event,
    on_http: Callable[[int], None] | None,
) -> None:
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(
            serve_http(
                house.app,
                host=settings.http_host,
                port=settings.http_port,
                stop=stop,
                grace_s=max(1.0, settings.shutdown_grace_s - 2),
                on_started=on_http,
            )
        )
        await stop.wait()
        house.streams.drain()
        await serving
