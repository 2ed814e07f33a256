-- Who follows a recording on which replica. Unlogged: it is made anew within seconds.
CREATE UNLOGGED TABLE replicas (
    replica text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNLOGGED TABLE presence (
    replica    text NOT NULL REFERENCES replicas ON DELETE CASCADE,
    channel    text NOT NULL,
    client_id  text NOT NULL,
    account_id text NOT NULL,
    PRIMARY KEY (replica, channel, client_id)
);
CREATE INDEX presence_by_channel ON presence (channel);
