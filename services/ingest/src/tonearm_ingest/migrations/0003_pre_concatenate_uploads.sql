-- Uploads that are pieces of a file, and uploads that were made of such pieces.

ALTER TABLE upload
    -- What the client said of it: 'partial', or 'final;' and the addresses of the partial uploads.
    ADD COLUMN concat text,
    -- Of a final upload: which partial uploads it was made of, so that a repeated request finds it.
    ADD COLUMN partials_sha256 text,
    -- Also for the release before this one, which knows of no partial uploads.
    ADD CONSTRAINT partial_is_no_recording CHECK (concat IS DISTINCT FROM 'partial' OR audio_id IS NULL);

CREATE UNIQUE INDEX upload_by_partials ON upload (account_id, partials_sha256)
    WHERE partials_sha256 IS NOT NULL;
