-- Usage quota: what plans allow, what accounts have taken, what is reserved.
CREATE TABLE plan_limits (
    plan  text   NOT NULL CHECK (plan IN ('free', 'premium')),
    name  text   NOT NULL CHECK (name IN (
        'uploads_per_day', 'stored_bytes', 'analysed_audio_s_per_month', 'file_bytes')),
    value bigint NOT NULL CHECK (value >= 0),
    PRIMARY KEY (plan, name)
);

INSERT INTO plan_limits (plan, name, value) VALUES
    ('free', 'uploads_per_day', 50),
    ('free', 'stored_bytes', 2147483648),
    ('free', 'analysed_audio_s_per_month', 36000),
    ('free', 'file_bytes', 104857600),
    ('premium', 'uploads_per_day', 1000),
    ('premium', 'stored_bytes', 214748364800),
    ('premium', 'analysed_audio_s_per_month', 1080000),
    ('premium', 'file_bytes', 2147483648);

-- What is taken per account, open reservations included. `period` is the day or the first day of
-- the month, and 1970-01-01 for what never begins anew. Writers hold the account's row.
CREATE TABLE quota_ledgers (
    account_id text COLLATE "C" NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name       text   NOT NULL,
    period     date   NOT NULL,
    used       bigint NOT NULL,
    PRIMARY KEY (account_id, name, period)
);

CREATE TABLE quota_reservations (
    id                text COLLATE "C" PRIMARY KEY,
    account_id        text COLLATE "C" NOT NULL REFERENCES accounts ON DELETE CASCADE,
    idempotency_key   text        NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    asked_uploads     bigint      NOT NULL,
    asked_bytes       bigint      NOT NULL,
    asked_audio_ms    bigint      NOT NULL,
    taken_uploads     bigint      NOT NULL CHECK (taken_uploads >= 0),
    taken_bytes       bigint      NOT NULL CHECK (taken_bytes >= 0),
    taken_audio_ms    bigint      NOT NULL CHECK (taken_audio_ms >= 0),
    day               date        NOT NULL,
    month             date        NOT NULL,
    state             text        NOT NULL CHECK (state IN ('reserved', 'committed', 'refunded', 'expired')),
    audio_id          text,
    is_deleted        boolean     NOT NULL,
    expires_at        timestamptz NOT NULL,
    UNIQUE (account_id, idempotency_key)
);

CREATE INDEX quota_reservations_open ON quota_reservations (expires_at) WHERE state = 'reserved';
CREATE INDEX quota_reservations_audio ON quota_reservations (audio_id) WHERE audio_id IS NOT NULL;

-- Recordings that were deleted, for a reservation whose recording becomes known only later.
CREATE TABLE deleted_recordings (
    audio_id   text PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);
