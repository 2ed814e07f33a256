-- Recordings, ownerless objects, and what has been deleted.

CREATE TABLE audio (
    id              text COLLATE "C" PRIMARY KEY,
    account_id      text COLLATE "C" NOT NULL,
    filename        text NOT NULL,
    object_key      text NOT NULL UNIQUE,
    sha256          text NOT NULL,
    size_bytes      bigint NOT NULL CHECK (size_bytes > 0),
    format          text NOT NULL,
    codec           text,
    duration_s      double precision,
    sample_rate_hz  integer,
    channels        integer,
    bit_depth       integer,
    bitrate_bps     integer,
    tags            jsonb NOT NULL DEFAULT '{}',
    status          text NOT NULL CHECK (status IN ('uploaded', 'processing', 'failed', 'completed')),
    job_id          text NOT NULL,
    reservation_id  text,
    idempotency_key text,
    failure_code    text,
    failure_reason  text,
    summary         jsonb,
    uploaded_at     timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    completed_at    timestamptz
);

-- Ids are time-ordered, so these serve the pages of a library, newest first.
CREATE INDEX audio_by_account ON audio (account_id, id DESC);
CREATE INDEX audio_by_account_and_status ON audio (account_id, status, id DESC);
CREATE UNIQUE INDEX audio_by_idempotency_key ON audio (account_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Objects that no recording owns: an upload that is running or broke off, a deleted recording.
CREATE TABLE loose_object (
    object_key      text PRIMARY KEY,
    account_id      text COLLATE "C" NOT NULL,
    idempotency_key text,
    sweep_after     timestamptz NOT NULL
);

CREATE INDEX loose_object_by_time ON loose_object (sweep_after);
CREATE UNIQUE INDEX loose_object_by_idempotency_key ON loose_object (account_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Deletions remembered for a while, so that a repeated DELETE answers as the first.
CREATE TABLE removed_audio (
    id              text COLLATE "C" PRIMARY KEY,
    account_id      text COLLATE "C" NOT NULL,
    removed_at      timestamptz NOT NULL
);

CREATE INDEX removed_audio_by_time ON removed_audio (removed_at);

-- Accounts that are gone: an upload of theirs that is still running must not be recorded.
CREATE TABLE closed_account (
    account_id      text COLLATE "C" PRIMARY KEY
);
