-- Publication history per channel. The counter row of a channel is locked by whoever writes
-- to it, so offsets follow commit order and have no holes.
CREATE TABLE channels (
    channel    text PRIMARY KEY,
    epoch      text NOT NULL,
    top_offset bigint NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE publications (
    channel      text NOT NULL,
    "offset"     bigint NOT NULL,
    event_id     text NOT NULL,
    body         text NOT NULL,
    event_at     timestamptz NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    traceparent  text,
    PRIMARY KEY (channel, "offset")
);
CREATE INDEX publications_published_at ON publications USING brin (published_at);

-- Who owns which recording, learned from events; what decides over `audio:<id>`.
CREATE TABLE audios (
    audio_id   text PRIMARY KEY,
    account_id text NOT NULL,
    learned_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX audios_account ON audios (account_id);

-- Sessions and accounts that ended before their access tokens did. Rows leave when no token
-- of theirs can still be valid.
CREATE TABLE revocations (
    kind       text NOT NULL CHECK (kind IN ('session', 'account')),
    subject    text NOT NULL,
    account_id text NOT NULL,
    forget_at  timestamptz NOT NULL,
    PRIMARY KEY (kind, subject)
);
