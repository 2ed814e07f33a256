-- Accounts, their sessions, the keys that sign for them, and who changed what.
-- Ids are UUIDv7 as text: they are only ever compared, and what callers send need not be a UUID.
CREATE TABLE accounts (
    id            text COLLATE "C" PRIMARY KEY CHECK (length(id) <= 64),
    email         text        NOT NULL UNIQUE CHECK (length(email) <= 254),
    password_hash text        NOT NULL,
    full_name     text        CHECK (length(full_name) <= 200),
    plan          text        NOT NULL CHECK (plan IN ('free', 'premium')),
    is_active     boolean     NOT NULL,
    is_beta       boolean     NOT NULL,
    is_superuser  boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    last_login_at timestamptz
);

CREATE INDEX accounts_superusers ON accounts (id) WHERE is_superuser AND is_active;

CREATE TABLE sessions (
    id              text COLLATE "C" PRIMARY KEY CHECK (length(id) <= 64),
    account_id      text COLLATE "C" NOT NULL REFERENCES accounts ON DELETE CASCADE,
    generation      integer     NOT NULL CHECK (generation >= 1),
    created_at      timestamptz NOT NULL,
    refreshed_at    timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    end_reason      text,
    user_agent      text        NOT NULL CHECK (length(user_agent) <= 300),
    address         text        NOT NULL CHECK (length(address) <= 64),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

CREATE INDEX sessions_live ON sessions (account_id, created_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (least(idle_expires_at, expires_at));

-- Hashes of every refresh token a session has had: an old one that comes back is a theft.
CREATE TABLE refresh_tokens (
    token_hash    bytea       PRIMARY KEY CHECK (length(token_hash) = 32),
    session_id    text COLLATE "C" NOT NULL REFERENCES sessions ON DELETE CASCADE,
    generation    integer     NOT NULL,
    superseded_at timestamptz,
    UNIQUE (session_id, generation)
);

CREATE TABLE signing_keys (
    kid                text PRIMARY KEY,
    active_from        timestamptz NOT NULL,
    public_jwk         jsonb       NOT NULL,
    sealed_private_key bytea       NOT NULL,
    created_at         timestamptz NOT NULL
);

CREATE TABLE audit (
    id       text COLLATE "C" PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor_id text,
    action   text        NOT NULL,
    target   text        NOT NULL,
    before   jsonb,
    after    jsonb
);
