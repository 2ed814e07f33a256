"""The world of auth in memory: stores with transactions, cheap passwords, a pace store."""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import EmailTaken
from tonearm_auth.domain.flag import Flag
from tonearm_auth.domain.gcra import MICROS
from tonearm_auth.domain.quota import Amounts, Periods, PlanLimits, Reservation
from tonearm_auth.domain.ratelimit import Charge, RatePolicy, RateVerdict, judge
from tonearm_auth.domain.session import RefreshToken, Session
from tonearm_auth.usecases.ports import AuditEntry, StoredKey
from tonearm_contracts.envelope import EventData
from tonearm_kit.clock import Clock

FREE: PlanLimits = {
    "uploads_per_day": 50,
    "stored_bytes": 2 * 1024**3,
    "analysed_audio_s_per_month": 36_000,
    "file_bytes": 100 * 1024**2,
}


class FakeAccounts:
    def __init__(self) -> None:
        self.rows: dict[str, Account] = {}

    async def add(self, account: Account) -> None:
        if any(row.email == account.email for row in self.rows.values()):
            raise EmailTaken
        self.rows[account.id] = account

    async def find(self, account_id: str) -> Account | None:
        return self.rows.get(account_id)

    async def find_by_email(self, email: str) -> Account | None:
        return next((row for row in self.rows.values() if row.email == email), None)

    async def lock(self, account_id: str) -> Account | None:
        return self.rows.get(account_id)

    async def save(self, account: Account) -> None:
        self.rows[account.id] = account

    async def delete(self, account_id: str) -> None:
        del self.rows[account_id]

    async def search(
        self, *, email_part: str | None, after_id: str | None, limit: int
    ) -> Sequence[Account]:
        part = (email_part or "").lower()
        found = [self.rows[key] for key in sorted(self.rows) if key > (after_id or "")]
        return [row for row in found if part in row.email][:limit]

    async def lock_active_superusers(self) -> Sequence[str]:
        return sorted(row.id for row in self.rows.values() if row.is_superuser and row.is_active)


class FakeSessions:
    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}
        self.tokens: dict[bytes, RefreshToken] = {}

    async def add(self, session: Session, *, token_hash: bytes) -> None:
        self.rows[session.id] = session
        self._add_token(session, token_hash)

    async def find(self, session_id: str) -> Session | None:
        return self.rows.get(session_id)

    async def lock_by_token(self, token_hash: bytes) -> tuple[Session, RefreshToken] | None:
        token = self.tokens.get(token_hash)
        return None if token is None else (self.rows[token.session_id], token)

    async def lock_live(self, account_id: str, *, now: datetime) -> Sequence[Session]:
        return await self.live(account_id, now=now)

    async def live(self, account_id: str, *, now: datetime) -> Sequence[Session]:
        found = [
            row for row in self.rows.values() if row.account_id == account_id and row.is_live(now)
        ]
        return sorted(found, key=lambda row: (row.created_at, row.id), reverse=True)

    async def save(self, session: Session) -> None:
        self.rows[session.id] = session

    async def supersede(
        self, session: Session, *, old_hash: bytes, new_hash: bytes, at: datetime
    ) -> None:
        await self.save(session)
        self.tokens[old_hash] = replace(self.tokens[old_hash], superseded_at=at)
        self._add_token(session, new_hash)

    async def sweep(self, *, before: datetime, limit: int) -> int:
        gone = [
            row.id
            for row in self.rows.values()
            if min(row.idle_expires_at, row.expires_at) < before
        ][:limit]
        for key in gone:
            del self.rows[key]
        self.tokens = {
            key: token for key, token in self.tokens.items() if token.session_id in self.rows
        }
        return len(gone)

    def _add_token(self, session: Session, token_hash: bytes) -> None:
        self.tokens[token_hash] = RefreshToken(
            token_hash=token_hash,
            session_id=session.id,
            generation=session.generation,
            superseded_at=None,
        )


class FakeSigningKeys:
    def __init__(self) -> None:
        self.rows: dict[str, StoredKey] = {}

    async def lock(self) -> None:
        return None

    async def all(self) -> Sequence[StoredKey]:
        return sorted(self.rows.values(), key=lambda key: key.times.active_from)

    async def add(self, key: StoredKey) -> None:
        self.rows[key.times.kid] = key

    async def delete(self, kids: Sequence[str]) -> None:
        for kid in kids:
            self.rows.pop(kid, None)


class FakeFlags:
    def __init__(self) -> None:
        self.rows: dict[str, Flag] = {}
        self.own: dict[tuple[str, str], bool] = {}

    async def all(self) -> Sequence[Flag]:
        return [self._seen(self.rows[key]) for key in sorted(self.rows)]

    async def find(self, key: str) -> Flag | None:
        return self._seen(self.rows[key]) if key in self.rows else None

    async def lock(self, key: str) -> Flag | None:
        return await self.find(key)

    async def save(self, flag: Flag, *, at: datetime) -> None:
        self.rows[flag.key] = flag

    async def overrides_for(self, account_id: str) -> Mapping[str, bool]:
        return {key: value for (key, owner), value in self.own.items() if owner == account_id}

    async def overrides_of(self, key: str, *, limit: int) -> Mapping[str, bool]:
        found = {owner: value for (each, owner), value in sorted(self.own.items()) if each == key}
        return dict(list(found.items())[:limit])

    async def override(
        self, key: str, *, account_id: str, value: bool | None, at: datetime
    ) -> None:
        if value is None:
            self.own.pop((key, account_id), None)
        else:
            self.own[(key, account_id)] = value

    def _seen(self, flag: Flag) -> Flag:
        return replace(flag, has_overrides=any(key == flag.key for key, _ in self.own))


