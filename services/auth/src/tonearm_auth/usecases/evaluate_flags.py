"""Answer what flags say for one account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tonearm_auth.domain.errors import FlagNotFound
from tonearm_auth.domain.flag import Evaluation, Subject, evaluate
from tonearm_auth.usecases.ports import Begin, Tx

EVERY_FLAG = "*"
"""Stands for all keys where watchers hear of a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the asker knows. `targeting_key` is an account's id; the marks count only when no
    such account exists (a service that evaluates for someone who has none)."""

    targeting_key: str | None
    is_premium: bool = False
    is_beta: bool = False


async def evaluate_flag(key: str, *, context: Context, begin: Begin) -> Evaluation:
    """Return one answer. Raise `FlagNotFound`."""
    async with begin() as tx:
        flag = await tx.flags.find(key)
        if flag is None:
            raise FlagNotFound(key=key)
        subject, overrides = await _load_subject(tx, context)
    return evaluate(flag, subject=subject, override=overrides.get(key))


async def evaluate_flags(*, context: Context, begin: Begin) -> Sequence[Evaluation]:
    """Return the answers of every flag, by key."""
    async with begin() as tx:
        flags = await tx.flags.all()
        subject, overrides = await _load_subject(tx, context)
    return [evaluate(flag, subject=subject, override=overrides.get(flag.key)) for flag in flags]


async def _load_subject(tx: Tx, context: Context) -> tuple[Subject, Mapping[str, bool]]:
    """Return the subject with the plan that the account has now, not the one of an old token."""
    account = None
    if context.targeting_key:
        account = await tx.accounts.find(context.targeting_key)
    if account is None:
        subject = Subject(
            targeting_key=context.targeting_key or None,
            is_premium=context.is_premium,
            is_beta=context.is_beta,
        )
        return subject, {}
    subject = Subject(
        targeting_key=account.id, is_premium=account.plan == "premium", is_beta=account.is_beta
    )
    return subject, await tx.flags.overrides_for(account.id)
