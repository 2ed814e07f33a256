"""Webhooks on their way: what is due is sent, and what becomes of each try."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from tonearm_kit.clock import Clock
from tonearm_kit.lifecycle import wait
from tonearm_kit.logs import get_logger
from tonearm_notify.domain import webhooks as rules
from tonearm_notify.domain.webhooks import DeliveryStatus
from tonearm_notify.usecases.webhook_ports import (
    Attempt,
    Delivery,
    Sender,
    Webhook,
    WebhookOptions,
    WebhookStore,
)

log = get_logger(__name__)


class Postman:
    """Sends what is due, a few at a time, until told to stop."""

    def __init__(
        self, options: WebhookOptions, *, store: WebhookStore, sender: Sender, clock: Clock
    ) -> None:
        self._options = options
        self._store = store
        self._sender = sender
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; what is under way is finished."""
        while not stop.is_set():
            if not await self.send_due():
                await wait(stop, self._options.poll_s)

    async def send_due(self) -> int:
        """Send what is due now, at most `at_once_max`; return how many."""
        due = await self._store.claim_due(
            limit=self._options.at_once_max, lease_s=self._options.lease_s
        )
        async with asyncio.TaskGroup() as tasks:
            for delivery in due:
                tasks.create_task(self._send_guarded(delivery))
        return len(due)

    async def _send_guarded(self, delivery: Delivery) -> None:
        try:
            await self._send(delivery)
        except Exception as error:
            # The lease brings it back; one bad delivery must not stop the others.
            log.warning("delivery failed", delivery_id=delivery.delivery_id, exc_info=error)

    async def _send(self, delivery: Delivery) -> None:
        webhook = await self._store.find(delivery.webhook_id)
        if webhook is None:
            return
        now = self._clock.now()
        secrets = webhook.secrets(now)
        if not secrets:
            unreadable = Attempt(
                http_status=None, error="the secret cannot be read; rotate it", duration_s=0.0
            )
            await self._settle(webhook, delivery, unreadable)
            return
        body = delivery.body.encode()
        timestamp_s = int(now.timestamp())
        headers = {
            "content-type": "application/cloudevents+json; charset=utf-8",
            "user-agent": "Tonearm-Webhooks/1",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": rules.sign(
                secrets, id_=delivery.event_id, timestamp_s=timestamp_s, body=body
            ),
        }
        if delivery.traceparent:
            headers["traceparent"] = delivery.traceparent
        attempt = await self._sender.send(webhook.url, headers=headers, body=body)
        await self._settle(webhook, delivery, attempt)

    async def _settle(self, webhook: Webhook, delivery: Delivery, attempt: Attempt) -> None:
        now = self._clock.now()
        failing_since = await self._store.note_health(
            webhook.webhook_id, is_success=attempt.is_success, now=now
        )
        if attempt.is_success:
            await self._store.settle(
                delivery, attempt, status=DeliveryStatus.DELIVERED, next_attempt_at=None
            )
            return
        chance = random.random()  # noqa: S311 - spreading, not secrecy
        delay_s = rules.delay_s(delivery.attempts + 1, jitter=chance)
        gone = attempt.http_status == rules.GONE
        if delay_s is None or gone:
            await self._store.settle(
                delivery, attempt, status=DeliveryStatus.FAILED, next_attempt_at=None
            )
        else:
            delay_s = max(delay_s, min(attempt.retry_after_s or 0.0, 86400.0))
            await self._store.settle(
                delivery,
                attempt,
                status=DeliveryStatus.PENDING,
                next_attempt_at=now + timedelta(seconds=delay_s),
            )
        if gone:
            await self._store.give_up(webhook.webhook_id, reason="the receiver answered 410 Gone")
        elif (
            failing_since is not None
            and (now - failing_since).total_seconds() >= self._options.disable_after_s
        ):
            days = self._options.disable_after_s / 86400
            await self._store.give_up(
                webhook.webhook_id, reason=f"nothing but failures for {days:g} days"
            )
