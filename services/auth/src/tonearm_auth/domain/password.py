"""Which passwords are accepted (OWASP ASVS 5.0, 6.2): length and lists, no composition rules."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from tonearm_auth.domain.errors import PasswordRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordRules:
    """Lengths count Unicode code points. A longer password is refused, never cut."""

    length_min: int
    length_max: int
    common: Container[str]
    """Lower-case passwords that everybody tries first."""


def check_password(password: str, *, email: str, rules: PasswordRules) -> None:
    """Raise `PasswordRejected` with the reason, or return None.

    Comparison with the lists ignores case; the password itself is never changed.
    """
    if len(password) < rules.length_min:
        raise PasswordRejected(f"Use at least {rules.length_min} characters.", reason="too_short")
    if len(password) > rules.length_max:
        raise PasswordRejected(f"Use at most {rules.length_max} characters.", reason="too_long")
    folded = password.casefold()
    if folded in rules.common:
        raise PasswordRejected("This password is among the most common ones.", reason="common")
    local_part = email.partition("@")[0]
    if folded in {email.casefold(), local_part.casefold(), "tonearm", "tonearm" * 2}:
        raise PasswordRejected(
            "The password must not be the e-mail address or the name of the service.",
            reason="derived",
        )
