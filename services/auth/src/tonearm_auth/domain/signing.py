"""The life of signing keys: published, used, kept for verification, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """Durations in seconds."""

    lifetime_s: float
    """How long one key signs."""
    publish_lead_s: float
    """How long before its first use a key is published; at least what caches of the JWKS keep."""
    token_lifetime_s: float
    """The longest life of a signed token: so long a replaced key stays published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTimes:
    """When a key begins to sign. The newest key that has begun is the current one."""

    kid: str
    active_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPlan:
    """What has to be done now."""

    create_active_from: datetime | None
    delete_kids: tuple[str, ...]


def current_kid(keys: Sequence[KeyTimes], *, now: datetime) -> str | None:
    """Return the key that signs at `now`, or None when none has begun."""
    begun = [key for key in keys if key.active_from <= now]
    return max(begun, key=lambda key: key.active_from).kid if begun else None


def published_kids(keys: Sequence[KeyTimes], *, terms: KeyTerms, now: datetime) -> tuple[str, ...]:
    """Return the keys that verifiers need: the coming, the current, and the just replaced."""
    ordered = sorted(keys, key=lambda key: key.active_from)
    keep_s = timedelta(seconds=terms.token_lifetime_s)
    return tuple(
        key.kid
        for key, successor in zip_longest(ordered, ordered[1:])
        if successor is None or now < successor.active_from + keep_s
    )


def plan_rotation(
    keys: Sequence[KeyTimes], *, terms: KeyTerms, now: datetime, is_forced: bool = False
) -> RotationPlan:
    """Say which key to create and which to delete.

    The very first key signs at once. Later ones are created `publish_lead_s` ahead of use;
    `is_forced` starts that now. A key that waits for its time stops another from being made.
    """
    published = published_kids(keys, terms=terms, now=now)
    delete = tuple(key.kid for key in keys if key.kid not in published)
    if current_kid(keys, now=now) is None:
        return RotationPlan(create_active_from=now, delete_kids=delete)
    newest = max(key.active_from for key in keys)
    lead = timedelta(seconds=terms.publish_lead_s)
    is_due = newest + timedelta(seconds=terms.lifetime_s) <= now + lead
    is_waiting = newest > now
    create = now + lead if (is_due or is_forced) and not is_waiting else None
    return RotationPlan(create_active_from=create, delete_kids=delete)
