"""Amounts, periods, and the life of a reservation."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import pytest

from tonearm_auth.domain.errors import AmountInvalid, ReservationRefunded
from tonearm_auth.domain.quota import Amounts, Periods, Reservation, violated_limits
from tonearm_kit.testing.clock import START

ASKED = Amounts(uploads=1, stored_bytes=1000, analysed_audio_ms=180_000)


def reservation() -> Reservation:
    return Reservation(
        id="r1",
        account_id="a1",
        idempotency_key="k1",
        asked=ASKED,
        taken=ASKED,
        periods=Periods.at(START),
        state="reserved",
        audio_id=None,
        is_deleted=False,
        expires_at=START,
    )


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -0.5, 1e300])
def test_amounts_that_are_no_amounts_are_refused(seconds: float) -> None:
    with pytest.raises(AmountInvalid):
        Amounts.asked(uploads=0, stored_bytes=0, analysed_audio_s=seconds)


def test_huge_bytes_are_refused_before_the_ledger_overflows() -> None:
    with pytest.raises(AmountInvalid):
        Amounts.asked(uploads=0, stored_bytes=2**64 - 1, analysed_audio_s=0)


def test_fractions_of_a_millisecond_round_up() -> None:
    asked = Amounts.asked(uploads=0, stored_bytes=0, analysed_audio_s=1.0001)
    assert asked.analysed_audio_ms == 1001


def test_periods_are_utc_days_and_months() -> None:
    periods = Periods.at(datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert (periods.day, periods.month) == (date(2026, 12, 31), date(2026, 12, 1))
    assert periods.day_ends_at() == periods.month_ends_at() == datetime(2027, 1, 1, tzinfo=UTC)


def test_limits_are_inclusive_and_named() -> None:
    used = Amounts(uploads=49, stored_bytes=0, analysed_audio_ms=0)
    limits = {"uploads_per_day": 50, "stored_bytes": 1000, "analysed_audio_s_per_month": 180}
    typed = {**limits, "file_bytes": 1000}
    assert violated_limits(typed, used=used, asked=ASKED) == ()  # type: ignore[arg-type]
    assert violated_limits(typed, used=used + ASKED, asked=ASKED) == (  # type: ignore[arg-type]
        "uploads_per_day",
        "stored_bytes",
        "analysed_audio_s_per_month",
    )


def test_a_file_over_the_plan_is_named_even_with_room_left() -> None:
    limits = {"stored_bytes": 10_000, "file_bytes": 999, "uploads_per_day": 1}
    asked = Amounts(stored_bytes=1000)
    assert violated_limits(limits, used=Amounts(), asked=asked) == ("file_bytes",)  # type: ignore[arg-type]


def test_what_takes_nothing_of_a_limit_never_violates_it() -> None:
    over = Amounts(uploads=999)
    assert violated_limits({}, used=over, asked=Amounts()) == ()


def test_commit_is_final_and_repeatable() -> None:
    real = Amounts(uploads=1, stored_bytes=900)
    done = reservation().committed(real)
    assert (done.state, done.taken) == ("committed", real)
    assert done.committed(ASKED) is done


def test_what_was_given_back_cannot_be_committed() -> None:
    with pytest.raises(ReservationRefunded):
        reservation().refunded().committed(None)


def test_work_done_after_expiry_is_taken_again() -> None:
    late = reservation().expired()
    assert late.taken == Amounts()
    assert late.committed(None).taken == ASKED


def test_completion_charges_the_real_length() -> None:
    done = reservation().completed(analysed_audio_ms=200_500)
    assert done.taken == Amounts(uploads=1, stored_bytes=1000, analysed_audio_ms=200_500)


def test_failure_gives_back_all_but_the_stored_bytes() -> None:
    assert reservation().failed().taken == Amounts(stored_bytes=1000)
    assert reservation().deleted().failed().taken == Amounts()


def test_deletion_gives_back_only_the_bytes_in_any_order() -> None:
    first = reservation().deleted().completed(analysed_audio_ms=5)
    last = reservation().completed(analysed_audio_ms=5).deleted()
    assert first.taken == last.taken == Amounts(uploads=1, analysed_audio_ms=5)


def test_refund_works_before_and_after_commit() -> None:
    assert reservation().refunded().taken == Amounts()
    assert reservation().committed(None).refunded().taken == Amounts()
    assert reservation().refunded().completed(analysed_audio_ms=9).taken == Amounts()
