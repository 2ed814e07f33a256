-- One row per request; a recording may be analysed again with other parameters.
CREATE TABLE jobs (
    job_id text PRIMARY KEY,
    audio_id text NOT NULL,
    account_id text NOT NULL,
    status text NOT NULL CHECK (status IN ('processing', 'completed', 'failed')),
    attempts integer NOT NULL CHECK (attempts >= 1),
    content_sha256 text NOT NULL,
    engine_version text NOT NULL,
    parameters_sha256 text NOT NULL,
    parameters jsonb NOT NULL,
    quota_reservation_id text,
    failure_code text,
    failure_reason text,
    requested_at timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((status = 'processing') = (finished_at IS NULL)),
    CHECK ((status = 'failed') = (failure_code IS NOT NULL))
);

CREATE INDEX jobs_by_audio ON jobs (audio_id, requested_at DESC, job_id DESC);
CREATE INDEX jobs_by_account ON jobs (account_id);
CREATE INDEX jobs_by_content ON jobs (content_sha256, engine_version, parameters_sha256);

-- What each stage found, kept for people who come late; one row per stage, however often a job restarts.
CREATE TABLE job_stages (
    job_id text NOT NULL REFERENCES jobs ON DELETE CASCADE,
    stage text NOT NULL,
    position integer NOT NULL,
    total integer NOT NULL,
    duration_s double precision NOT NULL,
    result jsonb NOT NULL,
    error text,
    PRIMARY KEY (job_id, stage)
);

-- Shared by everyone who uploads the same bytes.
CREATE TABLE results (
    content_sha256 text NOT NULL,
    engine_version text NOT NULL,
    parameters_sha256 text NOT NULL,
    result_id text NOT NULL,
    engine_duration_s double precision NOT NULL,
    summary jsonb NOT NULL,
    result jsonb NOT NULL,
    stored_at timestamptz NOT NULL,
    PRIMARY KEY (content_sha256, engine_version, parameters_sha256)
);

-- A deletion may overtake the request, which travels on another topic; swept by age.
CREATE TABLE deleted_audio (
    audio_id text PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);
