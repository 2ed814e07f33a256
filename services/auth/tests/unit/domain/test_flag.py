"""Evaluation order, reasons, and flagd's buckets."""

from __future__ import annotations

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonearm_auth.domain.flag import Audience, Evaluation, Flag, Subject, bucket_of, evaluate
from tonearm_auth.domain.murmur import murmur3_32


def flag(
    *,
    is_enabled: bool = True,
    audience: Audience = "everyone",
    percentage: int = 100,
    has_overrides: bool = False,
) -> Flag:
    return Flag(
        key="audio-upload",
        description="",
        is_enabled=is_enabled,
        audience=audience,
        percentage=percentage,
        has_overrides=has_overrides,
    )


def subject(key: str | None = "a1", *, is_premium: bool = False, is_beta: bool = False) -> Subject:
    return Subject(targeting_key=key, is_premium=is_premium, is_beta=is_beta)


def told(found: Evaluation) -> tuple[bool | None, str]:
    return found.value, found.reason


def test_global_off_beats_everything() -> None:
    off = flag(is_enabled=False, has_overrides=True)
    found = evaluate(off, subject=subject(is_premium=True), override=True)
    assert (found.value, found.variant, found.reason) == (None, None, "DISABLED")


@pytest.mark.parametrize("override", [True, False])
def test_an_override_beats_audience_and_percentage(override: bool) -> None:
    narrow = flag(audience="premium", percentage=50, has_overrides=True)
    found = evaluate(narrow, subject=subject(), override=override)
    assert told(found) == (override, "TARGETING_MATCH")


@pytest.mark.parametrize(
    ("audience", "is_premium", "is_beta", "value"),
    [
        ("beta", False, True, True),
        ("beta", True, False, False),
        ("premium", True, False, True),
        ("premium", False, True, False),
        ("premium", False, False, False),
    ],
)
def test_an_audience_lets_only_its_own_in(
    audience: Audience, is_premium: bool, is_beta: bool, value: bool
) -> None:
    found = evaluate(
        flag(audience=audience),
        subject=subject(is_premium=is_premium, is_beta=is_beta),
        override=None,
    )
    assert told(found) == (value, "TARGETING_MATCH")


@pytest.mark.parametrize(("percentage", "value"), [(100, True), (0, False)])
def test_the_same_for_everybody_may_be_cached(percentage: int, value: bool) -> None:
    found = evaluate(flag(percentage=percentage), subject=subject(None), override=None)
    assert told(found) == (value, "STATIC")


def test_nothing_is_static_once_somebody_has_a_value_of_their_own() -> None:
    found = evaluate(flag(has_overrides=True), subject=subject(), override=None)
    assert told(found) == (True, "TARGETING_MATCH")


def test_a_roll_out_counts_within_the_audience_only() -> None:
    narrow = flag(audience="beta", percentage=99)
    keys = [f"account-{number}" for number in range(200)]
    outside = [evaluate(narrow, subject=subject(key), override=None).value for key in keys]
    inside = [
        evaluate(narrow, subject=subject(key, is_beta=True), override=None).value for key in keys
    ]
    assert not any(outside)
    assert sum(value is True for value in inside) > 190


def test_a_roll_out_without_a_key_answers_off() -> None:
    found = evaluate(flag(percentage=50), subject=subject(None), override=None)
    assert told(found) == (False, "DEFAULT")


def test_a_roll_out_only_ever_grows() -> None:
    keys = [f"account-{number}" for number in range(300)]
    on_before: set[str] = set()
    for percentage in (1, 10, 25, 50, 75, 99):
        rules = flag(percentage=percentage)
        on = {key for key in keys if evaluate(rules, subject=subject(key), override=None).value}
        assert on_before <= on
        on_before = on


def test_a_roll_out_reaches_about_its_share() -> None:
    rules = flag(percentage=30)
    answers = [
        evaluate(rules, subject=subject(f"account-{number}"), override=None)
        for number in range(5000)
    ]
    assert {answer.reason for answer in answers} == {"SPLIT"}
    assert 0.27 < sum(answer.value is True for answer in answers) / 5000 < 0.33


@given(st.binary(max_size=70))
def test_murmur_agrees_with_the_reference(key: bytes) -> None:
    assert murmur3_32(key) == mmh3.hash(key, 0, signed=False)


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_bucket_is_that_of_flagd(flag_key: str, targeting_key: str) -> None:
    hashed = mmh3.hash((flag_key + targeting_key).encode(), 0, signed=False)
    assert bucket_of(flag_key, targeting_key=targeting_key) == (hashed * 100) >> 32