class FakeAudit:
    def __init__(self) -> None:
        self.rows: list[AuditEntry] = []

    async def add(self, entry: AuditEntry) -> None:
        self.rows.append(entry)

    async def latest(self, *, before_id: str | None, limit: int) -> Sequence[AuditEntry]:
        found = [row for row in self.rows if before_id is None or row.id < before_id]
        return sorted(found, key=lambda row: row.id, reverse=True)[:limit]


class FakeQuotas:
    def __init__(self) -> None:
        self.plans: dict[str, PlanLimits] = {"free": FREE}
        self.rows: dict[str, Reservation] = {}
        self.gone: dict[str, datetime] = {}

    async def limits(self, plan: str) -> PlanLimits:
        return self.plans.get(plan, {})

    async def used(self, account_id: str, *, periods: Periods) -> Amounts:
        own = [row for row in self.rows.values() if row.account_id == account_id]
        return Amounts(
            uploads=sum(r.taken.uploads for r in own if r.periods.day == periods.day),
            stored_bytes=sum(r.taken.stored_bytes for r in own),
            analysed_audio_ms=sum(
                r.taken.analysed_audio_ms for r in own if r.periods.month == periods.month
            ),
        )

    async def find_by_key(self, account_id: str, *, idempotency_key: str) -> Reservation | None:
        return next(
            (
                row
                for row in self.rows.values()
                if (row.account_id, row.idempotency_key) == (account_id, idempotency_key)
            ),
            None,
        )

    async def account_of(self, reservation_id: str) -> str | None:
        row = self.rows.get(reservation_id)
        return None if row is None else row.account_id

    async def find(self, reservation_id: str) -> Reservation | None:
        return self.rows.get(reservation_id)

    async def of_audio(self, account_id: str, *, audio_id: str) -> Sequence[Reservation]:
        return [
            row
            for row in self.rows.values()
            if (row.account_id, row.audio_id) == (account_id, audio_id)
        ]

    async def add(self, reservation: Reservation) -> None:
        self.rows[reservation.id] = reservation

    async def save(self, reservation: Reservation, *, was: Reservation) -> None:
        assert self.rows[reservation.id] == was
        self.rows[reservation.id] = reservation

    async def expired(self, *, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        due = [r for r in self.rows.values() if r.state == "reserved" and r.expires_at <= now]
        ordered = sorted(due, key=lambda row: row.expires_at)
        return [(row.account_id, row.id) for row in ordered][:limit]

    async def mark_deleted(self, audio_id: str, *, at: datetime) -> None:
        self.gone.setdefault(audio_id, at)

    async def is_deleted(self, audio_id: str) -> bool:
        return audio_id in self.gone

    async def forget_deleted(self, *, before: datetime) -> None:
        self.gone = {key: at for key, at in self.gone.items() if at >= before}


class FakeTx:
    def __init__(self) -> None:
        self.accounts = FakeAccounts()
        self.sessions = FakeSessions()
        self.keys = FakeSigningKeys()
        self.flags = FakeFlags()
        self.quotas = FakeQuotas()
        self.audit = FakeAudit()
        self.events: list[EventData] = []

    async def announce(self, event: EventData) -> None:
        self.events.append(event)


class FakeStore:
    """One transaction at a time; what fails leaves no trace."""

    def __init__(self) -> None:
        self.tx = FakeTx()
        self._turn = asyncio.Lock()

    @property
    def events(self) -> list[EventData]:
        return self.tx.events

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[FakeTx]:
        async with self._turn:
            before = copy.deepcopy(self.tx)
            try:
                yield self.tx
            except BaseException:
                vars(self.tx).update(vars(before))
                raise


class FakePasswords:
    """Counts its work, so that tests can compare what two answers cost."""

    def __init__(self) -> None:
        self.parameters = "v1"
        self.work: list[str] = []

    async def hash(self, password: str) -> str:
        self.work.append("hash")
        return f"{self.parameters}${hashlib.sha256(password.encode()).hexdigest()}"

    async def verify(self, password: str, *, hashed: str | None) -> bool:
        self.work.append("verify")
        if hashed is None:
            return False
        return hashed.split("$")[1] == hashlib.sha256(password.encode()).hexdigest()

    def needs_rehash(self, hashed: str) -> bool:
        return not hashed.startswith(f"{self.parameters}$")


class FakeRefreshTokens:
    def __init__(self) -> None:
        self._count = 0

    def first(self) -> str:
        self._count += 1
        return f"root{self._count}"

    def child(self, parent: str) -> str:
        return f"{parent}+"

    def hash(self, token: str) -> bytes:
        return hashlib.sha256(token.encode()).digest()


class FakeAccessTokens:
    lifetime_s = 900

    def sign(self, account: Account, *, session_id: str, now: datetime) -> str:
        return f"{account.id}/{session_id}/{now.isoformat()}"


class FakeRateStates:
    """The domain's own rule on a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tats_us: dict[bytes, int] = {}

    async def take(self, charges: Sequence[Charge], *, hits: int) -> RateVerdict:
        verdict, stored = judge(
            charges, tats_us=self.tats_us, hits=hits, now_us=micros(self._clock)
        )
        self.tats_us.update(stored)
        return verdict

    async def sweep(self, *, limit: int) -> int:
        now_us = micros(self._clock)
        gone = [key for key, tat in self.tats_us.items() if tat < now_us][:limit]
        for key in gone:
            del self.tats_us[key]
        return len(gone)


class FixedPolicies:
    def __init__(self, *policies: RatePolicy) -> None:
        self._policies = policies

    def all(self) -> Sequence[RatePolicy]:
        return self._policies


def micros(clock: Clock) -> int:
    now = clock.now()
    return int(now.timestamp()) * MICROS + now.microsecond
