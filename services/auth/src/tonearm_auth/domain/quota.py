"""Usage quota: what a plan allows, what is taken, and the life of a reservation.

Audio is counted in whole milliseconds, so that ledgers add up exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, Self

from tonearm_auth.domain.errors import AmountInvalid, ReservationRefunded

LimitName = Literal["uploads_per_day", "stored_bytes", "analysed_audio_s_per_month", "file_bytes"]
PlanLimits = Mapping[LimitName, int]
"""Counts, bytes, and seconds of audio."""
State = Literal["reserved", "committed", "refunded", "expired"]

AMOUNT_MAX = 2**53 - 1
"""The largest amount that every client can hold exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What a use takes. Differences may be negative; what a caller asks for may not."""

    uploads: int = 0
    stored_bytes: int = 0
    analysed_audio_ms: int = 0

    @classmethod
    def asked(cls, *, uploads: int, stored_bytes: int, analysed_audio_s: float) -> Self:
        """Return amounts that a caller asks for, with fractions of a millisecond rounded up.

        Raise `AmountInvalid` for anything negative, not finite, or too large to be real.
        """
        if not math.isfinite(analysed_audio_s) or analysed_audio_s * 1000 > AMOUNT_MAX:
            raise AmountInvalid
        amounts = cls(
            uploads=uploads,
            stored_bytes=stored_bytes,
            analysed_audio_ms=math.ceil(analysed_audio_s * 1000),
        )
        if any(not 0 <= value <= AMOUNT_MAX for value in amounts.values()):
            raise AmountInvalid
        return amounts

    def values(self) -> tuple[int, int, int]:
        """Return uploads, stored bytes, milliseconds of audio."""
        return (self.uploads, self.stored_bytes, self.analysed_audio_ms)

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            uploads=self.uploads + other.uploads,
            stored_bytes=self.stored_bytes + other.stored_bytes,
            analysed_audio_ms=self.analysed_audio_ms + other.analysed_audio_ms,
        )

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(
            uploads=self.uploads - other.uploads,
            stored_bytes=self.stored_bytes - other.stored_bytes,
            analysed_audio_ms=self.analysed_audio_ms - other.analysed_audio_ms,
        )


NOTHING = Amounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """The UTC day and the first day of the UTC month that a use is booked in."""

    day: date
    month: date

    @classmethod
    def at(cls, now: datetime) -> Self:
        """Return the periods of a moment."""
        day = now.astimezone(UTC).date()
        return cls(day=day, month=day.replace(day=1))

    def day_ends_at(self) -> datetime:
        """Return the moment at which daily limits begin anew."""
        return datetime.combine(self.day + timedelta(days=1), time(), UTC)

    def month_ends_at(self) -> datetime:
        """Return the moment at which monthly limits begin anew."""
        following = (self.month + timedelta(days=32)).replace(day=1)
        return datetime.combine(following, time(), UTC)


def violated_limits(limits: PlanLimits, *, used: Amounts, asked: Amounts) -> tuple[LimitName, ...]:
    """Return the limits that `asked` on top of `used` would exceed.

    A limit that a use takes nothing of is never violated by it, even when already exceeded. A
    name that the plan does not hold counts as 0: what is not granted is not allowed.
    """
    wanted: tuple[tuple[LimitName, int, int], ...] = (
        ("uploads_per_day", used.uploads, asked.uploads),
        ("stored_bytes", used.stored_bytes, asked.stored_bytes),
        ("analysed_audio_s_per_month", used.analysed_audio_ms, asked.analysed_audio_ms),
        ("file_bytes", 0, asked.stored_bytes),
    )
    return tuple(
        name
        for name, had, more in wanted
        if more > 0 and had + more > limits.get(name, 0) * _SCALE.get(name, 1)
    )


_SCALE: Mapping[LimitName, int] = {"analysed_audio_s_per_month": 1000}
"""Ledger units in one unit of the limit: ledgers count milliseconds, plans say seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A use that is taken: `asked` never changes, `taken` is what the ledgers hold for it."""

    id: str
    account_id: str
    idempotency_key: str
    asked: Amounts
    taken: Amounts
    periods: Periods
    state: State
    audio_id: str | None
    is_deleted: bool
    """The recording is gone, so its bytes count no longer."""
    expires_at: datetime

    def committed(self, amounts: Amounts | None) -> Self:
        """Return the reservation made final; repeating it changes nothing.

        One that expired meanwhile is taken again, since the work was done. Raise
        `ReservationRefunded` for one that was given back.
        """
        if self.state == "refunded":
            raise ReservationRefunded
        if self.state == "committed":
            return self
        real = self.asked if amounts is None else amounts
        if self.is_deleted:
            real = replace(real, stored_bytes=0)
        return replace(self, state="committed", taken=real)

    def completed(self, *, analysed_audio_ms: int) -> Self:
        """Return the reservation after its analysis: the real length of audio is charged."""
        if self.state == "refunded":
            return self
        return self.committed(replace(self.asked, analysed_audio_ms=analysed_audio_ms))

    def failed(self) -> Self:
        """Return the reservation after its analysis failed.

        The upload and the audio are given back; the bytes stay as long as they are stored.
        """
        if self.state in ("refunded", "committed"):
            return self
        kept = 0 if self.is_deleted else self.asked.stored_bytes
        return replace(self, state="committed", taken=Amounts(stored_bytes=kept))

    def deleted(self) -> Self:
        """Return the reservation after its recording was deleted: only the bytes come back."""
        return replace(self, is_deleted=True, taken=replace(self.taken, stored_bytes=0))

    def refunded(self) -> Self:
        """Return the reservation given back wholly; repeating it changes nothing."""
        return replace(self, state="refunded", taken=NOTHING)

    def expired(self) -> Self:
        """Return the reservation given back because nobody settled it in time."""
        return replace(self, state="expired", taken=NOTHING) if self.state == "reserved" else self
