"""The electrician: opens what the settings name, wires the use cases, runs the doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from importlib.resources import files

from fastapi import FastAPI

from tonearm_auth.adapters.emails import normalise_email
from tonearm_auth.adapters.flag_watcher import FlagWatcher
from tonearm_auth.adapters.passwords import Argon2Cost, Argon2Passwords, common_passwords
from tonearm_auth.adapters.postgres import PostgresTx, begin_on
from tonearm_auth.adapters.postgres_rates import LoadedRatePolicies, PostgresRateStates
from tonearm_auth.adapters.tokens import Es256Keys, HmacRefreshTokens, KeyRing
from tonearm_auth.adapters.vault import Vault
from tonearm_auth.domain.password import PasswordRules
from tonearm_auth.domain.session import SessionTerms
from tonearm_auth.domain.signing import KeyTerms
from tonearm_auth.entrypoints import (
    consumers,
    grpc_flags,
    grpc_quota,
    grpc_ratelimit,
    http_admin,
    http_auth,
    http_keys,
    http_ofrep,
)
from tonearm_auth.settings import Settings
from tonearm_auth.usecases import administer, browse, reserve_quota, sessions, settle_quota
from tonearm_auth.usecases.change_password import change_password
from tonearm_auth.usecases.check_rate import check_rate, throttle_login
from tonearm_auth.usecases.evaluate_flags import evaluate_flag, evaluate_flags
from tonearm_auth.usecases.log_in import log_in
from tonearm_auth.usecases.ports import Begin, StoredKey
from tonearm_auth.usecases.refresh import refresh
from tonearm_auth.usecases.register import register
from tonearm_auth.usecases.rotate_keys import rotate_keys
from tonearm_kit import grpc as kit_grpc
from tonearm_kit import http as kit_http
from tonearm_kit import inbox
from tonearm_kit.clock import Clock, SystemClock
from tonearm_kit.db import Database
from tonearm_kit.http import Check
from tonearm_kit.idempotency import PostgresIdempotency
from tonearm_kit.ids import NewId, new_id
from tonearm_kit.kafka import ConsumerRunner, KafkaProducer
from tonearm_kit.lifecycle import every, keep_running
from tonearm_kit.migrations import KIT, Component, wait_for_schema
from tonearm_kit.migrations import migrate as migrate_schema
from tonearm_kit.outbox import Outbox, OutboxRelay
from tonearm_kit.tokens import TokenVerifier

SOURCE = "/tonearm/auth"
COMPONENTS: tuple[Component, ...] = (KIT, ("auth", files("tonearm_auth") / "migrations"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the doors stand on, for one process."""

    settings: Settings
    db: Database
    begin: Begin
    outbox: Outbox
    clock: Clock
    new_id: NewId
    vault: Vault
    ring: KeyRing
    passwords: Argon2Passwords
    watcher: FlagWatcher
    policies: LoadedRatePolicies
    rates: PostgresRateStates
    idempotency: PostgresIdempotency


async def migrate(settings: Settings) -> list[str]:
    """Apply what the schema lacks; returns the labels of the files that ran."""
    async with _open_database(settings) as db:
        return await migrate_schema(db, COMPONENTS)


async def make_admin(settings: Settings, email: str) -> str:
    """Make an account a superuser and return its id. Raise `AccountNotFound`, `EmailInvalid`."""
    async with _open_database(settings) as db:
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
        keys = await _rotate(parts, is_forced=True)
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
            tasks.create_task(keep_running("flags", parts.watcher.run, stop))
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


@asynccontextmanager
async def open_parts(
    settings: Settings, *, clock: Clock | None = None, wait_for_migrations: bool = True
) -> AsyncIterator[Parts]:
    """Open everything that HTTP and gRPC stand on, with a signing key in use."""
    clock = clock or SystemClock()
    vault = _open_vault(settings)
    cost = Argon2Cost(
        memory_kib=settings.argon2_memory_kib,
        passes=settings.argon2_passes,
        lanes=settings.argon2_lanes,
    )
    async with _open_database(settings) as db:
        if wait_for_migrations:
            await wait_for_schema(db, COMPONENTS, timeout_s=settings.database_wait_s)
        outbox = Outbox(source=SOURCE, clock=clock, new_id=new_id)
        with Argon2Passwords(
            cost, threads=settings.argon2_threads, waiting_max=settings.argon2_waiting_max
        ) as passwords:
            parts = Parts(
                settings=settings,
                db=db,
                begin=begin_on(db, outbox=outbox),
                outbox=outbox,
                clock=clock,
                new_id=new_id,
                vault=vault,
                ring=KeyRing(
                    vault=vault,
                    issuer=settings.token_issuer,
                    audience=settings.token_audience,
                    lifetime_s=settings.access_token_lifetime_s,
                    new_id=new_id,
                ),
                passwords=passwords,
                watcher=FlagWatcher(db),
                policies=LoadedRatePolicies(db),
                rates=PostgresRateStates(
                    db,
                    clock=clock,
                    batch_max=settings.rate_batch_max,
                    waiting_max=settings.rate_waiting_max,
                ),
                idempotency=PostgresIdempotency(db, clock=clock),
            )
            await _rotate(parts)
            await parts.policies.load()
            yield parts


