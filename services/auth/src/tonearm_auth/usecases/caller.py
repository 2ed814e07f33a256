"""Who calls: the token says it, the rows decide whether it still holds."""

from __future__ import annotations

from dataclasses import dataclass

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import SessionEnded, SuperuserRequired
from tonearm_auth.domain.session import Session
from tonearm_auth.usecases.ports import Tx
from tonearm_kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a verified access token names."""

    account_id: str
    session_id: str


async def load_caller(tx: Tx, caller: Caller, *, clock: Clock) -> tuple[Account, Session]:
    """Return the account and live session behind a token.

    An access token outlives a log-out by minutes; here, where the rows are at hand, it does not.
    Raise `SessionEnded`.
    """
    session = await tx.sessions.find(caller.session_id)
    account = await tx.accounts.find(caller.account_id)
    if session is None or account is None or not account.is_active:
        raise SessionEnded
    if session.account_id != account.id or not session.is_live(clock.now()):
        raise SessionEnded
    return account, session


async def load_superuser(tx: Tx, caller: Caller, *, clock: Clock) -> Account:
    """Return the caller's account; raise `SuperuserRequired` unless it is a superuser's now."""
    account, _ = await load_caller(tx, caller, clock=clock)
    if not account.is_superuser:
        raise SuperuserRequired
    return account
