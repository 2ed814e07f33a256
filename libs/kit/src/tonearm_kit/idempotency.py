"""`Idempotency-Key`: a request that is sent twice is done once and answered the same twice.

The key belongs to its caller and route (`scope`). The first request claims it; while that one
runs, a second gets 409; with another payload, 422; afterwards, the stored answer. A claim whose
process died is free again after its lease. A request that fails gives its key back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import JsonValue

from tonearm_kit.clock import Clock, SystemClock
from tonearm_kit.db import Connection, Database
from tonearm_kit.errors import AppError, Kind
from tonearm_kit.ids import new_id

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEY_LENGTH_MAX = 255


class IdempotencyKeyMissing(AppError):
    """This request needs an Idempotency-Key header."""

    code, kind = "idempotency_key_missing", Kind.MALFORMED


class IdempotencyKeyMalformed(AppError):
    """The Idempotency-Key is not a string of 1 to 255 printable ASCII characters."""

    code, kind = "idempotency_key_malformed", Kind.MALFORMED


class IdempotencyKeyReused(AppError):
    """This Idempotency-Key was used with another request."""

    code, kind = "idempotency_key_reused", Kind.INVALID


class RequestStillRunning(AppError):
    """The first request with this Idempotency-Key is still running."""

    code, kind, retryable = "request_still_running", Kind.CONFLICT, True


KEY_REFUSALS = (IdempotencyKeyMalformed, IdempotencyKeyReused, RequestStillRunning)
"""What a route that uses `once` may answer with, beside its own."""

KEY_DESCRIBED: dict[str, JsonValue] = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "Makes the request safe to repeat: the first answer is told again, "
            f"marked by `{REPLAYED}: true`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX + 2},
            "example": '"b5f4a7c0-order-17"',
        }
    ]
}
"""The `openapi_extra` of a route that uses `once`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is stored of an answer and told again."""

    status: int
    body: JsonValue = None
    headers: Mapping[str, str] | None = None

    def response(self, *, replayed: bool = False) -> Response:
        """Return the HTTP response; a replay says so in `Idempotency-Replayed`."""
        headers = dict(self.headers or {})
        if replayed:
            headers[REPLAYED] = "true"
        if self.body is None:
            return Response(status_code=self.status, headers=headers)
        return JSONResponse(self.body, status_code=self.status, headers=headers)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of one key, until the lease ends."""

    scope: str
    key: str
    owner: str


class IdempotencyStore(Protocol):
    """Where keys are kept."""

    async def claim(self, *, scope: str, key: str, fingerprint: str) -> Claim | Reply:
        """Return the claim, or the stored reply.

        Raises `IdempotencyKeyReused` or `RequestStillRunning`.
        """
        ...

    async def complete(self, claim: Claim, reply: Reply, *, conn: Connection | None = None) -> None:
        """Store the reply; in the transaction of `conn`, if given, so that work and reply agree."""
        ...

    async def abandon(self, claim: Claim) -> None:
        """Free the key of work that failed; nothing happens once it is completed."""
        ...

    async def sweep(self, *, rows_max: int = 1000) -> int:
        """Forget expired keys, at most `rows_max`; return how many."""
        ...


