"""Quote, reserve and settle what a use takes from the plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import (
    AccountNotFound,
    QuotaExceeded,
    ReservationKeyReused,
    ReservationNotFound,
)
from tonearm_auth.domain.quota import (
    NOTHING,
    Amounts,
    LimitName,
    Periods,
    PlanLimits,
    Reservation,
    violated_limits,
)
from tonearm_auth.usecases.ports import Begin, Tx
from tonearm_kit.clock import Clock
from tonearm_kit.ids import NewId


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStanding:
    """Where an account stands, and which limits the amounts asked about would exceed."""

    plan: str
    limits: PlanLimits
    used: Amounts
    periods: Periods
    violated: tuple[LimitName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """A use that is about to happen. `ttl_s` is how long it waits to be settled."""

    account_id: str
    idempotency_key: str
    amounts: Amounts
    ttl_s: float


async def quote(
    account_id: str, *, amounts: Amounts = NOTHING, begin: Begin, clock: Clock
) -> QuotaStanding:
    """Return where the account stands, taking nothing.

    Raise `AccountNotFound`, for a disabled account as well: its last token may still be about.
    """
    async with begin() as tx:
        account = await tx.accounts.find(account_id)
        if account is None or not account.is_active:
            raise AccountNotFound
        return await _standing(tx, account, amounts=amounts, clock=clock)


async def reserve(cmd: Reserve, *, begin: Begin, clock: Clock, new_id: NewId) -> Reservation:
    """Take the use, or answer with the reservation that the same key made before.

    The account's row is held meanwhile, so parallel reservations never exceed a limit together.
    Raise `QuotaExceeded` with `violated_limits`, `ReservationKeyReused`, `AccountNotFound`.
    """
    async with begin() as tx:
        account = await tx.accounts.lock(cmd.account_id)
        if account is None or not account.is_active:
            raise AccountNotFound
        before = await tx.quotas.find_by_key(account.id, idempotency_key=cmd.idempotency_key)
        # One that expired is made anew under the same key; its own row is used again.
        if before is not None and before.asked != cmd.amounts:
            raise ReservationKeyReused
        if before is not None and before.state != "expired":
            return before
        standing = await _standing(tx, account, amounts=cmd.amounts, clock=clock)
        if standing.violated:
            raise QuotaExceeded(violated_limits=[*standing.violated], plan=standing.plan)
        reservation = Reservation(
            id=before.id if before is not None else new_id(),
            account_id=account.id,
            idempotency_key=cmd.idempotency_key,
            asked=cmd.amounts,
            taken=cmd.amounts,
            periods=standing.periods,
            state="reserved",
            audio_id=before.audio_id if before is not None else None,
            is_deleted=False,
            expires_at=clock.now() + timedelta(seconds=cmd.ttl_s),
        )
        if before is None:
            await tx.quotas.add(reservation)
        else:
            await tx.quotas.save(reservation, was=before)
    return reservation


async def commit(reservation_id: str, *, amounts: Amounts | None, begin: Begin) -> None:
    """Make a reservation final, with the real amounts when given.

    Raise `ReservationNotFound`, `ReservationRefunded`.
    """
    async with begin() as tx:
        held = await hold(tx, reservation_id)
        await tx.quotas.save(held.committed(amounts), was=held)


async def refund(reservation_id: str, *, begin: Begin) -> None:
    """Give a reservation back, committed or not. Raise `ReservationNotFound`."""
    async with begin() as tx:
        held = await hold(tx, reservation_id)
        await tx.quotas.save(held.refunded(), was=held)


async def hold(tx: Tx, reservation_id: str) -> Reservation:
    """Return a reservation with its account's row held. Raise `ReservationNotFound`."""
    account_id = await tx.quotas.account_of(reservation_id)
    if account_id is not None:
        await tx.accounts.lock(account_id)
        held = await tx.quotas.find(reservation_id)
        if held is not None:
            return held
    raise ReservationNotFound


async def _standing(tx: Tx, account: Account, *, amounts: Amounts, clock: Clock) -> QuotaStanding:
    periods = Periods.at(clock.now())
    limits = await tx.quotas.limits(account.plan)
    used = await tx.quotas.used(account.id, periods=periods)
    return QuotaStanding(
        plan=account.plan,
        limits=limits,
        used=used,
        periods=periods,
        violated=violated_limits(limits, used=used, asked=amounts),
    )
