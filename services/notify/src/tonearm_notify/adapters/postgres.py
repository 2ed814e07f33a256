"""Publication history, ownership and revocations in notify's schema."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from tonearm_kit.db import Connection, Database
from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.usecases.ports import Appended, Entry, Lost, Revocation, Slice

NOTIFY_CHANNEL: Final = "tonearm_notify"
"""Name that every replica LISTENs on. Database-wide, hence the prefix."""
NOTIFY_BODY_BYTES_MAX: Final = 7000
"""A NOTIFY carries less than 8,000 bytes; larger publications are read from the history."""
FIELD_MARK: Final = "\x1f"

# One statement for a whole batch. Counters are locked in the order of their names, so that two
# recorders never wait for each other in a circle; announcements go out in the entries' order.
_APPEND = f"""
WITH entry AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
        WITH ORDINALITY AS e (channel, event_id, body, event_at, traceparent, number)
), counter AS (
    INSERT INTO channels (channel, epoch, top_offset)
    SELECT channel, $6, count(*) FROM entry GROUP BY channel ORDER BY channel
    ON CONFLICT (channel) DO UPDATE
        SET top_offset = channels.top_offset + excluded.top_offset, touched_at = now()
    RETURNING channel, epoch, top_offset
), placed AS (
    SELECT entry.*, epoch, top_offset + 1
        - row_number() OVER (PARTITION BY channel ORDER BY number DESC) AS "offset"
    FROM entry JOIN counter USING (channel)
), added AS (
    INSERT INTO publications (channel, "offset", event_id, body, event_at, traceparent)
    SELECT channel, "offset", event_id, body, event_at, traceparent FROM placed
), learned AS (
    INSERT INTO audios (audio_id, account_id)
    SELECT audio_id, account_id FROM unnest($7::text[], $8::text[]) AS o (audio_id, account_id)
    ORDER BY audio_id
    ON CONFLICT DO NOTHING
)
SELECT "offset", pg_notify(
    '{NOTIFY_CHANNEL}',
    concat_ws(
        chr(31), 'P', channel, epoch, "offset"::text,
        (extract(epoch FROM event_at) * 1000)::bigint::text,
        coalesce(traceparent, ''), event_id,
        CASE WHEN octet_length(body) > {NOTIFY_BODY_BYTES_MAX} THEN '' ELSE body END
    )
), EXISTS (
    SELECT FROM webhooks WHERE account_id = ANY($9::text[]) AND status = 'active'
) AS is_awaited
FROM (SELECT * FROM placed ORDER BY number) AS ordered
"""  # noqa: S608 - both names are constants of this module
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


def new_epoch() -> str:
    """Return a name for the life of a channel's history; another life, another name."""
    return secrets.token_hex(4)


class PostgresStore:
    """Histories, owners and the journal; see the protocols in `usecases.ports`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Reads.

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

    # The journal: all inside the recorder's transaction.

    async def append(
        self,
        tx: Connection,
        entries: Sequence[Entry],
        *,
        owners: Mapping[str, str],
        accounts: Sequence[str],
    ) -> Appended:
        """Add publications and announce them to all replicas at commit."""
        rows = await tx.fetch(
            _APPEND,
            [entry.channel for entry in entries],
            [entry.event_id for entry in entries],
            [entry.body for entry in entries],
            [entry.event_at for entry in entries],
            [entry.traceparent for entry in entries],
            new_epoch(),
            list(owners),
            list(owners.values()),
            accounts,
        )
        return Appended([row["offset"] for row in rows], rows[0]["is_awaited"])

    async def forget_audio(self, tx: Connection, audio_id: str, account_id: str) -> None:
        """Close a recording's channel for good."""
        await tx.execute(
            "INSERT INTO audios (audio_id, account_id, deleted_at) VALUES ($1, $2, now())"
            " ON CONFLICT (audio_id) DO UPDATE SET deleted_at = now()",
            audio_id,
            account_id,
        )

    async def revoke(self, tx: Connection, revocation: Revocation, *, keep_s: float) -> None:
        """Announce a loss to all replicas at commit, and remember it for `keep_s` seconds."""
        if revocation.kind is not Lost.AUDIO:
            await tx.execute(
                "INSERT INTO revocations (kind, subject, account_id, forget_at)"
                " VALUES ($1, $2, $3, now() + $4)"
                " ON CONFLICT (kind, subject) DO UPDATE SET forget_at = excluded.forget_at",
                revocation.kind.value,
                revocation.subject,
                revocation.account_id,
                timedelta(seconds=keep_s),
            )
        fields = ("R", revocation.kind.value, revocation.subject, revocation.account_id)
        await tx.execute("SELECT pg_notify($1, $2)", NOTIFY_CHANNEL, FIELD_MARK.join(fields))

    async def forget_account(self, tx: Connection, account_id: str) -> None:
        """Delete everything that is held of an account, its recordings' channels included."""
        own = (
            "SELECT 'audio:' || audio_id FROM audios WHERE account_id = $1"
            " UNION ALL SELECT 'account:#' || $1"
        )
        await tx.execute(
            f"DELETE FROM publications WHERE channel IN ({own})",  # noqa: S608 - constant text
            account_id,
        )
        await tx.execute(
            "UPDATE audios SET deleted_at = now() WHERE account_id = $1 AND deleted_at IS NULL",
            account_id,
        )

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
