"""What the use cases need of the world, by need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.flag import Flag
from tonearm_auth.domain.quota import Amounts, Periods, PlanLimits, Reservation
from tonearm_auth.domain.ratelimit import Charge, RatePolicy, RateVerdict
from tonearm_auth.domain.session import RefreshToken, Session
from tonearm_auth.domain.signing import KeyTimes
from tonearm_contracts.envelope import EventData


class Accounts(Protocol):
    """The accounts, within one transaction."""

    async def add(self, account: Account) -> None:
        """Add an account; raise `EmailTaken` when another has its address."""
        ...

    async def find(self, account_id: str) -> Account | None:
        """Return the account or None."""
        ...

    async def find_by_email(self, email: str) -> Account | None:
        """Return the account with this normalised address or None."""
        ...

    async def lock(self, account_id: str) -> Account | None:
        """Return the account, held against other writers until the transaction ends."""
        ...

    async def save(self, account: Account) -> None:
        """Store every field of an account that exists."""
        ...

    async def delete(self, account_id: str) -> None:
        """Delete the account with its sessions, overrides and quota."""
        ...

    async def search(
        self, *, email_part: str | None, after_id: str | None, limit: int
    ) -> Sequence[Account]:
        """Return accounts by id, those after `after_id`, at most `limit`."""
        ...

    async def lock_active_superusers(self) -> Sequence[str]:
        """Return the ids of active superusers, held until the transaction ends."""
        ...


class Sessions(Protocol):
    """Sessions and the hashes of their refresh tokens, within one transaction."""

    async def add(self, session: Session, *, token_hash: bytes) -> None:
        """Add a session with the hash of its first token."""
        ...

    async def find(self, session_id: str) -> Session | None:
        """Return the session or None."""
        ...

    async def lock_by_token(self, token_hash: bytes) -> tuple[Session, RefreshToken] | None:
        """Return the token with its session, the latter held until the transaction ends."""
        ...

    async def lock_live(self, account_id: str, *, now: datetime) -> Sequence[Session]:
        """Return the account's live sessions, newest first, held until the transaction ends."""
        ...

    async def live(self, account_id: str, *, now: datetime) -> Sequence[Session]:
        """Return the account's live sessions, newest first."""
        ...

    async def save(self, session: Session) -> None:
        """Store a session that exists."""
        ...

    async def supersede(
        self, session: Session, *, old_hash: bytes, new_hash: bytes, at: datetime
    ) -> None:
        """Store the rotated session, mark the old token superseded and add the new one."""
        ...

    async def sweep(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` sessions that ended or expired before; return how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A signing key as it is kept: the private half only sealed."""

    times: KeyTimes
    public_jwk: Mapping[str, JsonValue]
    sealed_private_key: bytes
    created_at: datetime


class SigningKeys(Protocol):
    """The signing keys, within one transaction."""

    async def lock(self) -> None:
        """Wait until no other transaction changes keys."""
        ...

    async def all(self) -> Sequence[StoredKey]:
        """Return every key."""
        ...

    async def add(self, key: StoredKey) -> None:
        """Add a key."""
        ...

    async def delete(self, kids: Sequence[str]) -> None:
        """Delete keys."""
        ...


class Flags(Protocol):
    """Flags and the values that single accounts have of their own."""

    async def all(self) -> Sequence[Flag]:
        """Return every flag, by key."""
        ...

    async def find(self, key: str) -> Flag | None:
        """Return the flag or None."""
        ...

    async def lock(self, key: str) -> Flag | None:
        """Return the flag, held until the transaction ends."""
        ...

    async def save(self, flag: Flag, *, at: datetime) -> None:
        """Store the rules of a flag that exists and wake the watchers."""
        ...

    async def overrides_for(self, account_id: str) -> Mapping[str, bool]:
        """Return the account's own values by flag key."""
        ...

    async def overrides_of(self, key: str, *, limit: int) -> Mapping[str, bool]:
        """Return a flag's own values by account id, at most `limit`."""
        ...

    async def override(
        self, key: str, *, account_id: str, value: bool | None, at: datetime
    ) -> None:
        """Set the account's own value, or drop it (None), and wake the watchers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who changed what, from what to what."""

    id: str
    at: datetime
    actor_id: str | None
    """None when an operator did it at the command line."""
    action: str
    target: str
    before: Mapping[str, JsonValue] | None
    after: Mapping[str, JsonValue] | None


class Audit(Protocol):
    """The audit log: rows are only ever added."""

    async def add(self, entry: AuditEntry) -> None:
        """Add a row."""
        ...

    async def latest(self, *, before_id: str | None, limit: int) -> Sequence[AuditEntry]:
        """Return rows newest first, those before `before_id`."""
        ...


class Quotas(Protocol):
    """Ledgers and reservations, within one transaction that holds the account's row."""

    async def limits(self, plan: str) -> PlanLimits:
        """Return the limits of a plan."""
        ...

    async def used(self, account_id: str, *, periods: Periods) -> Amounts:
        """Return what the ledgers hold for these periods, reservations included."""
        ...

    async def find_by_key(self, account_id: str, *, idempotency_key: str) -> Reservation | None:
        """Return the reservation made under this key."""
        ...

    async def account_of(self, reservation_id: str) -> str | None:
        """Return whose reservation this is, or None when there is none."""
        ...

    async def find(self, reservation_id: str) -> Reservation | None:
        """Return the reservation or None."""
        ...

    async def of_audio(self, account_id: str, *, audio_id: str) -> Sequence[Reservation]:
        """Return the reservations made for a recording."""
        ...

    async def add(self, reservation: Reservation) -> None:
        """Add a reservation and book what it takes."""
        ...

    async def save(self, reservation: Reservation, *, was: Reservation) -> None:
        """Store a changed reservation and book the difference in the periods it was made in."""
        ...

    async def expired(self, *, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Return (account id, reservation id) of open reservations past their time."""
        ...

    async def mark_deleted(self, audio_id: str, *, at: datetime) -> None:
        """Remember that a recording is gone, for a reservation that is linked later."""
        ...

    async def is_deleted(self, audio_id: str) -> bool:
        """Return whether the recording is known to be gone."""
        ...

    async def forget_deleted(self, *, before: datetime) -> None:
        """Drop marks older than `before`."""
        ...


class Tx(Protocol):
    """One transaction: everything in it happens, or nothing."""

    @property
    def accounts(self) -> Accounts: ...  # noqa: D102 - the type says it
    @property
    def sessions(self) -> Sessions: ...  # noqa: D102
    @property
    def keys(self) -> SigningKeys: ...  # noqa: D102
    @property
    def flags(self) -> Flags: ...  # noqa: D102
    @property
    def quotas(self) -> Quotas: ...  # noqa: D102
    @property
    def audit(self) -> Audit: ...  # noqa: D102

    async def announce(self, event: EventData) -> None:
        """Put an event into the outbox of this transaction."""
        ...


Recorded = Callable[[Tx, Account], Awaitable[None]]
"""What else happens in the transaction that records an account."""

Begin = Callable[[], AbstractAsyncContextManager[Tx]]
"""Opens a new transaction per call; it commits when the block ends without an error."""


class Passwords(Protocol):
    """Slow hashing, away from the event loop."""

    async def hash(self, password: str) -> str:
        """Return a PHC string; raise `HashingBusy` when too many wait."""
        ...

    async def verify(self, password: str, *, hashed: str | None) -> bool:
        """Return whether it matches. None takes as long as a wrong password does."""
        ...

    def needs_rehash(self, hashed: str) -> bool:
        """Return whether the parameters have risen since it was made."""
        ...


class RefreshTokens(Protocol):
    """Makes refresh tokens; only their hashes are ever stored."""

    def first(self) -> str:
        """Return a new unguessable token."""
        ...

    def child(self, parent: str) -> str:
        """Return the one token that may follow `parent`; the same every time it is asked."""
        ...

    def hash(self, token: str) -> bytes:
        """Return what is stored of a token."""
        ...


class AccessTokens(Protocol):
    """Signs access tokens with the current key."""

    @property
    def lifetime_s(self) -> int:
        """Seconds that a token opens doors."""
        ...

    def sign(self, account: Account, *, session_id: str, now: datetime) -> str:
        """Return a signed token."""
        ...


class KeyMaker(Protocol):
    """Makes key pairs and seals the private half."""

    def make(self, *, active_from: datetime, now: datetime) -> StoredKey:
        """Return a new key."""
        ...


class RateStates(Protocol):
    """Where the pace of every key is kept; one store for all replicas."""

    async def take(self, charges: Sequence[Charge], *, hits: int) -> RateVerdict:
        """Judge and charge in one step, atomic against every other caller."""
        ...

    async def sweep(self, *, limit: int) -> int:
        """Delete at most `limit` keys whose pace has fully recovered; return how many."""
        ...


class RatePolicies(Protocol):
    """The rate table as this process knows it, never older than a few seconds."""

    def all(self) -> Sequence[RatePolicy]:
        """Return every policy."""
        ...
