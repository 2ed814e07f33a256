"""Open a session with e-mail address and password."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import BadCredentials, EmailInvalid
from tonearm_auth.domain.session import Client, Session, SessionTerms
from tonearm_auth.usecases.ports import AccessTokens, Begin, Passwords, RefreshTokens, Tx
from tonearm_auth.usecases.register import NormaliseEmail
from tonearm_auth.usecases.tokens import TokenPair, pair
from tonearm_contracts.events import SessionRevoked
from tonearm_kit.clock import Clock
from tonearm_kit.ids import NewId


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn:
    """What a person gives to log in, and from where."""

    email: str
    password: str = field(repr=False)
    client: Client


Throttle = Callable[[str], Awaitable[None]]
"""Counts an attempt for an address; raises `TooManyLogins` when there were too many."""


async def log_in(
    cmd: LogIn,
    *,
    begin: Begin,
    passwords: Passwords,
    refresh_tokens: RefreshTokens,
    access: AccessTokens,
    normalise_email: NormaliseEmail,
    throttle: Throttle,
    terms: SessionTerms,
    sessions_max: int,
    clock: Clock,
    new_id: NewId,
) -> TokenPair:
    """Check the password, then record the session.

    An unknown address, a wrong password and a disabled account cannot be told apart, neither by
    the answer nor by its time. A hash made with weaker parameters is replaced on the way. Over
    `sessions_max` live sessions the oldest end. Raise `BadCredentials`, `TooManyLogins`.
    """
    email = _email_or_none(cmd.email, normalise=normalise_email)
    await throttle(email or cmd.email)
    account = await _find(begin, email=email)
    is_right = await passwords.verify(
        cmd.password, hashed=account.password_hash if account is not None else None
    )
    if account is None or not is_right or not account.is_active:
        raise BadCredentials
    fresh_hash = None
    if passwords.needs_rehash(account.password_hash):
        fresh_hash = await passwords.hash(cmd.password)
    now = clock.now()
    token = refresh_tokens.first()
    session = Session.start(
        new_id(), account_id=account.id, client=cmd.client, terms=terms, now=now
    )
    async with begin() as tx:
        held = await tx.accounts.lock(account.id)
        # The password may have changed, or the account been disabled, while the hash was made.
        if held is None or not held.is_active or held.password_hash != account.password_hash:
            raise BadCredentials
        held = replace(held, last_login_at=now, password_hash=fresh_hash or held.password_hash)
        await tx.accounts.save(held)
        await _end_oldest(tx, account=held, keep=sessions_max - 1, clock=clock)
        await tx.sessions.add(session, token_hash=refresh_tokens.hash(token))
    return pair(held, session=session, refresh_token=token, access=access, now=now)


def _email_or_none(text: str, *, normalise: NormaliseEmail) -> str | None:
    try:
        return normalise(text)
    except EmailInvalid:
        return None


async def _find(begin: Begin, *, email: str | None) -> Account | None:
    async with begin() as tx:
        return await tx.accounts.find_by_email(email or "")


async def _end_oldest(tx: Tx, *, account: Account, keep: int, clock: Clock) -> None:
    now = clock.now()
    for session in (await tx.sessions.lock_live(account.id, now=now))[keep:]:
        await tx.sessions.save(session.ended("by_user", now=now))
        await tx.announce(
            SessionRevoked(account_id=account.id, session_id=session.id, reason="by_user")
        )
