-- Events that a transaction wants to tell the world: written with the effect, sent after it.
-- `lane` splits the table so that relays work side by side; one key is always in one lane,
-- and `position` orders it there (its writers lock the same aggregate first).
CREATE TABLE outbox (
    lane        smallint    NOT NULL,
    position    bigint      GENERATED ALWAYS AS IDENTITY,
    topic       text        NOT NULL,
    message_key text        NOT NULL,
    headers     jsonb       NOT NULL,
    value       bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (lane, position)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000);

-- Wakes the relays of this schema; equal notifications of one transaction are sent once.
CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outbox_' || TG_TABLE_SCHEMA, '');
    RETURN NULL;
END $$;

CREATE TRIGGER outbox_notify AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify();