async def maintain(parts: Parts) -> None:
    """Rotate keys that are due, and sweep what has expired; bounded per round."""
    settings = parts.settings
    await _rotate(parts)
    await settle_quota.expire_reservations(
        begin=parts.begin, clock=parts.clock, limit=settings.sweep_rows_max
    )
    await settle_quota.forget_deleted(
        begin=parts.begin, clock=parts.clock, keep_s=settings.deleted_recordings_keep_s
    )
    await parts.rates.sweep(limit=settings.sweep_rows_max)
    await parts.idempotency.sweep(rows_max=settings.sweep_rows_max)
    async with parts.begin() as tx:
        # A day later than they expire, for people who ask what happened to a session.
        before = parts.clock.now() - timedelta(days=1)
        await tx.sessions.sweep(before=before, limit=settings.sweep_rows_max)


def make_app(parts: Parts) -> FastAPI:
    """Return the HTTP app."""
    settings = parts.settings
    return kit_http.create_app(
        title="Tonearm auth",
        version=version("tonearm-auth"),
        description="Accounts, sessions, flags, limits and quota.",
        routers=[
            http_auth.routes(make_auth_door(parts)),
            http_admin.routes(make_admin_door(parts)),
            http_ofrep.routes(
                evaluate_one=partial(evaluate_flag, begin=parts.begin),
                evaluate_all=partial(evaluate_flags, begin=parts.begin),
                get_me=partial(sessions.get_me, begin=parts.begin, clock=parts.clock),
            ),
            http_keys.routes(parts.ring.published, max_age_s=settings.jwks_max_age_s),
        ],
        readiness=[Check("postgres", parts.db.ping)],
        body_size_bytes_max=settings.http_body_size_bytes_max,
        verifier=TokenVerifier(
            parts.ring,
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            leeway_s=settings.token_leeway_s,
        ),
    )


def make_auth_door(parts: Parts) -> http_auth.AuthDoor:
    """Return the use cases behind `/v1/auth`."""
    settings, begin, clock = parts.settings, parts.begin, parts.clock
    terms = SessionTerms(
        idle_s=settings.session_idle_s,
        absolute_s=settings.session_absolute_s,
        grace_s=settings.refresh_grace_s,
    )
    rules = PasswordRules(
        length_min=settings.password_length_min,
        length_max=settings.password_length_max,
        common=common_passwords(length_min=settings.password_length_min),
    )
    refresh_tokens = HmacRefreshTokens(parts.vault.derive("refresh-tokens"))
    return http_auth.AuthDoor(
        register=partial(
            register,
            begin=begin,
            passwords=parts.passwords,
            normalise_email=normalise_email,
            rules=rules,
            clock=clock,
            new_id=parts.new_id,
        ),
        log_in=partial(
            log_in,
            begin=begin,
            passwords=parts.passwords,
            refresh_tokens=refresh_tokens,
            access=parts.ring,
            normalise_email=normalise_email,
            throttle=partial(throttle_login, policies=parts.policies, states=parts.rates),
            terms=terms,
            sessions_max=settings.sessions_max,
            clock=clock,
            new_id=parts.new_id,
        ),
        refresh=partial(
            refresh,
            begin=begin,
            refresh_tokens=refresh_tokens,
            access=parts.ring,
            terms=terms,
            clock=clock,
        ),
        log_out=partial(sessions.log_out, begin=begin, clock=clock),
        get_me=partial(sessions.get_me, begin=begin, clock=clock),
        change_password=partial(
            change_password, begin=begin, passwords=parts.passwords, rules=rules, clock=clock
        ),
        list_sessions=partial(sessions.list_sessions, begin=begin, clock=clock),
        end_session=partial(sessions.end_session, begin=begin, clock=clock),
        end_all_sessions=partial(sessions.end_all_sessions, begin=begin, clock=clock),
        usage=partial(reserve_quota.quote, begin=begin, clock=clock),
        idempotency=parts.idempotency,
        fingerprint_secret=parts.vault.derive("fingerprints"),
        trusted_hops=settings.trusted_hops,
    )


