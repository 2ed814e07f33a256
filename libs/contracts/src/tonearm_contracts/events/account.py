"""What auth says of accounts and flags."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from tonearm_contracts import topics
from tonearm_contracts.envelope import EventData


class _AccountEvent(EventData):
    TOPIC: ClassVar[str] = topics.AUTH_ACCOUNT.name

    account_id: str

    def key(self) -> str:
        """Return the account's id."""
        return self.account_id


class AccountRegistered(_AccountEvent):
    """An account exists from now on."""

    TYPE: ClassVar[str] = "tonearm.account.registered.v1"

    email: str
    full_name: str | None
    plan: Literal["free", "premium"]
    registered_at: datetime


class EntitlementsChanged(_AccountEvent):
    """The plan or the beta mark of an account changed; the values are the new ones."""

    TYPE: ClassVar[str] = "tonearm.account.entitlements_changed.v1"

    plan: Literal["free", "premium"]
    is_beta: bool
    is_active: bool


class SessionRevoked(_AccountEvent):
    """A session ended before its time; its access tokens must no longer open anything."""

    TYPE: ClassVar[str] = "tonearm.account.session_revoked.v1"

    session_id: str
    reason: Literal["logout", "refresh_reuse", "password_changed", "disabled", "by_user"]


class AccountDeleted(_AccountEvent):
    """The account is gone; every service deletes what it holds of it."""

    TYPE: ClassVar[str] = "tonearm.account.deleted.v1"


class FlagChanged(EventData):
    """A flag changed for some or all accounts; subscribers evaluate again."""

    TYPE: ClassVar[str] = "tonearm.flag.changed.v1"
    TOPIC: ClassVar[str] = topics.AUTH_FLAGS.name

    flag_key: str
    account_id: str | None
    """Set when only the override of this account changed."""

    def key(self) -> str:
        """Return the flag's key."""
        return self.flag_key
