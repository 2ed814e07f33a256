"""Sessions and their refresh tokens: who may continue, who is repeating, who is a thief."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal, Self

EndReason = Literal["logout", "refresh_reuse", "password_changed", "disabled", "by_user"]


class Verdict(Enum):
    """What to do with a refresh token that was presented."""

    ROTATE = "rotate"
    """It is the current one: supersede it by its child."""
    REPEAT = "repeat"
    """It is the parent of the current one, within the grace: give the same child again."""
    REUSE = "reuse"
    """It is older, or the grace is over: end the whole family."""
    REFUSE = "refuse"
    """The session has ended or expired; nothing else happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """How long sessions live, in seconds."""

    idle_s: float
    """Without a refresh."""
    absolute_s: float
    """Whatever happens."""
    grace_s: float
    """How long a superseded refresh token still answers with its child."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What the person sees in the list of sessions; both come from the request, unverified."""

    user_agent: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One log-in on one device. `generation` counts the refresh tokens it has had, from 1."""

    id: str
    account_id: str
    generation: int
    created_at: datetime
    refreshed_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    end_reason: EndReason | None
    client: Client

    @classmethod
    def start(
        cls, id: str, *, account_id: str, client: Client, terms: SessionTerms, now: datetime
    ) -> Self:
        """Return a session that begins now with its first refresh token."""
        absolute = now + timedelta(seconds=terms.absolute_s)
        return cls(
            id=id,
            account_id=account_id,
            generation=1,
            created_at=now,
            refreshed_at=now,
            idle_expires_at=min(now + timedelta(seconds=terms.idle_s), absolute),
            expires_at=absolute,
            ended_at=None,
            end_reason=None,
            client=client,
        )

    def is_live(self, now: datetime) -> bool:
        """Return whether the session may still be used at `now`."""
        return self.ended_at is None and now < min(self.idle_expires_at, self.expires_at)

    def judge(
        self,
        *,
        generation: int,
        superseded_at: datetime | None,
        grace_s: float,
        now: datetime,
    ) -> Verdict:
        """Say what a token of this session deserves.

        `generation` and `superseded_at` are the token's own; a token that was never superseded
        is the current one.
        """
        if not self.is_live(now):
            return Verdict.REFUSE
        if superseded_at is None and generation == self.generation:
            return Verdict.ROTATE
        is_parent = generation == self.generation - 1 and superseded_at is not None
        if is_parent and superseded_at is not None:
            in_grace = now <= superseded_at + timedelta(seconds=grace_s)
            return Verdict.REPEAT if in_grace else Verdict.REUSE
        return Verdict.REUSE

    def rotated(self, *, terms: SessionTerms, now: datetime) -> Self:
        """Return the session with its next refresh token; the absolute end does not move."""
        return replace(
            self,
            generation=self.generation + 1,
            refreshed_at=now,
            idle_expires_at=min(now + timedelta(seconds=terms.idle_s), self.expires_at),
        )

    def ended(self, reason: EndReason, *, now: datetime) -> Self:
        """Return the session ended now; an earlier end stands."""
        if self.ended_at is not None:
            return self
        return replace(self, ended_at=now, end_reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """What is kept of a refresh token: its hash, never the token."""

    token_hash: bytes
    session_id: str
    generation: int
    superseded_at: datetime | None
