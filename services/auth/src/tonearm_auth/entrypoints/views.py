"""What HTTP clients read. Field names are those of the API; no view has a password or a hash."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tonearm_auth.domain.account import Account, Plan
from tonearm_auth.domain.flag import Audience, Flag
from tonearm_auth.domain.notice import Notice, NoticeKind
from tonearm_auth.domain.session import Session
from tonearm_auth.entrypoints.usage import UsageLine
from tonearm_auth.usecases.ports import AuditEntry
from tonearm_auth.usecases.tokens import TokenPair

Id = Annotated[str, Field(min_length=1, max_length=64)]


class View(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(frozen=True)


class AccountView(View):
    """An account, as its owner and superusers see it."""

    id: Id
    email: str
    full_name: str | None
    plan: Plan
    is_active: bool
    is_beta: bool
    is_superuser: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, account: Account) -> Self:
        """Return the view of an account."""
        return cls(
            id=account.id,
            email=account.email,
            full_name=account.full_name,
            plan=account.plan,
            is_active=account.is_active,
            is_beta=account.is_beta,
            is_superuser=account.is_superuser,
            created_at=account.created_at,
            updated_at=account.updated_at,
            last_login_at=account.last_login_at,
        )


class TokensView(View):
    """An access token, and the refresh token that buys the next one. Lifetimes in seconds."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    session_id: Id

    @classmethod
    def of(cls, tokens: TokenPair) -> Self:
        """Return the view of a pair."""
        return cls(
            access_token=tokens.access_token,
            token_type="Bearer",  # noqa: S106 - a scheme's name
            expires_in=tokens.expires_in_s,
            refresh_token=tokens.refresh_token,
            refresh_expires_in=tokens.refresh_expires_in_s,
            session_id=tokens.session_id,
        )


class SessionView(View):
    """One log-in on one device."""

    id: Id
    is_current: bool
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    user_agent: str
    address: str

    @classmethod
    def of(cls, session: Session, *, current_id: str) -> Self:
        """Return the view of a session; `current_id` is the caller's own."""
        return cls(
            id=session.id,
            is_current=session.id == current_id,
            created_at=session.created_at,
            refreshed_at=session.refreshed_at,
            expires_at=min(session.idle_expires_at, session.expires_at),
            user_agent=session.client.user_agent,
            address=session.client.address,
        )


class SessionList(View):
    """Live sessions, newest first."""

    items: list[SessionView]


class LimitView(View):
    """One limit of the plan. `resets_at` is null for what never begins anew."""

    name: str
    limit: float
    used: float
    resets_at: datetime | None

    @classmethod
    def of(cls, line: UsageLine) -> Self:
        """Return the view of a line."""
        return cls(name=line.name, limit=line.limit, used=line.used, resets_at=line.resets_at)


class UsageView(View):
    """What the plan allows and what is used of it."""

    plan: str
    limits: list[LimitView]


class FlagView(View):
    """A flag and its rules."""

    key: str
    description: str
    is_enabled: bool
    audience: Audience
    percentage: int

    @classmethod
    def of(cls, flag: Flag) -> Self:
        """Return the view of a flag."""
        return cls(
            key=flag.key,
            description=flag.description,
            is_enabled=flag.is_enabled,
            audience=flag.audience,
            percentage=flag.percentage,
        )


class FlagList(View):
    """Every flag, by key."""

    items: list[FlagView]


class OverrideView(View):
    """An account's own value of a flag."""

    account_id: Id
    value: bool


class FlagDetailView(FlagView):
    """A flag with the accounts that have a value of their own."""

    overrides: list[OverrideView]


class AccountList(View):
    """Accounts by id; pass `next_cursor` as `cursor` for the next page, null at the end."""

    items: list[AccountView]
    next_cursor: str | None


class AuditView(View):
    """Who changed what. `actor_id` is null for the command line."""

    id: Id
    at: datetime
    actor_id: str | None
    action: str
    target: str
    before: dict[str, JsonValue] | None
    after: dict[str, JsonValue] | None

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Return the view of a row."""
        return cls(
            id=entry.id,
            at=entry.at,
            actor_id=entry.actor_id,
            action=entry.action,
            target=entry.target,
            before=None if entry.before is None else dict(entry.before),
            after=None if entry.after is None else dict(entry.after),
        )


class AuditList(View):
    """Audit rows, newest first; pass `next_cursor` as `cursor` for the next page, null at the end."""

    items: list[AuditView]
    next_cursor: str | None


class NoticeView(View):
    """What was told to everybody."""

    id: Id
    kind: NoticeKind
    message: str
    starts_at: datetime | None
    ends_at: datetime | None

    @classmethod
    def of(cls, notice: Notice) -> Self:
        """Return the view of a notice."""
        return cls(
            id=notice.id,
            kind=notice.kind,
            message=notice.message,
            starts_at=notice.starts_at,
            ends_at=notice.ends_at,
        )
