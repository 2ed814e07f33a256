"""The life of signing keys on a timeline."""

from __future__ import annotations

from datetime import datetime, timedelta

from tonearm_auth.domain.signing import (
    KeyTerms,
    KeyTimes,
    current_kid,
    plan_rotation,
    published_kids,
)
from tonearm_kit.testing.clock import START

TERMS = KeyTerms(lifetime_s=1000, publish_lead_s=100, token_lifetime_s=50)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def key(kid: str, seconds: float) -> KeyTimes:
    return KeyTimes(kid=kid, active_from=at(seconds))


def test_the_first_key_signs_at_once() -> None:
    plan = plan_rotation([], terms=TERMS, now=START)
    assert plan.create_active_from == START
    assert published_kids([], terms=TERMS, now=START) == ()


def test_the_next_key_is_published_before_it_signs() -> None:
    keys = [key("one", 0)]
    assert plan_rotation(keys, terms=TERMS, now=at(899)).create_active_from is None
    assert plan_rotation(keys, terms=TERMS, now=at(900)).create_active_from == at(1000)
    keys.append(key("two", 1000))
    assert current_kid(keys, now=at(999)) == "one"
    assert published_kids(keys, terms=TERMS, now=at(999)) == ("one", "two")
    assert current_kid(keys, now=at(1000)) == "two"


def test_a_replaced_key_stays_as_long_as_its_tokens_live() -> None:
    keys = [key("one", 0), key("two", 1000)]
    assert published_kids(keys, terms=TERMS, now=at(1049.9)) == ("one", "two")
    assert published_kids(keys, terms=TERMS, now=at(1050)) == ("two",)
    assert plan_rotation(keys, terms=TERMS, now=at(1050)).delete_kids == ("one",)


def test_a_waiting_key_stops_another_even_when_forced() -> None:
    keys = [key("one", 0), key("two", 1000)]
    plan = plan_rotation(keys, terms=TERMS, now=at(950), is_forced=True)
    assert plan.create_active_from is None


def test_a_forced_rotation_keeps_the_lead() -> None:
    plan = plan_rotation([key("one", 0)], terms=TERMS, now=at(10), is_forced=True)
    assert plan.create_active_from == at(110)


def test_after_a_long_sleep_the_old_key_goes_on_until_the_new_one_is_known() -> None:
    keys = [key("one", 0)]
    plan = plan_rotation(keys, terms=TERMS, now=at(5000))
    assert plan.create_active_from == at(5100)
    assert current_kid(keys, now=at(5000)) == "one"
