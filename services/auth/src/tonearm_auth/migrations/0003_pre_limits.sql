-- Request limits: the policies, and the pace of every key that was seen.
CREATE TABLE rate_policies (
    name          text PRIMARY KEY CHECK (name ~ '^[a-z0-9-]{1,40}$'),
    subject       text     NOT NULL,
    route         text,
    bearer        boolean,
    quota         integer  NOT NULL CHECK (quota BETWEEN 1 AND 1000000),
    window_s      integer  NOT NULL CHECK (window_s BETWEEN 1 AND 86400),
    burst         integer  NOT NULL CHECK (burst BETWEEN 1 AND 1000000),
    is_shadow     boolean  NOT NULL DEFAULT false,
    is_advertised boolean  NOT NULL DEFAULT true
);

COMMENT ON COLUMN rate_policies.subject IS 'descriptor key that is counted: remote_address, account, login_email';
COMMENT ON COLUMN rate_policies.route IS 'only requests of this route; null for every request';
COMMENT ON COLUMN rate_policies.bearer IS 'only requests that carry (true) or lack (false) a token; null for both';
COMMENT ON COLUMN rate_policies.is_shadow IS 'counted and logged, never refused';

-- A request that carries a token is limited by its account; its address is only shielded, since
-- many people share one. Whoever sends a junk token does not get past the shield or the routes.
INSERT INTO rate_policies (name, subject, route, bearer, quota, window_s, burst, is_advertised) VALUES
    ('address-minute', 'remote_address', NULL, false, 60, 60, 60, true),
    ('address-hour', 'remote_address', NULL, false, 1000, 3600, 1000, true),
    ('address-shield-minute', 'remote_address', NULL, true, 600, 60, 600, false),
    ('account-minute', 'account', NULL, NULL, 60, 60, 60, true),
    ('account-hour', 'account', NULL, NULL, 1000, 3600, 1000, true),
    ('login-minute', 'remote_address', 'login', NULL, 10, 60, 10, true),
    ('register-minute', 'remote_address', 'register', NULL, 5, 60, 5, true),
    ('upload-minute', 'account', 'upload', NULL, 20, 60, 20, true),
    ('login-attempts', 'login_email', NULL, NULL, 20, 900, 20, false);

-- Unlogged: a crash of the database forgives everybody, and no request waits for a disk.
CREATE UNLOGGED TABLE rate_states (
    key    bytea  PRIMARY KEY CHECK (length(key) = 16),
    tat_us bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

CREATE INDEX rate_states_tat ON rate_states USING brin (tat_us);

-- Judges and charges a batch of requests in one round trip.
--   p_keys        the distinct keys, ascending: everybody locks in this order
--   p_slots       per charge, the position of its key in p_keys; charges of a request are adjacent
--   p_requests    per charge, the number of its request
--   p_hits, p_intervals_us, p_tolerances_us, p_shadows   per charge
-- Returns the theoretical arrival time that each charge met, in microseconds since 1970. What is
-- stored follows domain/gcra.py to the microsecond: a request that any charge refuses is charged
-- nowhere; a shadow charge never refuses.
CREATE FUNCTION rate_take(
    p_keys bytea[], p_slots integer[], p_requests integer[], p_hits bigint[],
    p_intervals_us bigint[], p_tolerances_us bigint[], p_shadows boolean[], p_now_us bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    tats    bigint[];
    met     bigint[] := '{}';
    first   integer := 1;
    last    integer;
    n       integer := cardinality(p_slots);
    after   bigint;
    allowed boolean;
BEGIN
    INSERT INTO rate_states (key, tat_us)
        SELECT key, 0 FROM unnest(p_keys) WITH ORDINALITY AS wanted(key, slot) ORDER BY slot
        ON CONFLICT (key) DO NOTHING;
    SELECT array_agg(held.tat_us ORDER BY held.key) INTO tats FROM (
        SELECT key, tat_us FROM rate_states WHERE key = ANY (p_keys) ORDER BY key FOR UPDATE
    ) AS held;
    IF cardinality(tats) IS DISTINCT FROM cardinality(p_keys) THEN
        RAISE serialization_failure USING MESSAGE = 'a key was swept meanwhile';
    END IF;
    WHILE first <= n LOOP
        allowed := true;
        last := first;
        WHILE last <= n AND p_requests[last] = p_requests[first] LOOP
            met[last] := greatest(p_now_us, tats[p_slots[last]]);
            IF NOT p_shadows[last] AND met[last] + p_hits[last] * p_intervals_us[last]
                    - p_now_us > p_tolerances_us[last] THEN
                allowed := false;
            END IF;
            last := last + 1;
        END LOOP;
        WHILE first < last LOOP
            after := met[first] + p_hits[first] * p_intervals_us[first];
            IF allowed AND after - p_now_us <= p_tolerances_us[first] THEN
                tats[p_slots[first]] := after;
            END IF;
            first := first + 1;
        END LOOP;
    END LOOP;
    UPDATE rate_states SET tat_us = fresh.tat_us
        FROM unnest(p_keys, tats) AS fresh(key, tat_us)
        WHERE rate_states.key = fresh.key AND rate_states.tat_us <> fresh.tat_us;
    RETURN met;
END $$;
