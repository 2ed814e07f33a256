from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime

import pytest

from tonearm_kit.backoff import Backoff
from tonearm_kit.clock import Clock, SystemClock
from tonearm_kit.ids import new_id, new_token
from tonearm_kit.testing.clock import START, CountingIds, FixedClock


def test_ids_are_version_7_and_increase_strictly() -> None:
    ids = [new_id() for _ in range(5000)]
    assert all(uuid.UUID(value).version == 7 for value in ids)
    assert all(uuid.UUID(value).variant == uuid.RFC_4122 for value in ids)
    assert ids == sorted(set(ids))


def test_an_id_carries_its_time() -> None:
    millis = uuid.UUID(new_id()).int >> 80
    assert abs(millis / 1000 - datetime.now(UTC).timestamp()) < 60


def test_tokens_are_long_enough_or_refused() -> None:
    assert len(new_token()) >= 43
    assert new_token() != new_token()
    with pytest.raises(ValueError, match="guessed"):
        new_token(8)


class TestClock:
    """Both clocks keep the promises of the port."""

    @pytest.fixture(params=[SystemClock, FixedClock])
    def clock(self, request: pytest.FixtureRequest) -> Clock:
        made: Clock = request.param()
        return made

    def test_now_is_aware_and_utc(self, clock: Clock) -> None:
        offset = clock.now().utcoffset()
        assert offset is not None
        assert offset.total_seconds() == 0

    def test_monotonic_time_never_goes_back(self, clock: Clock) -> None:
        assert clock.monotonic_s() <= clock.monotonic_s()


def test_a_fixed_clock_moves_when_told() -> None:
    clock = FixedClock()
    clock.advance(1.5)
    assert (clock.now() - START).total_seconds() == 1.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


def test_counting_ids_count() -> None:
    make = CountingIds()
    assert make()[-1] == "1"
    assert make()[-1] == "2"


def test_delays_double_up_to_the_cap_and_are_cut_by_at_most_half() -> None:
    backoff = Backoff(first_s=1.0, max_s=8.0, random_source=random.Random(7))  # noqa: S311
    for ceiling_s in (1.0, 2.0, 4.0, 8.0, 8.0):
        assert ceiling_s / 2 <= backoff.next_s() <= ceiling_s
    backoff.reset()
    assert backoff.next_s() <= 1.0


def test_a_thousand_failures_overflow_nothing() -> None:
    backoff = Backoff(first_s=0.1, max_s=30.0)
    assert max(backoff.next_s() for _ in range(2000)) <= 30.0


def test_a_backoff_needs_sane_bounds() -> None:
    with pytest.raises(ValueError, match="first_s"):
        Backoff(first_s=2.0, max_s=1.0)
