"""ASVS 5.0, 6.2: which passwords are accepted."""

from __future__ import annotations

import pytest

from tonearm_auth.domain.errors import PasswordRejected
from tonearm_auth.domain.password import PasswordRules, check_password

RULES = PasswordRules(length_min=8, length_max=256, common=frozenset({"password1", "qwertyuiop"}))


def check(password: str, *, email: str = "anna.berg@example.org") -> None:
    check_password(password, email=email, rules=RULES)


@pytest.mark.parametrize(
    "password",
    [
        "eightchr",  # 6.2.1: eight are enough
        "aaaaaaaaaaaaaaaaaaaaaaaa",  # 6.2.5: no rule about kinds of characters
        "         ",  # 6.2.7/8: spaces are characters
        "pässwörtchen",
        "🎵🎶🎵🎶🎵🎶🎵🎶",
        "x" * 64,  # 6.2.9: 64 and more
        "x" * 128,
        "x" * 256,
    ],
)
def test_length_is_the_only_rule_of_form(password: str) -> None:
    check(password)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "too_short"),
        ("seven77", "too_short"),
        ("🎵🎶🎵🎶", "too_short"),  # four characters, sixteen bytes
        ("x" * 257, "too_long"),  # 6.2.8: refused, never cut
        ("password1", "common"),
        ("PassWord1", "common"),
        ("anna.berg", "derived"),
        ("Anna.Berg@Example.org", "derived"),
        ("TonearmTonearm", "derived"),
    ],
)
def test_what_is_refused_says_why(password: str, reason: str) -> None:
    with pytest.raises(PasswordRejected) as refused:
        check(password)
    assert refused.value.members == {"reason": reason}


def test_an_error_never_repeats_the_password() -> None:
    with pytest.raises(PasswordRejected) as refused:
        check("qwertyuiop")
    assert "qwertyuiop" not in repr(refused.value) + refused.value.detail
