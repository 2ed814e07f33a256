-- Flags and the values that single accounts have of their own.
CREATE TABLE flags (
    key         text PRIMARY KEY CHECK (length(key) <= 100),
    description text        NOT NULL,
    is_enabled  boolean     NOT NULL,
    audience    text        NOT NULL CHECK (audience IN ('everyone', 'beta', 'premium')),
    percentage  smallint    NOT NULL CHECK (percentage BETWEEN 0 AND 100),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE flag_overrides (
    flag_key   text        NOT NULL REFERENCES flags ON DELETE CASCADE,
    account_id text COLLATE "C" NOT NULL REFERENCES accounts ON DELETE CASCADE,
    value      boolean     NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, flag_key)
);

CREATE INDEX flag_overrides_by_flag ON flag_overrides (flag_key, account_id);

INSERT INTO flags (key, description, is_enabled, audience, percentage) VALUES
    ('audio-upload', 'Upload recordings.', true, 'everyone', 100),
    ('audio-analysis', 'Have recordings analysed.', true, 'everyone', 100),
    ('audio-download', 'Download one''s own recordings.', true, 'everyone', 100),
    ('audio-batch', 'Upload several recordings in one go.', true, 'everyone', 100),
    ('ai-genres', 'Genres in the result.', true, 'everyone', 100),
    ('ai-moods', 'Moods in the result.', true, 'everyone', 100),
    ('ai-instruments', 'Instruments in the result.', true, 'everyone', 100),
    ('ai-description', 'A description in words.', true, 'beta', 100),
    ('ai-mastering', 'Hints for mastering.', true, 'beta', 100),
    ('realtime-events', 'Events pushed over WebSocket and SSE.', true, 'everyone', 100),
    ('realtime-progress', 'Results of single stages pushed as they finish.', true, 'everyone', 100),
    ('advanced-chords', 'Chords along the recording.', true, 'everyone', 100),
    ('advanced-structure', 'Sections of the recording.', true, 'everyone', 100),
    ('advanced-similarity', 'Recordings that sound alike.', true, 'everyone', 100),
    ('social-share-links', 'Links that show a recording to others.', true, 'everyone', 100),
    ('social-collections', 'Collections of recordings.', true, 'everyone', 100),
    ('social-comments', 'Comments on recordings.', true, 'everyone', 100),
    ('premium-priority', 'Analysis in the fast lane.', true, 'premium', 100),
    ('premium-lossless', 'Uploads in lossless formats over the free file size.', true, 'premium', 100),
    ('premium-export', 'Export of results in exchange formats.', true, 'premium', 100);
