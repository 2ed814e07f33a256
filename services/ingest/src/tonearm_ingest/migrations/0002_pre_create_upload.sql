-- Resumable uploads: how far each is, and which objects hold its bytes.

CREATE TABLE upload (
    id              text COLLATE "C" PRIMARY KEY,
    account_id      text COLLATE "C" NOT NULL,
    length_bytes    bigint NOT NULL CHECK (length_bytes > 0),
    offset_bytes    bigint NOT NULL CHECK (offset_bytes BETWEEN 0 AND length_bytes),
    filename        text NOT NULL,
    metadata        text NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    idempotency_key text,
    audio_id        text,
    -- The request that sends bytes, and until when it is believed to be alive.
    holder          text,
    held_until      timestamptz
);

-- What an account has open is counted at every creation.
CREATE INDEX upload_by_account ON upload (account_id, id);
CREATE INDEX upload_by_time ON upload (expires_at);
CREATE UNIQUE INDEX upload_by_idempotency_key ON upload (account_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE upload_part (
    upload_id       text COLLATE "C" NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
    offset_bytes    bigint NOT NULL,
    size_bytes      bigint NOT NULL CHECK (size_bytes > 0),
    object_key      text NOT NULL,
    PRIMARY KEY (upload_id, offset_bytes)
);
