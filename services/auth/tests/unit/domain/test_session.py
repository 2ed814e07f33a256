"""Refresh families: who may continue, who repeats, who stole."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tonearm_auth.domain.session import Client, Session, SessionTerms, Verdict
from tonearm_kit.testing.clock import START

TERMS = SessionTerms(idle_s=100, absolute_s=250, grace_s=10)


def session(generation: int = 1) -> Session:
    made = Session.start(
        "s1",
        account_id="a1",
        client=Client(user_agent="", address=""),
        terms=TERMS,
        now=START,
    )
    for _ in range(generation - 1):
        made = made.rotated(terms=TERMS, now=START)
    return made


@pytest.mark.parametrize(
    ("current", "presented", "superseded_s_ago", "verdict"),
    [
        (1, 1, None, Verdict.ROTATE),
        (5, 5, None, Verdict.ROTATE),
        (2, 1, 0.0, Verdict.REPEAT),
        (2, 1, 10.0, Verdict.REPEAT),
        (2, 1, 10.001, Verdict.REUSE),
        (3, 1, 0.0, Verdict.REUSE),
        (3, 2, 3600.0, Verdict.REUSE),
    ],
)
def test_only_the_parent_within_the_grace_may_come_again(
    current: int, presented: int, superseded_s_ago: float | None, verdict: Verdict
) -> None:
    at = None if superseded_s_ago is None else START - timedelta(seconds=superseded_s_ago)
    judged = session(current).judge(
        generation=presented, superseded_at=at, grace_s=TERMS.grace_s, now=START
    )
    assert judged is verdict


def test_without_a_grace_not_even_the_parent_may_come_again() -> None:
    judged = session(2).judge(
        generation=1,
        superseded_at=START - timedelta(microseconds=1),
        grace_s=0,
        now=START,
    )
    assert judged is Verdict.REUSE


def test_an_ended_session_refuses_even_its_newest_token() -> None:
    ended = session().ended("logout", now=START)
    judged = ended.judge(generation=1, superseded_at=None, grace_s=10, now=START)
    assert judged is Verdict.REFUSE


def test_an_idle_session_expires() -> None:
    assert session().is_live(START + timedelta(seconds=99.9))
    assert not session().is_live(START + timedelta(seconds=100))


def test_refreshing_moves_the_idle_end_but_never_the_absolute_one() -> None:
    kept = session()
    for seconds in (80, 160, 240):
        kept = kept.rotated(terms=TERMS, now=START + timedelta(seconds=seconds))
    assert kept.idle_expires_at == kept.expires_at == START + timedelta(seconds=250)
    assert not kept.is_live(START + timedelta(seconds=250))


def test_the_first_reason_of_an_end_stands() -> None:
    ended = session().ended("refresh_reuse", now=START).ended("logout", now=START)
    assert ended.end_reason == "refresh_reuse"
