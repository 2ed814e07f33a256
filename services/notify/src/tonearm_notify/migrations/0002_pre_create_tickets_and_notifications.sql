-- Tickets open an event stream for readers that cannot send headers. Only digests are kept.
CREATE TABLE stream_tickets (
    digest     bytea PRIMARY KEY,
    account_id text NOT NULL,
    session_id text NOT NULL,
    expires_at timestamptz NOT NULL
);

-- What a person should find again, newest first, until it is read or grows old.
CREATE TABLE notifications (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id text NOT NULL,
    event_id   text NOT NULL,
    type       text NOT NULL,
    audio_id   text,
    body       text NOT NULL,
    event_at   timestamptz NOT NULL,
    read_at    timestamptz,
    UNIQUE (account_id, event_id)
);
CREATE INDEX notifications_by_account ON notifications (account_id, seq DESC);
CREATE INDEX notifications_unread ON notifications (account_id) WHERE read_at IS NULL;
