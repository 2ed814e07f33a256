"""The recorder's writes: all of an event in one statement."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from tonearm_kit.db import Connection
from tonearm_notify.domain.wire import Publication
from tonearm_notify.usecases.ports import Lost, Published, Revocation, Told, Written

NOTIFY_CHANNEL: Final = "tonearm_notify"
"""Name that every replica LISTENs on. Database-wide, hence the prefix."""
NOTIFY_BODY_BYTES_MAX: Final = 7000
"""A NOTIFY carries less than 8,000 bytes; larger publications are read from the history."""
FIELD_MARK: Final = "\x1f"

# One statement for a whole batch, because whoever follows waits for every round trip. Counters
# are locked in the order of their names, so that two recorders never wait for each other in a
# circle; announcements go out in the entries' order. Progress is many events a recording, so a
# webhook has to name it.
_WRITE = f"""-- summary: RECORD publications
WITH event AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
        $7::text[], $8::text[], $9::text[], $10::boolean[], $11::boolean[]) WITH ORDINALITY
        AS e (source, event_id, type, body, event_at,
            account_id, audio_id, traceparent, tells_owner, is_noted, event)
), fresh AS (
    INSERT INTO inbox (consumer_group, source, event_id)
    SELECT $1, source, event_id FROM event
    ON CONFLICT DO NOTHING
    RETURNING source, event_id
), told AS (
    SELECT event.* FROM event JOIN fresh USING (source, event_id)
), entry AS (
    SELECT event, channel, e.traceparent, number, event_id, body, event_at
    FROM unnest($12::bigint[], $13::text[], $14::text[]) WITH ORDINALITY
        AS e (event, channel, traceparent, number)
    JOIN told USING (event)
), counter AS (
    INSERT INTO channels (channel, epoch, top_offset)
    SELECT channel, $15, count(*) FROM entry GROUP BY channel ORDER BY channel
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
    SELECT DISTINCT ON (audio_id) audio_id, coalesce(account_id, '') FROM told
    WHERE tells_owner ORDER BY audio_id, event DESC
    ON CONFLICT DO NOTHING
), noted AS (
    INSERT INTO notifications (account_id, event_id, type, audio_id, body, event_at)
    SELECT account_id, event_id, type, audio_id, body, event_at FROM told
    WHERE is_noted ORDER BY event
    ON CONFLICT DO NOTHING
), queued AS (
    INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, body, traceparent)
    SELECT w.webhook_id, t.event_id, t.type, t.body, t.traceparent
    FROM told t JOIN webhooks w USING (account_id)
    WHERE w.status = 'active' AND (t.type = ANY(w.event_types)
        OR (w.event_types = '{{}}' AND t.type <> 'tonearm.analysis.progressed.v1'))
    ORDER BY w.webhook_id, t.event
    ON CONFLICT DO NOTHING
)
SELECT event, number, epoch, "offset", CASE WHEN number IS NOT NULL THEN pg_notify(
    '{NOTIFY_CHANNEL}',
    concat_ws(
        chr(31), 'P', channel, epoch, "offset"::text,
        (extract(epoch FROM event_at) * 1000)::bigint::text,
        coalesce(traceparent, ''), event_id,
        CASE WHEN octet_length(body) > {NOTIFY_BODY_BYTES_MAX} THEN '' ELSE body END
    )
) END
FROM (
    SELECT told.event, p.number, p.channel, p.epoch, p."offset",
        p.event_at, p.traceparent, p.event_id, p.body
    FROM told LEFT JOIN placed p USING (event) ORDER BY p.number
) AS ordered
"""  # noqa: S608 - both names are constants of this module


def new_epoch() -> str:
    """Return a name for the life of a channel's history; another life, another name."""
    return secrets.token_hex(4)


class PostgresJournal:
    """See `usecases.ports.Journal`."""

    async def write(self, tx: Connection, events: Sequence[Told], *, group: str) -> Written:
        """Write events in one statement, but for those that the group's inbox has seen."""
        entries = [
            (number, event, entry)
            for number, event in enumerate(events, start=1)
            for entry in event.entries
        ]
        rows = await tx.fetch(
            _WRITE,
            group,
            [event.source for event in events],
            [event.event_id for event in events],
            [event.type for event in events],
            [event.body for event in events],
            [event.event_at for event in events],
            [event.account_id for event in events],
            [event.audio_id for event in events],
            [event.traceparent for event in events],
            [event.tells_owner for event in events],
            [event.is_noted for event in events],
            [number for number, _, _ in entries],
            [entry.channel for _, _, entry in entries],
            [entry.traceparent for _, _, entry in entries],
            new_epoch(),
        )
        publications = []
        for _, number, epoch, offset, _ in rows:
            if number is not None:
                _, event, entry = entries[number - 1]
                time_ms = round(event.event_at.timestamp() * 1000)
                publication = Publication(
                    offset, event.body, time_ms, entry.traceparent, event.event_id
                )
                publications.append(Published(entry.channel, epoch, publication, is_early=True))
        return Written(frozenset(row[0] - 1 for row in rows), publications)

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
