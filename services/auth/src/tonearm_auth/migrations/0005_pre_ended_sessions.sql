-- Read whenever a replica begins to listen: which sessions ended lately.
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
