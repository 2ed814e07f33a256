"""Webhooks, deliveries and their log in notify's schema."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tonearm_kit.db import Connection, Database
from tonearm_notify.adapters.sealing import SecretBox
from tonearm_notify.domain.webhooks import SECRET_PREFIX, DeliveryStatus
from tonearm_notify.usecases.webhook_ports import Attempt, Delivery, Webhook

_WEBHOOK = (
    "webhook_id, account_id, url, description, event_types, secret, secret_before,"
    " secret_before_until, status, status_reason, failing_since, created_at, updated_at"
)
_DELIVERY = (
    "delivery_id, webhook_id, event_id, event_type, body, traceparent, status, attempts,"
    " next_attempt_at, created_at, finished_at"
)
_CLAIM = f"""
UPDATE webhook_deliveries SET next_attempt_at = now() + $2::interval
WHERE delivery_id IN (
    SELECT d.delivery_id FROM webhook_deliveries d JOIN webhooks w USING (webhook_id)
    WHERE d.status = 'pending' AND d.next_attempt_at <= now() AND w.status = 'active'
    ORDER BY d.next_attempt_at LIMIT $1 FOR UPDATE OF d SKIP LOCKED
)
RETURNING {_DELIVERY}
"""  # noqa: S608 - the columns are a constant


class PostgresWebhooks:
    """See `usecases.webhook_ports.WebhookStore`."""

    def __init__(self, db: Database, box: SecretBox) -> None:
        self._db = db
        self._box = box

    async def count(self, account_id: str) -> int:
        """Return how many webhooks an account has."""
        async with self._db.acquire() as conn:
            count: int = await conn.fetchval(
                "SELECT count(*) FROM webhooks WHERE account_id = $1", account_id
            )
        return count

    async def add(self, webhook: Webhook) -> None:
        """Add a webhook."""
        async with self._db.acquire() as conn:
            await conn.execute(
                f"INSERT INTO webhooks ({_WEBHOOK}, sealed_with)"  # noqa: S608 - columns are a constant
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                *self._to_row(webhook),
            )

    async def load_all(self, account_id: str) -> list[Webhook]:
        """Return an account's webhooks, oldest first."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                f"SELECT {_WEBHOOK} FROM webhooks"  # noqa: S608 - the columns are a constant
                " WHERE account_id = $1 ORDER BY created_at, webhook_id",
                account_id,
            )
        return [self._to_webhook(row) for row in rows]

    async def find(self, webhook_id: str) -> Webhook | None:
        """Return a webhook, or None."""
        async with self._db.acquire() as conn:
            row = await conn.fetchrow(
                f"SELECT {_WEBHOOK} FROM webhooks WHERE webhook_id = $1",  # noqa: S608 - constant
                webhook_id,
            )
        return self._to_webhook(row) if row else None

    async def update(self, webhook: Webhook) -> None:
        """Write all changeable fields; a secret that could not be read stays as it is."""
        async with self._db.acquire() as conn:
            await conn.execute(
                "UPDATE webhooks SET url = $3, description = $4, event_types = $5,"
                " secret = coalesce($6, secret), secret_before = $7, secret_before_until = $8,"
                " status = $9, status_reason = $10, failing_since = $11, updated_at = $13,"
                " sealed_with = CASE WHEN $6 IS NULL THEN sealed_with ELSE $14 END"
                " WHERE webhook_id = $1 AND account_id = $2 AND created_at = $12",
                *self._to_row(webhook),
            )

    async def seal(self, *, rows_max: int = 500) -> int:
        """Seal with the newest key what lies open or under another one; return how many."""
        async with self._db.begin() as conn:
            rows = await conn.fetch(
                f"SELECT {_WEBHOOK} FROM webhooks"  # noqa: S608 - the columns are a constant
                " WHERE sealed_with IS DISTINCT FROM $1"
                " OR starts_with(secret, $2) OR starts_with(secret_before, $2)"
                " LIMIT $3 FOR UPDATE SKIP LOCKED",
                self._box.key_id,
                SECRET_PREFIX,
                rows_max,
            )
            readable = [row for row in map(self._to_row, map(self._to_webhook, rows)) if row[5]]
            await conn.executemany(
                "UPDATE webhooks SET secret = $2, secret_before = $3, sealed_with = $4"
                " WHERE webhook_id = $1",
                [(row[0], row[5], row[6], self._box.key_id) for row in readable],
            )
        return len(readable)

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook with its deliveries."""
        async with self._db.acquire() as conn:
            await conn.execute("DELETE FROM webhooks WHERE webhook_id = $1", webhook_id)

    async def forget_account(self, tx: Connection, account_id: str) -> None:
        """Delete an account's webhooks."""
        await tx.execute("DELETE FROM webhooks WHERE account_id = $1", account_id)

    # Deliveries.

    async def enqueue_one(self, webhook_id: str, *, event_id: str, type_: str, body: str) -> int:
        """Add a delivery to one webhook and return its id."""
        async with self._db.acquire() as conn:
            delivery_id: int = await conn.fetchval(
                "INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, body)"
                " VALUES ($1, $2, $3, $4) RETURNING delivery_id",
                webhook_id,
                event_id,
                type_,
                body,
            )
        return delivery_id

    async def claim_due(self, *, limit: int, lease_s: float) -> list[Delivery]:
        """Return what is due; nobody else gets it for `lease_s` seconds."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(_CLAIM, limit, timedelta(seconds=lease_s))
        return [Delivery(**dict(row)) for row in rows]

    async def settle(
        self,
        delivery: Delivery,
        attempt: Attempt,
        *,
        status: DeliveryStatus,
        next_attempt_at: datetime | None,
    ) -> None:
        """Log an attempt and move the delivery on."""
        async with self._db.begin() as conn:
            await conn.execute(
                "INSERT INTO webhook_attempts"
                " (delivery_id, http_status, error, duration_s, response)"
                " VALUES ($1, $2, $3, $4, $5)",
                delivery.delivery_id,
                attempt.http_status,
                attempt.error,
                attempt.duration_s,
                attempt.response,
            )
            await conn.execute(
                "UPDATE webhook_deliveries SET attempts = attempts + 1, status = $2,"
                " next_attempt_at = coalesce($3, next_attempt_at),"
                " finished_at = CASE WHEN $2 = 'pending' THEN NULL ELSE now() END"
                " WHERE delivery_id = $1",
                delivery.delivery_id,
                status.value,
                next_attempt_at,
            )

    async def note_health(
        self, webhook_id: str, *, is_success: bool, now: datetime
    ) -> datetime | None:
        """Note whether a webhook works; return since when it has done nothing but fail."""
        async with self._db.acquire() as conn:
            since: datetime | None = await conn.fetchval(
                "UPDATE webhooks SET failing_since ="
                " CASE WHEN $2 THEN NULL ELSE coalesce(failing_since, $3) END"
                " WHERE webhook_id = $1 RETURNING failing_since",
                webhook_id,
                is_success,
                now,
            )
        return since

    async def give_up(self, webhook_id: str, *, reason: str) -> None:
        """Switch a webhook off for failing."""
        async with self._db.acquire() as conn:
            await conn.execute(
                "UPDATE webhooks SET status = 'failed', status_reason = $2, updated_at = now()"
                " WHERE webhook_id = $1 AND status = 'active'",
                webhook_id,
                reason,
            )

    async def load_deliveries(
        self, webhook_id: str, *, before: int | None, limit: int, status: str | None
    ) -> list[Delivery]:
        """Return deliveries, newest first."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                f"SELECT {_DELIVERY} FROM webhook_deliveries"  # noqa: S608 - columns are a constant
                " WHERE webhook_id = $1 AND ($2::bigint IS NULL OR delivery_id < $2)"
                " AND ($3::text IS NULL OR status = $3) ORDER BY delivery_id DESC LIMIT $4",
                webhook_id,
                before,
                status,
                limit,
            )
        return [Delivery(**dict(row)) for row in rows]

    async def load_attempts(self, delivery_id: int) -> list[Attempt]:
        """Return the log of one delivery, oldest first."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "SELECT http_status, error, duration_s, response, attempted_at"
                " FROM webhook_attempts WHERE delivery_id = $1 ORDER BY attempted_at LIMIT 100",
                delivery_id,
            )
        return [Attempt(**dict(row)) for row in rows]

    async def replay(
        self, webhook_id: str, *, delivery_id: int | None, since: datetime | None
    ) -> int:
        """Make one delivery, or all that failed since a time, due now."""
        async with self._db.acquire() as conn:
            done = await conn.execute(
                "UPDATE webhook_deliveries SET status = 'pending', attempts = 0,"
                " next_attempt_at = now(), finished_at = NULL WHERE webhook_id = $1"
                " AND ($2::bigint IS NULL OR delivery_id = $2)"
                " AND ($2::bigint IS NOT NULL OR (status = 'failed' AND created_at >= $3))",
                webhook_id,
                delivery_id,
                since,
            )
        return int(done.rpartition(" ")[2])

    async def sweep(self, *, keep_s: float) -> int:
        """Delete finished deliveries older than `keep_s`."""
        async with self._db.acquire() as conn:
            done = await conn.execute(
                "DELETE FROM webhook_deliveries WHERE status <> 'pending'"
                " AND created_at < now() - $1::interval",
                timedelta(seconds=keep_s),
            )
        return int(done.rpartition(" ")[2])

    def _to_webhook(self, row: Any) -> Webhook:
        fields = dict(row)
        for name in ("secret", "secret_before"):
            if fields[name] is not None:
                fields[name] = self._box.open(fields[name], webhook_id=fields["webhook_id"])
        return Webhook(**fields)

    def _to_row(self, webhook: Webhook) -> tuple[object, ...]:
        return (
            webhook.webhook_id,
            webhook.account_id,
            webhook.url,
            webhook.description,
            list(webhook.event_types),
            self._sealed(webhook, webhook.secret),
            self._sealed(webhook, webhook.secret_before),
            webhook.secret_before_until,
            str(webhook.status),
            webhook.status_reason,
            webhook.failing_since,
            webhook.created_at,
            webhook.updated_at,
            self._box.key_id,
        )

    def _sealed(self, webhook: Webhook, secret: str | None) -> str | None:
        return secret and self._box.seal(secret, webhook_id=webhook.webhook_id)
