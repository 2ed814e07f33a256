"""The sessions that ended so lately that access tokens of theirs may still be about."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta

from tonearm_auth.adapters.listener import Ear
from tonearm_auth.adapters.postgres_sessions import CHANNEL
from tonearm_kit.clock import Clock
from tonearm_kit.db import Connection


class EndedSessions:
    """Ids in memory, heard from every replica and read anew whenever the connection was lost.

    keep_s: the life of an access token with the leeway that verifiers grant; after that nobody
    needs to know. ids_max: most that are kept; the oldest are forgotten first.
    """

    def __init__(self, *, clock: Clock, keep_s: float, ids_max: int) -> None:
        self._clock, self._keep_s, self._ids_max = clock, keep_s, ids_max
        self._heard_at_s: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._heard_at_s

    def ear(self) -> Ear:
        """Return what to listen to."""
        return Ear(channel=CHANNEL, heard=self._on_ended, listening=self._on_listening)

    async def _on_listening(self, conn: Connection) -> None:
        since = self._clock.now() - timedelta(seconds=self._keep_s)
        rows = await conn.fetch(
            "SELECT id FROM sessions WHERE ended_at > $1 ORDER BY ended_at DESC LIMIT $2",
            since,
            self._ids_max,
        )
        for row in reversed(rows):
            self._on_ended(row["id"])

    def _on_ended(self, session_id: str) -> None:
        now_s = self._clock.monotonic_s()
        self._heard_at_s[session_id] = now_s
        self._heard_at_s.move_to_end(session_id)
        while self._heard_at_s:
            oldest_id, heard_at_s = next(iter(self._heard_at_s.items()))
            is_old = heard_at_s < now_s - self._keep_s
            if not is_old and len(self._heard_at_s) <= self._ids_max:
                break
            del self._heard_at_s[oldest_id]
