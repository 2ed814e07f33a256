"""An in-memory `IdempotencyStore`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tonearm_kit.clock import Clock
from tonearm_kit.db import Connection
from tonearm_kit.idempotency import Claim, IdempotencyKeyReused, Reply, RequestStillRunning


@dataclass(slots=True)
class _Held:
    fingerprint: str
    owner: str
    lease_until: datetime
    expires_at: datetime
    reply: Reply | None = None


class FakeIdempotency:
    """Behaves as `PostgresIdempotency` does, within one process; times in seconds."""

    def __init__(self, clock: Clock, *, lease_s: float = 60.0, keep_s: float = 24 * 3600.0) -> None:
        self._clock = clock
        self._lease, self._keep = timedelta(seconds=lease_s), timedelta(seconds=keep_s)
        self._rows: dict[tuple[str, str], _Held] = {}
        self._count = 0

    async def claim(self, *, scope: str, key: str, fingerprint: str) -> Claim | Reply:
        """See `IdempotencyStore`."""
        now, held = self._clock.now(), self._rows.get((scope, key))
        if held is not None and held.expires_at > now:
            if held.fingerprint != fingerprint:
                raise IdempotencyKeyReused
            if held.reply is not None:
                return held.reply
            if held.lease_until > now:
                raise RequestStillRunning(retry_after_s=1)
        self._count += 1
        claim = Claim(scope, key, str(self._count))
        self._rows[scope, key] = _Held(
            fingerprint, claim.owner, now + self._lease, now + self._keep
        )
        return claim

    async def complete(self, claim: Claim, reply: Reply, *, conn: Connection | None = None) -> None:
        """See `IdempotencyStore`."""
        held = self._rows.get((claim.scope, claim.key))
        if held is not None and held.owner == claim.owner:
            held.reply = reply

    async def abandon(self, claim: Claim) -> None:
        """See `IdempotencyStore`."""
        held = self._rows.get((claim.scope, claim.key))
        if held is not None and held.owner == claim.owner and held.reply is None:
            del self._rows[claim.scope, claim.key]

    async def sweep(self, *, rows_max: int = 1000) -> int:
        """See `IdempotencyStore`."""
        now = self._clock.now()
        expired = [key for key, held in self._rows.items() if held.expires_at <= now][:rows_max]
        for key in expired:
            del self._rows[key]
        return len(expired)
