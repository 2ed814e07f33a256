"""The use cases wired to the doors: HTTP, gRPC, consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from tonearm_auth.adapters.emails import normalise_email
from tonearm_auth.adapters.passwords import common_passwords
from tonearm_auth.adapters.postgres import PostgresTx
from tonearm_auth.adapters.tokens import HmacRefreshTokens
from tonearm_auth.bootstrap.parts import Parts
from tonearm_auth.domain.password import PasswordRules
from tonearm_auth.domain.session import SessionTerms
from tonearm_auth.entrypoints import (
    consumers,
    grpc_flags,
    grpc_quota,
    http_admin,
    http_auth,
    http_dead_letters,
    http_keys,
    http_notices,
    http_ofrep,
)
from tonearm_auth.usecases import administer, browse, reserve_quota, sessions
from tonearm_auth.usecases.announce_notice import announce_notice
from tonearm_auth.usecases.caller import Caller, load_superuser
from tonearm_auth.usecases.change_password import change_password
from tonearm_auth.usecases.check_rate import throttle_login
from tonearm_auth.usecases.delete_account import delete_account
from tonearm_auth.usecases.evaluate_flags import evaluate_flag, evaluate_flags
from tonearm_auth.usecases.log_in import log_in
from tonearm_auth.usecases.ports import Tx
from tonearm_auth.usecases.refresh import refresh
from tonearm_auth.usecases.register import register
from tonearm_kit import http as kit_http
from tonearm_kit.deadletters import Desk
from tonearm_kit.http import Check
from tonearm_kit.idempotency import Claim, Reply
from tonearm_kit.kafka import ConsumerRunner, KafkaProducer
from tonearm_kit.kafka.client import KafkaBroker
from tonearm_kit.kafka.log import KafkaLog
from tonearm_kit.tokens import TokenVerifier


def make_app(parts: Parts) -> FastAPI:
    """Return the HTTP app."""
    settings = parts.settings
    return kit_http.create_app(
        title="Tonearm auth",
        version="1",
        description="Accounts, sessions, flags, limits and quota.",
        routers=[
            http_auth.routes(make_auth_door(parts)),
            http_admin.routes(make_admin_door(parts)),
            http_notices.routes(make_notice_door(parts)),
            http_dead_letters.routes(make_dead_letter_door(parts)),
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
    throttle = partial(throttle_login, policies=parts.policies, states=parts.rates)
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
            throttle=throttle,
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
            change_password,
            begin=begin,
            passwords=parts.passwords,
            throttle=throttle,
            rules=rules,
            clock=clock,
        ),
        list_sessions=partial(sessions.list_sessions, begin=begin, clock=clock),
        end_session=partial(sessions.end_session, begin=begin, clock=clock),
        end_all_sessions=partial(sessions.end_all_sessions, begin=begin, clock=clock),
        usage=partial(reserve_quota.quote, begin=begin, clock=clock),
        delete_account=partial(
            delete_account, begin=begin, passwords=parts.passwords, throttle=throttle, clock=clock
        ),
        idempotency=parts.idempotency,
        complete=partial(_complete, parts),
        fingerprint_secret=parts.vault.derive("fingerprints"),
        trusted_hops=settings.trusted_hops,
    )


async def _complete(parts: Parts, tx: Tx, claim: Claim, reply: Reply) -> None:
    if not isinstance(tx, PostgresTx):
        raise TypeError("an answer is stored in Postgres, with the work that it tells of")
    await parts.idempotency.complete(claim, reply, conn=tx.conn)


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


def make_notice_door(parts: Parts) -> http_notices.NoticeDoor:
    """Return the use case behind `/v1/admin/notices`."""
    return http_notices.NoticeDoor(
        announce=partial(
            announce_notice, begin=parts.begin, clock=parts.clock, new_id=parts.new_id
        ),
        complete=partial(_complete, parts),
        idempotency=parts.idempotency,
    )


def make_dead_letter_door(parts: Parts) -> http_dead_letters.DeadLetterDoor:
    """Return what is behind `/v1/admin/dead-letters`: a producer per call, there are few."""
    servers = parts.settings.kafka_bootstrap_servers

    async def check(caller: Caller) -> None:
        async with parts.begin() as tx:
            await load_superuser(tx, caller, clock=parts.clock)

    @asynccontextmanager
    async def open_desk(actor: str) -> AsyncIterator[Desk]:
        async with KafkaProducer.open(servers, client_id="auth-dead-letters") as producer:
            yield Desk(
                log=KafkaLog(servers),
                sender=producer,
                topics=KafkaBroker(servers),
                clock=parts.clock,
                actor=actor,
            )

    return http_dead_letters.DeadLetterDoor(check=check, open_desk=open_desk)


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
