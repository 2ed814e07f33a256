"""The electrician: opens what the settings name, wires the use cases, runs the doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from tonearm_auth.adapters.emails import normalise_email
from tonearm_auth.adapters.postgres import begin_on
from tonearm_auth.bootstrap.doors import (
    make_app,
    make_consumer,
    make_flag_answers,
    make_quota_servicer,
)
from tonearm_auth.bootstrap.parts import (
    COMPONENTS,
    SOURCE,
    Parts,
    maintain,
    make_listener,
    open_parts,
    rotate,
)
from tonearm_auth.entrypoints import (
    grpc_flags,
    grpc_quota,
    grpc_ratelimit,
)
from tonearm_auth.settings import Settings
from tonearm_auth.usecases import administer
from tonearm_auth.usecases.check_rate import check_rate
from tonearm_kit import grpc as kit_grpc
from tonearm_kit import http as kit_http
from tonearm_kit import inbox
from tonearm_kit.clock import SystemClock
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import KafkaProducer
from tonearm_kit.lifecycle import every, keep_running
from tonearm_kit.migrations import migrate as migrate_schema
from tonearm_kit.outbox import Outbox, OutboxRelay
from tonearm_kit.wiring import open_database

__all__ = [
    "COMPONENTS",
    "Parts",
    "make_admin",
    "make_app",
    "migrate",
    "open_parts",
    "serve",
    "serve_grpc",
    "start_key_rotation",
]


async def migrate(settings: Settings) -> list[str]:
    """Apply what the schema lacks; returns the labels of the files that ran."""
    async with open_database(settings, service="auth") as db:
        return await migrate_schema(db, COMPONENTS)


async def make_admin(settings: Settings, email: str) -> str:
    """Make an account a superuser and return its id. Raise `AccountNotFound`, `EmailInvalid`."""
    async with open_database(settings, service="auth") as db:
        clock = SystemClock()
        begin = begin_on(db, outbox=Outbox(source=SOURCE, clock=clock, new_id=new_id))
        account = await administer.make_admin(
            normalise_email(email), begin=begin, clock=clock, new_id=new_id
        )
    return account.id


async def start_key_rotation(settings: Settings) -> list[str]:
    """Publish the next signing key now and return the ids of all published keys.

    It signs after the lead time; the one in use stays published as long as its tokens live.
    """
    async with open_parts(settings, wait_for_migrations=False) as parts:
        keys = await rotate(parts, is_forced=True)
    return [key.times.kid for key in keys]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run HTTP, gRPC, relay, consumer and sweeper until `stop`."""
    async with (
        open_parts(settings) as parts,
        KafkaProducer.open(settings.kafka_bootstrap_servers, client_id="auth") as producer,
    ):
        relay, consumer = OutboxRelay(parts.db, producer), make_consumer(parts)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                kit_http.serve(
                    make_app(parts), host=settings.http_host, port=settings.http_port, stop=stop
                )
            )
            tasks.create_task(serve_grpc(parts, stop))
            tasks.create_task(keep_running("relay", relay.run, stop))
            tasks.create_task(keep_running("quota", consumer.run, stop))
            tasks.create_task(keep_running("listener", make_listener(parts).run, stop))
            tasks.create_task(
                every(settings.rate_policies_refresh_s, parts.policies.load, stop, name="policies")
            )
            tasks.create_task(
                every(
                    settings.maintenance_interval_s,
                    partial(maintain, parts),
                    stop,
                    name="maintenance",
                )
            )
            tasks.create_task(inbox.sweep_forever(parts.db, stop))


async def serve_grpc(
    parts: Parts,
    stop: asyncio.Event,
    *,
    port: int | None = None,
    on_started: Callable[[int], None] | None = None,
) -> None:
    """Serve flags, limits and quota until `stop`."""
    settings = parts.settings
    await kit_grpc.serve(
        [
            *grpc_flags.register_both(make_flag_answers(parts, stop)),
            grpc_ratelimit.register(
                grpc_ratelimit.RateLimitServicer(
                    partial(check_rate, policies=parts.policies, states=parts.rates),
                    ended_sessions=parts.ended_sessions,
                )
            ),
            grpc_quota.register(make_quota_servicer(parts)),
        ],
        host=settings.grpc_host,
        port=settings.grpc_port if port is None else port,
        stop=stop,
        health_names=[
            *grpc_flags.HEALTH_NAMES,
            grpc_ratelimit.HEALTH_NAME,
            grpc_quota.HEALTH_NAME,
        ],
        timeout_s=settings.grpc_timeout_s,
        concurrent_calls_max=settings.grpc_calls_max,
        on_started=on_started,
    )
