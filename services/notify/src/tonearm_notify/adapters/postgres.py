"""Publication history, ownership and revocations in notify's schema, as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from tonearm_kit.db import Database
from tonearm_notify.adapters.journal import new_epoch
from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.usecases.ports import Lost, Revocation, Slice

_COLUMNS = 'p."offset", p.body, p.event_at, p.traceparent, p.event_id'
_SINCE = f"""
SELECT c.epoch, c.top_offset, {_COLUMNS} FROM channels c
LEFT JOIN LATERAL (
    SELECT * FROM publications WHERE channel = c.channel AND "offset" > $2
    ORDER BY "offset" LIMIT $3
) p ON true
WHERE c.channel = $1 ORDER BY p."offset"
"""  # noqa: S608 - the columns are a constant
_BEFORE = f"""
SELECT c.epoch, c.top_offset, {_COLUMNS} FROM channels c
LEFT JOIN LATERAL (
    SELECT * FROM publications WHERE channel = c.channel AND "offset" < $2
    ORDER BY "offset" DESC LIMIT $3
) p ON true
WHERE c.channel = $1 ORDER BY p."offset" DESC
"""  # noqa: S608 - the columns are a constant
_OFFSET_MAX = 2**63 - 1


class PostgresStore:
    """Histories and owners; see the protocols in `usecases.ports`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load_top(self, channel: str) -> Position:
        """Return where a channel stands; makes the channel where there is none."""
        async with self._db.acquire() as conn:
            row = await conn.fetchrow(
                "SELECT epoch, top_offset FROM channels WHERE channel = $1", channel
            )
            if row is None:
                row = await conn.fetchrow(
                    "INSERT INTO channels (channel, epoch, top_offset) VALUES ($1, $2, 0)"
                    " ON CONFLICT (channel) DO UPDATE SET touched_at = now()"
                    " RETURNING epoch, top_offset",
                    channel,
                    new_epoch(),
                )
        assert row is not None  # noqa: S101 - an upsert returns its row
        return Position(row["top_offset"], row["epoch"])

    async def load_tops(self, channels: Sequence[str]) -> dict[str, Position]:
        """Return where channels stand; channels never written to are left out."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "SELECT channel, epoch, top_offset FROM channels WHERE channel = ANY($1)",
                list(channels),
            )
        return {row["channel"]: Position(row["top_offset"], row["epoch"]) for row in rows}

    async def load_since(self, channel: str, offset: int, *, limit: int, size_bytes: int) -> Slice:
        """Return the publications after an offset, oldest first, within both limits."""
        return await self._slice(_SINCE, channel, offset, limit=limit, size_bytes=size_bytes)

    async def load_page(
        self, channel: str, since: int | None, *, limit: int, is_reverse: bool, size_bytes: int
    ) -> Slice:
        """Return a page of history; in reverse, newest first and before `since`."""
        if is_reverse:
            before = _OFFSET_MAX if since is None else since
            return await self._slice(_BEFORE, channel, before, limit=limit, size_bytes=size_bytes)
        return await self._slice(_SINCE, channel, since or 0, limit=limit, size_bytes=size_bytes)

    async def _slice(
        self, sql: str, channel: str, offset: int, *, limit: int, size_bytes: int
    ) -> Slice:
        async with self._db.acquire() as conn:
            rows = await conn.fetch(sql, channel, offset, limit)
        if not rows:
            return Slice(await self.load_top(channel), [])
        top = Position(rows[0]["top_offset"], rows[0]["epoch"])
        return Slice(top, _within(rows, size_bytes))

    async def find_owner(self, audio_id: str) -> str | None:
        """Return the owner's account id; None when unknown, empty text when deleted."""
        async with self._db.acquire() as conn:
            owner: str | None = await conn.fetchval(
                "SELECT CASE WHEN deleted_at IS NULL THEN account_id ELSE '' END"
                " FROM audios WHERE audio_id = $1",
                audio_id,
            )
        return owner

    async def load_deleted(self, audio_ids: Sequence[str]) -> list[Revocation]:
        """Return those of these recordings that are gone."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "SELECT audio_id, account_id FROM audios"
                " WHERE audio_id = ANY($1) AND deleted_at IS NOT NULL",
                list(audio_ids),
            )
        return [Revocation(Lost.AUDIO, row["audio_id"], row["account_id"]) for row in rows]

    async def load_revoked(self) -> list[Revocation]:
        """Return the sessions and accounts whose tokens may still look valid."""
        async with self._db.acquire() as conn:
            rows = await conn.fetch(
                "SELECT kind, subject, account_id FROM revocations WHERE forget_at > now()"
            )
        return [Revocation(Lost(r["kind"]), r["subject"], r["account_id"]) for r in rows]

    async def sweep(
        self, *, keep_s: float, keep_count: int, keep_s_max: float, count_max: int
    ) -> int:
        """Delete history that nobody is promised any more; return how many rows went.

        A publication stays while it is younger than `keep_s` or among the newest `keep_count`
        of its channel, but never longer than `keep_s_max` nor beyond the newest `count_max`.
        """
        async with self._db.acquire() as conn:
            done = await conn.execute(
                """
                DELETE FROM publications p USING channels c
                WHERE c.channel = p.channel AND (
                    (p.published_at < now() - $1::interval AND p."offset" <= c.top_offset - $2)
                    OR p.published_at < now() - $3::interval
                    OR p."offset" <= c.top_offset - $4
                )
                """,
                timedelta(seconds=keep_s),
                keep_count,
                timedelta(seconds=keep_s_max),
                count_max,
            )
            await conn.execute("DELETE FROM revocations WHERE forget_at < now()")
        return int(done.rpartition(" ")[2])


def _within(rows: Iterable[Any], size_bytes: int) -> list[Publication]:
    """Return the publications of joined rows until their bodies reach `size_bytes`."""
    taken: list[Publication] = []
    for row in rows:
        if row["offset"] is None:
            break
        publication = Publication(
            row["offset"],
            row["body"],
            round(row["event_at"].timestamp() * 1000),
            row["traceparent"],
            row["event_id"],
        )
        size_bytes -= publication.size_bytes
        if size_bytes < 0 and taken:
            break
        taken.append(publication)
    return taken
