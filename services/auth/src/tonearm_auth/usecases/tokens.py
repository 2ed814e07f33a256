"""What a client holds after logging in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.session import Session
from tonearm_auth.usecases.ports import AccessTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """An access token and the refresh token that follows it. Lifetimes in seconds."""

    access_token: str = field(repr=False)
    expires_in_s: int
    refresh_token: str = field(repr=False)
    refresh_expires_in_s: int
    session_id: str


def pair(
    account: Account, *, session: Session, refresh_token: str, access: AccessTokens, now: datetime
) -> TokenPair:
    """Return the pair for a live session, with a freshly signed access token."""
    refresh_end = min(session.idle_expires_at, session.expires_at)
    return TokenPair(
        access_token=access.sign(account, session_id=session.id, now=now),
        expires_in_s=access.lifetime_s,
        refresh_token=refresh_token,
        refresh_expires_in_s=int((refresh_end - now).total_seconds()),
        session_id=session.id,
    )
