"""What the doors of one process stand on, opened as the settings say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files

from tonearm_auth.adapters.ended_sessions import EndedSessions
from tonearm_auth.adapters.flag_watcher import FlagWatcher
from tonearm_auth.adapters.listener import Listener
from tonearm_auth.adapters.passwords import Argon2Cost, Argon2Passwords
from tonearm_auth.adapters.postgres import begin_on
from tonearm_auth.adapters.postgres_rates import LoadedRatePolicies, PostgresRateStates
from tonearm_auth.adapters.tokens import Es256Keys, KeyRing
from tonearm_auth.adapters.vault import Vault
from tonearm_auth.domain.signing import KeyTerms
from tonearm_auth.settings import Settings
from tonearm_auth.usecases import settle_quota
from tonearm_auth.usecases.ports import Begin, StoredKey
from tonearm_auth.usecases.rotate_keys import rotate_keys
from tonearm_kit.clock import Clock, SystemClock
from tonearm_kit.db import Database
from tonearm_kit.idempotency import PostgresIdempotency
from tonearm_kit.ids import NewId, new_id
from tonearm_kit.migrations import KIT, Component, wait_for_schema
from tonearm_kit.outbox import Outbox
from tonearm_kit.wiring import open_database

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
    ended_sessions: EndedSessions
    policies: LoadedRatePolicies
    rates: PostgresRateStates
    idempotency: PostgresIdempotency


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
    passwords = Argon2Passwords(
        cost, threads=settings.argon2_threads, waiting_max=settings.argon2_waiting_max
    )
    async with open_database(settings, service="auth") as db:
        if wait_for_migrations:
            await wait_for_schema(db, COMPONENTS, timeout_s=settings.database_wait_s)
        rates = PostgresRateStates.open(
            db,
            clock=clock,
            batch_max=settings.rate_batch_max,
            waiting_max=settings.rate_waiting_max,
        )
        async with rates as opened:
            with passwords:
                parts = _assemble(
                    settings, db=db, clock=clock, vault=vault, passwords=passwords, rates=opened
                )
                await rotate(parts)
                await parts.policies.load()
                yield parts


def _assemble(
    settings: Settings,
    *,
    db: Database,
    clock: Clock,
    vault: Vault,
    passwords: Argon2Passwords,
    rates: PostgresRateStates,
) -> Parts:
    outbox = Outbox(source=SOURCE, clock=clock, new_id=new_id)
    return Parts(
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
        watcher=FlagWatcher(),
        ended_sessions=EndedSessions(
            clock=clock,
            keep_s=settings.access_token_lifetime_s + settings.token_leeway_s,
            ids_max=settings.ended_sessions_max,
        ),
        policies=LoadedRatePolicies(db),
        rates=rates,
        idempotency=PostgresIdempotency(db, clock=clock),
    )


def make_listener(parts: Parts) -> Listener:
    """Return what hears of flags and sessions from every replica."""
    return Listener(parts.db, [parts.watcher.ear(), parts.ended_sessions.ear()])


async def maintain(parts: Parts) -> None:
    """Rotate keys that are due, and sweep what has expired; bounded per round."""
    settings = parts.settings
    await rotate(parts)
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


async def rotate(parts: Parts, *, is_forced: bool = False) -> list[StoredKey]:
    """Create and delete the signing keys that are due, and load the published ones."""
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
