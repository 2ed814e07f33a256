"""Flags: what a switch says for one account, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from tonearm_auth.domain.murmur import murmur3_32

Audience = Literal["everyone", "beta", "premium"]
Reason = Literal["STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a flag is evaluated for. Without a `targeting_key` only global rules apply."""

    targeting_key: str | None
    is_premium: bool
    is_beta: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """`percentage` (0 to 100) is the share of the audience that has the feature."""

    key: str
    description: str
    is_enabled: bool
    audience: Audience
    percentage: int
    has_overrides: bool
    """Whether any account has a value of its own: then no answer holds for everybody."""

    def changed(self, *, is_enabled: bool, audience: Audience, percentage: int) -> Self:
        """Return the flag with new rules."""
        return replace(self, is_enabled=is_enabled, audience=audience, percentage=percentage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The answer. `value` and `variant` are None for a disabled flag: use the code's default."""

    key: str
    value: bool | None
    variant: Literal["on", "off"] | None
    reason: Reason


def evaluate(flag: Flag, *, subject: Subject, override: bool | None) -> Evaluation:
    """Apply the rules in their order: global off, override, audience, percentage.

    STATIC is answered only when every account would get the same, because clients cache it.
    """
    if not flag.is_enabled:
        return Evaluation(key=flag.key, value=None, variant=None, reason="DISABLED")
    if override is not None:
        return _answer(flag, value=override, reason="TARGETING_MATCH")
    if not _in_audience(flag.audience, subject=subject):
        return _answer(flag, value=False, reason="TARGETING_MATCH")
    if 0 < flag.percentage < 100:
        if subject.targeting_key is None:
            return _answer(flag, value=False, reason="DEFAULT")
        bucket = bucket_of(flag.key, targeting_key=subject.targeting_key)
        return _answer(flag, value=bucket < flag.percentage, reason="SPLIT")
    is_same_for_all = flag.audience == "everyone" and not flag.has_overrides
    return _answer(
        flag,
        value=flag.percentage == 100,
        reason="STATIC" if is_same_for_all else "TARGETING_MATCH",
    )


def bucket_of(flag_key: str, *, targeting_key: str) -> int:
    """Return the hundredth (0 to 99) into which flagd's `fractional` puts this pair."""
    return (murmur3_32((flag_key + targeting_key).encode()) * 100) >> 32


def _in_audience(audience: Audience, *, subject: Subject) -> bool:
    return {
        "everyone": True,
        "beta": subject.is_beta,
        "premium": subject.is_premium,
    }[audience]


def _answer(flag: Flag, *, value: bool, reason: Reason) -> Evaluation:
    return Evaluation(key=flag.key, value=value, variant="on" if value else "off", reason=reason)
