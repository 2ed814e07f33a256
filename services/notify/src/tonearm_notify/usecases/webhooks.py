"""What an account does with its webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tonearm_kit.clock import Clock
from tonearm_notify.domain import webhooks as rules
from tonearm_notify.domain.errors import (
    DeliveryNotFound,
    TooManyWebhooks,
    WebhookAddressRefused,
    WebhookIsOff,
    WebhookNotFound,
)
from tonearm_notify.domain.webhooks import Status
from tonearm_notify.usecases.webhook_ports import (
    Attempt,
    Delivery,
    Sender,
    Webhook,
    WebhookOptions,
    WebhookStore,
)


class Webhooks:
    """What an account does with its webhooks."""

    def __init__(
        self,
        options: WebhookOptions,
        *,
        store: WebhookStore,
        sender: Sender,
        clock: Clock,
        new_id: Callable[[], str],
        new_key: Callable[[int], bytes],
    ) -> None:
        self._options = options
        self._store = store
        self._sender = sender
        self._clock = clock
        self._new_id = new_id
        self._new_key = new_key

    async def create(
        self, account_id: str, *, url: str, description: str, event_types: Sequence[str]
    ) -> Webhook:
        """Make a webhook. Raises TooManyWebhooks or WebhookAddressRefused."""
        if await self._store.count(account_id) >= self._options.per_account_max:
            raise TooManyWebhooks(webhooks_max=self._options.per_account_max)
        await self._check(url)
        now = self._clock.now()
        webhook = Webhook(
            webhook_id=self._new_id(),
            account_id=account_id,
            url=url,
            description=description,
            event_types=tuple(event_types),
            secret=rules.to_secret(self._new_key(rules.SECRET_BYTES)),
            secret_before=None,
            secret_before_until=None,
            status=Status.ACTIVE,
            status_reason=None,
            failing_since=None,
            created_at=now,
            updated_at=now,
        )
        await self._store.add(webhook)
        return webhook

    async def _check(self, url: str) -> None:
        target = rules.parse_url(url, http_allowed=self._options.http_allowed)
        if target is None or not await self._sender.check(url):
            raise WebhookAddressRefused

    async def get(self, account_id: str, webhook_id: str) -> Webhook:
        """Return an account's webhook. Raises WebhookNotFound."""
        webhook = await self._store.find(webhook_id)
        if webhook is None or webhook.account_id != account_id:
            raise WebhookNotFound
        return webhook

    async def all(self, account_id: str) -> list[Webhook]:
        """Return all webhooks of an account."""
        return await self._store.load_all(account_id)

    async def change(self, account_id: str, webhook_id: str, **changes: Any) -> Webhook:
        """Change address, description, event types or status; switching on forgives failures."""
        webhook = await self.get(account_id, webhook_id)
        if "url" in changes and changes["url"] != webhook.url:
            await self._check(changes["url"])
        if changes.get("status") == Status.ACTIVE:
            changes |= {"status_reason": None, "failing_since": None}
        changed = replace(webhook, updated_at=self._clock.now(), **changes)
        await self._store.update(changed)
        return changed

    async def delete(self, account_id: str, webhook_id: str) -> None:
        """Delete a webhook with its deliveries."""
        await self.get(account_id, webhook_id)
        await self._store.delete(webhook_id)

    async def rotate(self, account_id: str, webhook_id: str) -> Webhook:
        """Give a webhook a new secret; the old one signs beside it for a day."""
        webhook = await self.get(account_id, webhook_id)
        now = self._clock.now()
        changed = replace(
            webhook,
            secret=rules.to_secret(self._new_key(rules.SECRET_BYTES)),
            secret_before=webhook.secret,
            secret_before_until=now + timedelta(seconds=self._options.secret_overlap_s),
            updated_at=now,
        )
        await self._store.update(changed)
        return changed

    async def deliveries(
        self,
        account_id: str,
        webhook_id: str,
        *,
        before: int | None,
        limit: int,
        status: str | None,
    ) -> list[Delivery]:
        """Return a webhook's deliveries, newest first."""
        await self.get(account_id, webhook_id)
        return await self._store.load_deliveries(
            webhook_id, before=before, limit=limit, status=status
        )

    async def attempts(self, account_id: str, webhook_id: str, delivery_id: int) -> list[Attempt]:
        """Return the log of one delivery."""
        await self.get(account_id, webhook_id)
        found = await self._store.load_deliveries(
            webhook_id, before=delivery_id + 1, limit=1, status=None
        )
        if not found or found[0].delivery_id != delivery_id:
            raise DeliveryNotFound
        return await self._store.load_attempts(delivery_id)

    async def replay(
        self,
        account_id: str,
        webhook_id: str,
        *,
        delivery_id: int | None = None,
        since: datetime | None = None,
    ) -> int:
        """Send one delivery again, or all that failed since a time; return how many."""
        webhook = await self.get(account_id, webhook_id)
        if webhook.status != Status.ACTIVE:
            raise WebhookIsOff
        count = await self._store.replay(webhook_id, delivery_id=delivery_id, since=since)
        if delivery_id is not None and not count:
            raise DeliveryNotFound
        return count

    async def test(self, account_id: str, webhook_id: str, *, body: str, event_id: str) -> int:
        """Send a test event; return its delivery."""
        webhook = await self.get(account_id, webhook_id)
        if webhook.status != Status.ACTIVE:
            raise WebhookIsOff
        return await self._store.enqueue_one(
            webhook_id, event_id=event_id, type_="tonearm.webhook.tested.v1", body=body
        )
