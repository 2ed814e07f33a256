"""What a person should find again when no screen was open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from tonearm_notify.usecases.ports import Transaction

NOTED_TYPES: Final = frozenset(
    {
        "tonearm.analysis.completed.v1",
        "tonearm.analysis.failed.v1",
        "tonearm.analysis.corrected.v1",
        "tonearm.account.entitlements_changed.v1",
        "tonearm.account.session_revoked.v1",
    }
)
"""Event types that become notifications; progress and bookkeeping do not."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One entry. `body` is the CloudEvent as JSON text."""

    seq: int
    event_id: str
    type: str
    audio_id: str | None
    body: str
    event_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some notifications, newest first; `next_before` is None on the last page."""

    items: Sequence[Notification]
    next_before: int | None
    unread_count: int


class Notifications(Protocol):
    """Where notifications are kept."""

    async def load_page(
        self, account_id: str, *, before: int | None, limit: int, unread_only: bool
    ) -> Page:
        """Return notifications, newest first."""
        ...

    async def mark_read(
        self, account_id: str, *, event_ids: list[str] | None, up_to: str | None
    ) -> int:
        """Mark notifications as read and return how many are still unread."""
        ...

    async def forget_account(self, tx: Transaction, account_id: str) -> None:
        """Delete an account's notifications."""
        ...
