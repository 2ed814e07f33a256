"""Ended sessions are remembered as long as their tokens live, and no more than fit."""

from __future__ import annotations

from tonearm_auth.adapters.ended_sessions import EndedSessions
from tonearm_kit.testing.clock import FixedClock


def test_they_are_forgotten_with_their_last_token() -> None:
    clock = FixedClock()
    ended = EndedSessions(clock=clock, keep_s=900, ids_max=100)
    hear = ended.ear().heard
    hear("one")
    clock.advance(500)
    hear("two")
    clock.advance(401)
    hear("three")
    assert [key in ended for key in ("one", "two", "three", "four")] == [False, True, True, False]


def test_over_the_limit_the_oldest_are_forgotten() -> None:
    ended = EndedSessions(clock=FixedClock(), keep_s=900, ids_max=3)
    for number in range(5):
        ended.ear().heard(str(number))
    assert [str(number) in ended for number in range(5)] == [False, False, True, True, True]
