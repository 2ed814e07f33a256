"""Continue a session with its refresh token."""

from __future__ import annotations

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import RefreshRejected, RefreshReused
from tonearm_auth.domain.session import Session, SessionTerms, Verdict
from tonearm_auth.usecases.ports import AccessTokens, Begin, RefreshTokens, Tx
from tonearm_auth.usecases.tokens import TokenPair, pair
from tonearm_contracts.events import SessionRevoked
from tonearm_kit.clock import Clock


async def refresh(
    token: str,
    *,
    begin: Begin,
    refresh_tokens: RefreshTokens,
    access: AccessTokens,
    terms: SessionTerms,
    clock: Clock,
) -> TokenPair:
    """Rotate the refresh token.

    The immediate parent of the current token, within the grace, answers with the child that
    already exists: a client whose answer was lost, or two tabs at once, stay logged in. Anything
    older is a copy in wrong hands: the session ends and `SessionRevoked` is announced. Raise
    `RefreshRejected`, for a theft its subclass `RefreshReused`.
    """
    now = clock.now()
    async with begin() as tx:
        continued = await _continue(
            tx, token=token, refresh_tokens=refresh_tokens, terms=terms, clock=clock
        )
    # Outside the block, so that a revocation is committed before it is reported.
    if isinstance(continued, RefreshRejected):
        raise continued
    account, session = continued
    child = refresh_tokens.child(token)
    return pair(account, session=session, refresh_token=child, access=access, now=now)


async def _continue(
    tx: Tx, *, token: str, refresh_tokens: RefreshTokens, terms: SessionTerms, clock: Clock
) -> tuple[Account, Session] | RefreshRejected:
    now = clock.now()
    token_hash = refresh_tokens.hash(token)
    found = await tx.sessions.lock_by_token(token_hash)
    if found is None:
        return RefreshRejected()
    session, presented = found
    verdict = session.judge(
        generation=presented.generation,
        superseded_at=presented.superseded_at,
        grace_s=terms.grace_s,
        now=now,
    )
    account = await tx.accounts.find(session.account_id)
    if verdict is Verdict.REFUSE or account is None or not account.is_active:
        return RefreshRejected()
    if verdict is Verdict.REUSE:
        await tx.sessions.save(session.ended("refresh_reuse", now=now))
        await tx.announce(
            SessionRevoked(
                account_id=session.account_id, session_id=session.id, reason="refresh_reuse"
            )
        )
        return RefreshReused()
    if verdict is Verdict.ROTATE:
        session = session.rotated(terms=terms, now=now)
        await tx.sessions.supersede(
            session,
            old_hash=token_hash,
            new_hash=refresh_tokens.hash(refresh_tokens.child(token)),
            at=now,
        )
    return account, session
