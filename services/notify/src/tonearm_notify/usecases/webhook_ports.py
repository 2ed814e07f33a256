"""Webhooks as the use cases see them, and what they need from the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tonearm_notify.domain.webhooks import DeliveryStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One address that an account wants its events sent to."""

    webhook_id: str
    account_id: str
    url: str
    description: str
    event_types: Sequence[str]
    secret: str | None
    """None where it cannot be read any more: the key that sealed it is gone."""
    secret_before: str | None
    secret_before_until: datetime | None
    status: str
    status_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime

    def secrets(self, now: datetime) -> list[str]:
        """Return the secrets that sign at this time, newest first."""
        until = self.secret_before_until
        before = self.secret_before if until and now < until else None
        return [secret for secret in (self.secret, before) if secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook."""

    delivery_id: int
    webhook_id: str
    event_id: str
    event_type: str
    body: str
    traceparent: str | None
    status: str
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of one try. No `http_status` means that no answer came: see `error`."""

    http_status: int | None
    error: str | None
    duration_s: float
    response: str | None = None
    retry_after_s: float | None = None
    attempted_at: datetime | None = None

    @property
    def is_success(self) -> bool:
        """Tell whether the receiver took it."""
        return self.http_status is not None and 200 <= self.http_status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Bounds of webhooks."""

    per_account_max: int = 10
    http_allowed: bool = False
    disable_after_s: float = 5 * 86400.0
    secret_overlap_s: float = 86400.0
    at_once_max: int = 10
    poll_s: float = 1.0
    lease_s: float = 60.0


class WebhookStore(Protocol):
    """Where webhooks and deliveries are kept."""

    async def count(self, account_id: str) -> int:
        """Return how many webhooks an account has."""
        ...

    async def add(self, webhook: Webhook) -> None:
        """Add a webhook."""
        ...

    async def load_all(self, account_id: str) -> list[Webhook]:
        """Return an account's webhooks, oldest first."""
        ...

    async def find(self, webhook_id: str) -> Webhook | None:
        """Return a webhook, or None."""
        ...

    async def update(self, webhook: Webhook) -> None:
        """Write all changeable fields."""
        ...

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook with its deliveries."""
        ...

    async def enqueue_one(self, webhook_id: str, *, event_id: str, type_: str, body: str) -> int:
        """Add a delivery to one webhook and return its id."""
        ...

    async def claim_due(self, *, limit: int, lease_s: float) -> list[Delivery]:
        """Return what is due; nobody else gets it for `lease_s` seconds."""
        ...

    async def settle(
        self,
        delivery: Delivery,
        attempt: Attempt,
        *,
        status: DeliveryStatus,
        next_attempt_at: datetime | None,
    ) -> None:
        """Log an attempt and move the delivery on."""
        ...

    async def note_health(
        self, webhook_id: str, *, is_success: bool, now: datetime
    ) -> datetime | None:
        """Note whether a webhook works; return since when it has done nothing but fail."""
        ...

    async def give_up(self, webhook_id: str, *, reason: str) -> None:
        """Switch a webhook off for failing."""
        ...

    async def load_deliveries(
        self, webhook_id: str, *, before: int | None, limit: int, status: str | None
    ) -> list[Delivery]:
        """Return deliveries, newest first."""
        ...

    async def load_attempts(self, delivery_id: int) -> list[Attempt]:
        """Return the log of one delivery, oldest first."""
        ...

    async def replay(
        self, webhook_id: str, *, delivery_id: int | None, since: datetime | None
    ) -> int:
        """Make one delivery, or all that failed since a time, due now; return how many."""
        ...


class Sender(Protocol):
    """Sends one delivery; never raises for what the receiver does."""

    async def check(self, url: str) -> bool:
        """Tell whether webhooks may go to this address as it resolves now."""
        ...

    async def send(self, url: str, *, headers: dict[str, str], body: bytes) -> Attempt:
        """POST the body once and return what came of it."""
        ...
