-- Events whose effect is in this database, per consumer group; the row and the effect are one
-- transaction. Rows older than the longest possible redelivery are swept.
CREATE TABLE inbox (
    consumer_group text        NOT NULL,
    source         text        NOT NULL,
    event_id       text        NOT NULL,
    seen_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, event_id, source)
);

CREATE INDEX inbox_seen_at ON inbox USING brin (seen_at);
