"""See and end one's own sessions."""

from __future__ import annotations

from collections.abc import Sequence

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import SessionNotFound
from tonearm_auth.domain.session import EndReason, Session
from tonearm_auth.usecases.caller import Caller, load_caller
from tonearm_auth.usecases.ports import Begin, Tx
from tonearm_contracts.events import SessionRevoked
from tonearm_kit.clock import Clock


async def get_me(caller: Caller, *, begin: Begin, clock: Clock) -> Account:
    """Return the caller's account. Raise `SessionEnded`."""
    async with begin() as tx:
        account, _ = await load_caller(tx, caller, clock=clock)
    return account


async def list_sessions(caller: Caller, *, begin: Begin, clock: Clock) -> Sequence[Session]:
    """Return the caller's live sessions, newest first. Raise `SessionEnded`."""
    async with begin() as tx:
        account, _ = await load_caller(tx, caller, clock=clock)
        return await tx.sessions.live(account.id, now=clock.now())


async def log_out(caller: Caller, *, begin: Begin, clock: Clock) -> None:
    """End the caller's own session. Raise `SessionEnded` when it has ended before."""
    async with begin() as tx:
        account, session = await load_caller(tx, caller, clock=clock)
        await end_sessions(tx, account.id, clock=clock, reason="logout", only_id=session.id)


async def end_session(caller: Caller, *, session_id: str, begin: Begin, clock: Clock) -> None:
    """End one of the caller's sessions. Raise `SessionNotFound`, `SessionEnded`."""
    async with begin() as tx:
        account, _ = await load_caller(tx, caller, clock=clock)
        n_ended = await end_sessions(
            tx, account.id, clock=clock, reason="by_user", only_id=session_id
        )
        if n_ended == 0:
            raise SessionNotFound


async def end_all_sessions(
    caller: Caller, *, keep_current: bool, begin: Begin, clock: Clock
) -> int:
    """End the caller's sessions, perhaps all but this one; return how many."""
    async with begin() as tx:
        account, session = await load_caller(tx, caller, clock=clock)
        return await end_sessions(
            tx,
            account.id,
            clock=clock,
            reason="by_user",
            except_id=session.id if keep_current else None,
        )


async def end_sessions(
    tx: Tx,
    account_id: str,
    *,
    clock: Clock,
    reason: EndReason,
    only_id: str | None = None,
    except_id: str | None = None,
) -> int:
    """End the account's live sessions that match, announce each, return how many.

    The rows are locked first, so two that end the same session announce it once.
    """
    now = clock.now()
    n_ended = 0
    for session in await tx.sessions.lock_live(account_id, now=now):
        if session.id == except_id or only_id not in (None, session.id):
            continue
        await tx.sessions.save(session.ended(reason, now=now))
        await tx.announce(
            SessionRevoked(account_id=account_id, session_id=session.id, reason=reason)
        )
        n_ended += 1
    return n_ended
