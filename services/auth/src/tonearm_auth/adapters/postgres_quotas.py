"""Quota ledgers and reservations in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import asyncpg

from tonearm_auth.domain.quota import Amounts, Periods, PlanLimits, Reservation
from tonearm_kit.db import Connection

_NEVER: Final = date(1970, 1, 1)
"""Period of what never begins anew."""

_COLUMNS = (
    "id, account_id, idempotency_key, asked_uploads, asked_bytes, asked_audio_ms, taken_uploads, "
    "taken_bytes, taken_audio_ms, day, month, state, audio_id, is_deleted, expires_at"
)


def _to_reservation(row: asyncpg.Record) -> Reservation:
    return Reservation(
        id=row["id"],
        account_id=row["account_id"],
        idempotency_key=row["idempotency_key"],
        asked=Amounts(
            uploads=row["asked_uploads"],
            stored_bytes=row["asked_bytes"],
            analysed_audio_ms=row["asked_audio_ms"],
        ),
        taken=Amounts(
            uploads=row["taken_uploads"],
            stored_bytes=row["taken_bytes"],
            analysed_audio_ms=row["taken_audio_ms"],
        ),
        periods=Periods(day=row["day"], month=row["month"]),
        state=row["state"],
        audio_id=row["audio_id"],
        is_deleted=row["is_deleted"],
        expires_at=row["expires_at"],
    )


def _values(reservation: Reservation) -> tuple[object, ...]:
    return (
        reservation.id,
        reservation.account_id,
        reservation.idempotency_key,
        *reservation.asked.values(),
        *reservation.taken.values(),
        reservation.periods.day,
        reservation.periods.month,
        reservation.state,
        reservation.audio_id,
        reservation.is_deleted,
        reservation.expires_at,
    )


class PostgresQuotas:
    """`Quotas` on one connection; callers hold the account's row while they write."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def limits(self, plan: str) -> PlanLimits:
        """Return the limits of a plan."""
        rows = await self._conn.fetch("SELECT name, value FROM plan_limits WHERE plan = $1", plan)
        return {row["name"]: row["value"] for row in rows}

    async def used(self, account_id: str, *, periods: Periods) -> Amounts:
        """Return what the ledgers hold for these periods, reservations included."""
        rows = await self._conn.fetch(
            "SELECT name, used FROM quota_ledgers WHERE account_id = $1 AND (name, period) IN "
            "(('uploads', $2), ('stored_bytes', $3), ('analysed_audio_ms', $4))",
            account_id,
            periods.day,
            _NEVER,
            periods.month,
        )
        return Amounts(**{row["name"]: max(0, row["used"]) for row in rows})

    async def find_by_key(self, account_id: str, *, idempotency_key: str) -> Reservation | None:
        """Return the reservation made under this key."""
        row = await self._conn.fetchrow(
            f"SELECT {_COLUMNS} FROM quota_reservations "  # noqa: S608 - a constant
            "WHERE account_id = $1 AND idempotency_key = $2",
            account_id,
            idempotency_key,
        )
        return None if row is None else _to_reservation(row)

    async def account_of(self, reservation_id: str) -> str | None:
        """Return whose reservation this is, or None when there is none."""
        owner: str | None = await self._conn.fetchval(
            "SELECT account_id FROM quota_reservations WHERE id = $1", reservation_id
        )
        return owner

    async def find(self, reservation_id: str) -> Reservation | None:
        """Return the reservation or None."""
        row = await self._conn.fetchrow(
            f"SELECT {_COLUMNS} FROM quota_reservations WHERE id = $1",  # noqa: S608
            reservation_id,
        )
        return None if row is None else _to_reservation(row)

    async def of_audio(self, account_id: str, *, audio_id: str) -> Sequence[Reservation]:
        """Return the reservations made for a recording."""
        rows = await self._conn.fetch(
            f"SELECT {_COLUMNS} FROM quota_reservations "  # noqa: S608
            "WHERE audio_id = $1 AND account_id = $2 ORDER BY id",
            audio_id,
            account_id,
        )
        return [_to_reservation(row) for row in rows]

    async def add(self, reservation: Reservation) -> None:
        """Add a reservation and book what it takes."""
        await self._conn.execute(
            f"INSERT INTO quota_reservations ({_COLUMNS}) "  # noqa: S608
            "VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)",
            *_values(reservation),
        )
        await self._book(reservation, reservation.taken)

    async def save(self, reservation: Reservation, *, was: Reservation) -> None:
        """Store a changed reservation and book the difference in the periods it was made in."""
        if reservation == was:
            return
        await self._conn.execute(
            "UPDATE quota_reservations SET account_id=$2, idempotency_key=$3, asked_uploads=$4, "
            "asked_bytes=$5, asked_audio_ms=$6, taken_uploads=$7, taken_bytes=$8, "
            "taken_audio_ms=$9, day=$10, month=$11, state=$12, audio_id=$13, is_deleted=$14, "
            "expires_at=$15 WHERE id = $1",
            *_values(reservation),
        )
        await self._book(was, Amounts() - was.taken)
        await self._book(reservation, reservation.taken)

    async def _book(self, reservation: Reservation, amounts: Amounts) -> None:
        if not any(amounts.values()):
            return
        uploads, stored_bytes, audio_ms = amounts.values()
        await self._conn.execute(
            "INSERT INTO quota_ledgers (account_id, name, period, used) "
            "SELECT $1, name, period, amount FROM unnest($2::text[], $3::date[], $4::bigint[]) "
            "AS booked (name, period, amount) WHERE amount <> 0 "
            "ON CONFLICT (account_id, name, period) "
            "DO UPDATE SET used = quota_ledgers.used + EXCLUDED.used",
            reservation.account_id,
            ["uploads", "stored_bytes", "analysed_audio_ms"],
            [reservation.periods.day, _NEVER, reservation.periods.month],
            [uploads, stored_bytes, audio_ms],
        )

    async def expired(self, *, now: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Return (account id, reservation id) of open reservations past their time."""
        rows = await self._conn.fetch(
            "SELECT account_id, id FROM quota_reservations "
            "WHERE state = 'reserved' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
            now,
            limit,
        )
        return [(row["account_id"], row["id"]) for row in rows]

    async def mark_deleted(self, audio_id: str, *, at: datetime) -> None:
        """Remember that a recording is gone, for a reservation that is linked later."""
        await self._conn.execute(
            "INSERT INTO deleted_recordings (audio_id, deleted_at) VALUES ($1,$2) "
            "ON CONFLICT (audio_id) DO NOTHING",
            audio_id,
            at,
        )

    async def is_deleted(self, audio_id: str) -> bool:
        """Return whether the recording is known to be gone."""
        found: bool = await self._conn.fetchval(
            "SELECT EXISTS (SELECT FROM deleted_recordings WHERE audio_id = $1)", audio_id
        )
        return found

    async def forget_deleted(self, *, before: datetime) -> None:
        """Drop marks older than `before`."""
        await self._conn.execute("DELETE FROM deleted_recordings WHERE deleted_at < $1", before)
