"""The pace: never more than allowed, no edge to burst around, exact to the microsecond."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tonearm_auth.domain.gcra import MICROS, Pace, decide

MINUTE = Pace(quota=60, window_s=60, burst=60)
NOW = 1_800_000_000 * MICROS


def spend(pace: Pace, times_us: list[int]) -> list[int]:
    """Return the times that were allowed."""
    tat: int | None = None
    allowed: list[int] = []
    for now in times_us:
        cell = decide(pace, tat_us=tat, hits=1, now_us=now)
        tat = cell.tat_us
        if cell.is_allowed:
            allowed.append(now)
    return allowed


def test_a_whole_quota_at_once_and_not_one_more() -> None:
    assert len(spend(MINUTE, [NOW] * 100)) == 60


def test_remaining_counts_down_to_nought() -> None:
    tat: int | None = None
    seen = []
    for _ in range(61):
        cell = decide(MINUTE, tat_us=tat, hits=1, now_us=NOW)
        tat = cell.tat_us
        seen.append(cell.remaining)
    assert seen[:2] == [59, 58]
    assert seen[-2:] == [0, 0]


def test_a_refusal_says_when_and_then_it_is_true() -> None:
    tat = decide(MINUTE, tat_us=None, hits=60, now_us=NOW).tat_us
    refused = decide(MINUTE, tat_us=tat, hits=1, now_us=NOW)
    assert (refused.is_allowed, refused.retry_s, refused.tat_us) == (False, 1.0, tat)
    assert decide(MINUTE, tat_us=tat, hits=1, now_us=NOW + MICROS).is_allowed
    assert not decide(MINUTE, tat_us=tat, hits=1, now_us=NOW + MICROS - 1).is_allowed


def test_no_second_burst_at_the_edge_of_a_window() -> None:
    just_before, just_after = NOW + 59 * MICROS, NOW + 61 * MICROS
    allowed = spend(MINUTE, [just_before] * 100 + [just_after] * 100)
    assert len(allowed) == 62


def test_more_hits_than_the_burst_are_never_allowed() -> None:
    cell = decide(MINUTE, tat_us=None, hits=61, now_us=NOW)
    assert (cell.is_allowed, cell.remaining) == (False, 60)


def test_quiet_recovers_the_whole_burst() -> None:
    tat = decide(MINUTE, tat_us=None, hits=60, now_us=NOW).tat_us
    assert decide(MINUTE, tat_us=tat, hits=0, now_us=NOW + 60 * MICROS).remaining == 60


paces = st.builds(
    Pace,
    quota=st.integers(1, 2000),
    window_s=st.integers(1, 3600),
    burst=st.integers(1, 50),
)


@given(paces, st.lists(st.integers(0, 5 * MICROS), min_size=1, max_size=200))
def test_no_span_of_time_sees_more_than_burst_and_drip(pace: Pace, gaps_us: list[int]) -> None:
    times, now = [], NOW
    for gap in gaps_us:
        now += gap
        times.append(now)
    allowed = spend(pace, times)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            span_us = allowed[last] - allowed[first]
            assert last - first + 1 <= pace.burst + span_us / pace.interval_us


@given(paces, st.integers(0, 10**13), st.integers(0, 60))
def test_the_clock_may_step_back_without_a_gift(pace: Pace, ahead_us: int, hits: int) -> None:
    cell = decide(pace, tat_us=NOW + ahead_us, hits=hits, now_us=NOW)
    assert cell.tat_us >= NOW + ahead_us
    assert 0 <= cell.remaining <= pace.burst
    assert cell.retry_s >= 0