class PostgresIdempotency:
    """Keys in the table `idempotency_keys` of the service's own schema.

    lease_s: how long a claim holds without being completed. keep_s: how long an answer is told
    again; both in seconds.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock | None = None,
        lease_s: float = 60.0,
        keep_s: float = 24 * 3600.0,
    ) -> None:
        self._db, self._clock = db, clock or SystemClock()
        self._lease, self._keep = timedelta(seconds=lease_s), timedelta(seconds=keep_s)

    async def claim(self, *, scope: str, key: str, fingerprint: str) -> Claim | Reply:
        """See `IdempotencyStore`."""
        now, claim = self._clock.now(), Claim(scope, key, new_id())
        async with self._db.begin() as conn:
            # One statement decides among any number of racers: it inserts, or takes over a row
            # that has expired or whose owner let the lease run out; else it returns nothing.
            won = await conn.fetchval(
                """
                INSERT INTO idempotency_keys AS held
                    (scope, key, fingerprint, owner, lease_until, expires_at)
                VALUES ($1, $2, $3, $4, $6, $7)
                ON CONFLICT (scope, key) DO UPDATE SET
                    fingerprint = excluded.fingerprint, owner = excluded.owner,
                    lease_until = excluded.lease_until, expires_at = excluded.expires_at,
                    status = NULL, headers = NULL, body = NULL
                WHERE held.expires_at <= $5
                    OR (held.status IS NULL AND held.lease_until <= $5
                        AND held.fingerprint = excluded.fingerprint)
                RETURNING true
                """,
                scope, key, fingerprint, claim.owner, now, now + self._lease, now + self._keep,
            )  # fmt: skip
            if won:
                return claim
            row = await conn.fetchrow(
                "SELECT fingerprint, lease_until, status, headers, body FROM idempotency_keys"
                " WHERE scope = $1 AND key = $2",
                scope,
                key,
            )
        if row is None:  # given back between the two statements
            raise RequestStillRunning(retry_after_s=1)
        if row["fingerprint"] != fingerprint:
            raise IdempotencyKeyReused
        if row["status"] is None:
            raise RequestStillRunning(retry_after_s=_seconds_until(row["lease_until"], now))
        return Reply(row["status"], row["body"], row["headers"])

    async def complete(self, claim: Claim, reply: Reply, *, conn: Connection | None = None) -> None:
        """See `IdempotencyStore`."""
        if conn is None:
            async with self._db.begin() as own:
                await self.complete(claim, reply, conn=own)
            return
        await conn.execute(
            "UPDATE idempotency_keys SET status = $4, headers = $5, body = $6"
            " WHERE scope = $1 AND key = $2 AND owner = $3",
            claim.scope,
            claim.key,
            claim.owner,
            reply.status,
            dict(reply.headers or {}),
            reply.body,
        )

    async def abandon(self, claim: Claim) -> None:
        """See `IdempotencyStore`."""
        async with self._db.acquire() as conn:
            await conn.execute(
                "DELETE FROM idempotency_keys"
                " WHERE scope = $1 AND key = $2 AND owner = $3 AND status IS NULL",
                claim.scope,
                claim.key,
                claim.owner,
            )

    async def sweep(self, *, rows_max: int = 1000) -> int:
        """See `IdempotencyStore`."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "DELETE FROM idempotency_keys WHERE (scope, key) IN (SELECT scope, key"
                " FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2) RETURNING 1",
                self._clock.now(),
                rows_max,
            )
        return len(rows)


def _seconds_until(moment: datetime, now: datetime) -> int:
    return max(1, int((moment - now).total_seconds()))


def parse_key(header: str | None) -> str | None:
    """Return the key of the header's value, or None without one.

    The draft makes it a quoted string; a bare one, as older clients send, is taken as well.
    Raises `IdempotencyKeyMalformed`.
    """
    if header is None:
        return None
    key = header.strip()
    if key.startswith('"'):
        if len(key) < 2 or not key.endswith('"'):
            raise IdempotencyKeyMalformed
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not (key.isascii() and key.isprintable()):
        raise IdempotencyKeyMalformed
    return key


def fingerprint(*parts: JsonValue | bytes) -> str:
    """Return a digest of what makes two requests the same request."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(len(raw).to_bytes(8) + raw)
    return digest.hexdigest()


Work = Callable[[Claim | None], Awaitable[Reply]]


async def once(
    request: Request,
    store: IdempotencyStore,
    work: Work,
    *,
    caller: str,
    payload: JsonValue | bytes,
    required: bool = False,
) -> Response:
    """Do `work` once for the request's key and return its response, stored or fresh.

    caller: whose key it is, such as an account id. payload: what a repeat must have in common
    with the first request. `work` gets the claim, or None when the request carries no key; it
    may call `store.complete(claim, reply, conn=...)` in its own transaction, which makes a
    crash right after it harmless; otherwise the reply is stored when it returns. Raises
    `IdempotencyKeyMissing` when `required`, and what `claim` raises.
    """
    key = parse_key(request.headers.get(HEADER))
    if key is None:
        if required:
            raise IdempotencyKeyMissing
        return (await work(None)).response()
    held = await store.claim(
        scope=f"{caller} {request.method} {request.url.path}",
        key=key,
        fingerprint=fingerprint(payload),
    )
    if isinstance(held, Reply):
        return held.response(replayed=True)
    try:
        reply = await work(held)
    except BaseException:
        await store.abandon(held)
        raise
    await store.complete(held, reply)
    return reply.response()