def make_admin_door(parts: Parts) -> http_admin.AdminDoor:
    """Return the use cases behind `/v1/admin`."""
    begin, clock, ids = parts.begin, parts.clock, parts.new_id
    return http_admin.AdminDoor(
        list_flags=partial(browse.list_flags, begin=begin, clock=clock),
        get_flag=partial(
            browse.get_flag,
            overrides_max=parts.settings.flag_overrides_shown_max,
            begin=begin,
            clock=clock,
        ),
        change_flag=partial(administer.change_flag, begin=begin, clock=clock, new_id=ids),
        change_override=partial(administer.change_override, begin=begin, clock=clock, new_id=ids),
        list_accounts=partial(browse.list_accounts, begin=begin, clock=clock),
        get_account=partial(browse.get_account, begin=begin, clock=clock),
        change_account=partial(administer.change_account, begin=begin, clock=clock, new_id=ids),
        list_audit=partial(browse.list_audit, begin=begin, clock=clock),
    )


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
                    partial(check_rate, policies=parts.policies, states=parts.rates)
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


def make_flag_answers(parts: Parts, stop: asyncio.Event) -> grpc_flags.FlagAnswers:
    """Return what answers flagd's protocol."""

    async def list_keys() -> list[str]:
        async with parts.begin() as tx:
            return [flag.key for flag in await tx.flags.all()]

    return grpc_flags.FlagAnswers(
        evaluate_one=partial(evaluate_flag, begin=parts.begin),
        evaluate_all=partial(evaluate_flags, begin=parts.begin),
        list_keys=list_keys,
        subscribe=parts.watcher.subscribe,
        stop=stop,
        keep_alive_s=parts.settings.flag_keep_alive_s,
        stream_s_max=parts.settings.flag_stream_s_max,
    )


def make_quota_servicer(parts: Parts) -> grpc_quota.QuotaServicer:
    """Return what answers `tonearm.quota.v1`."""
    begin, clock = parts.begin, parts.clock
    return grpc_quota.QuotaServicer(
        quote=partial(reserve_quota.quote, begin=begin, clock=clock),
        reserve=partial(reserve_quota.reserve, begin=begin, clock=clock, new_id=parts.new_id),
        commit=partial(reserve_quota.commit, begin=begin),
        refund=partial(reserve_quota.refund, begin=begin),
        ttl_default_s=parts.settings.reservation_ttl_s,
        ttl_max_s=parts.settings.reservation_ttl_s_max,
    )


def make_consumer(parts: Parts) -> ConsumerRunner:
    """Return the consumer that settles quota."""
    return ConsumerRunner(
        bootstrap_servers=parts.settings.kafka_bootstrap_servers,
        group=consumers.GROUP,
        topics=consumers.TOPICS,
        db=parts.db,
        handlers=consumers.handlers(partial(PostgresTx, outbox=parts.outbox), clock=parts.clock),
    )


async def _rotate(parts: Parts, *, is_forced: bool = False) -> list[StoredKey]:
    settings = parts.settings
    keys = await rotate_keys(
        begin=parts.begin,
        maker=Es256Keys(parts.vault),
        terms=KeyTerms(
            lifetime_s=settings.signing_key_lifetime_s,
            publish_lead_s=settings.signing_key_lead_s,
            token_lifetime_s=settings.access_token_lifetime_s + settings.token_leeway_s,
        ),
        clock=parts.clock,
        is_forced=is_forced,
    )
    parts.ring.load(keys)
    return list(keys)


def _open_vault(settings: Settings) -> Vault:
    if settings.key_encryption_key is not None:
        return Vault.from_text(settings.key_encryption_key.get_secret_value())
    return Vault.from_file(settings.key_encryption_key_file)


@asynccontextmanager
async def _open_database(settings: Settings) -> AsyncIterator[Database]:
    async with Database.open(
        settings.database_url,
        schema=settings.database_schema,
        size_max=settings.database_pool_size_max,
        statement_timeout_s=settings.database_statement_timeout_s,
        lock_timeout_s=settings.database_lock_timeout_s,
        wait_s=settings.database_wait_s,
        application_name="auth",
    ) as db:
        yield db
