-- +goose Up
-- Calls of partners, their limits, and what they still have to be told.

-- The rendered request of a partner call: stored once, sent again byte for byte.
CREATE TABLE partner_requests (
    line_id    uuid NOT NULL REFERENCES line_items,
    source     text NOT NULL,
    operation  text NOT NULL,
    unit_no    int NOT NULL,
    request    bytea NOT NULL,            -- encrypted
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (line_id, source, operation, unit_no)
);
ALTER TABLE partner_requests ALTER COLUMN request SET STORAGE EXTERNAL;

CREATE TABLE attempts (
    line_id     uuid NOT NULL REFERENCES line_items,
    no          int NOT NULL,
    source      text NOT NULL,
    operation   text NOT NULL,
    unit_no     int NOT NULL DEFAULT 0,
    outcome     text NOT NULL CHECK (outcome IN ('running', 'success', 'failed', 'unknown', 'late')),
    sent        boolean NOT NULL DEFAULT false,   -- the partner may have seen it
    started_at  timestamptz NOT NULL,
    deadline_at timestamptz,                      -- of a running call: nothing of it happens later
    ended_at    timestamptz,                      -- counts against the partner's rate until a second after
    duration_ms int,
    http_status int,
    error_kind  text,
    error_code  text,
    message     text,
    reply       bytea,                            -- redacted and encrypted
    PRIMARY KEY (line_id, no)
);
ALTER TABLE attempts ALTER COLUMN reply SET STORAGE EXTERNAL;
CREATE INDEX attempts_running ON attempts (source, deadline_at) WHERE outcome = 'running';
CREATE INDEX attempts_ended ON attempts (source, ended_at) WHERE ended_at IS NOT NULL;

-- A partner that does not do well. There is no row for one that never failed.
CREATE TABLE partner_gates (
    integration text PRIMARY KEY,
    failing     uuid[] NOT NULL DEFAULT '{}',   -- lines whose calls failed since the last answer, each once
    opened_at   timestamptz,                    -- set while the breaker is open: nobody calls but a probe
    probes      int NOT NULL DEFAULT 0,         -- failed ones since then
    probe_until timestamptz,                    -- a probe is under way until then at the latest
    next_try_at timestamptz,                    -- nobody calls before: the next probe, or Retry-After
    failure     text,                           -- what went wrong last, in our words
    gathered    boolean NOT NULL DEFAULT false  -- lines that failed just before are in the queue
);

-- Lines that cannot call their partner now. The oldest comes first.
CREATE TABLE partner_queue (
    line_id     uuid PRIMARY KEY REFERENCES line_items ON DELETE CASCADE,
    integration text NOT NULL,
    created_at  timestamptz NOT NULL,           -- the line's: its place in the queue
    due_at      timestamptz NOT NULL,           -- it comes by itself then, or was dispatched then
    called_at   timestamptz,                    -- when it was dispatched last: not again soon
    at_once     boolean NOT NULL DEFAULT false  -- a person's: it passes the queue and an open breaker
);
CREATE INDEX partner_queue_order ON partner_queue (integration, created_at, line_id);

-- What decides whether a line may call its partner now. Everybody who asks for the same partner waits here for the one
-- before to commit, and only then looks: that makes the limits exact. p_hold is for how many seconds a call that
-- is over still counts: however late it was sent or arrived, no second sees more calls than are allowed.
-- +goose StatementBegin
CREATE FUNCTION partner_gate(p_integration text, p_source text, p_line uuid, p_created timestamptz, p_limit int,
    p_hold double precision)
RETURNS TABLE (now timestamptz, opened_at timestamptz, next_try_at timestamptz, probe_until timestamptz,
    troubled boolean, running int, recent int, older int, queued boolean, at_once boolean)
LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz;
    held timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('partner/' || p_integration, 0));
    t := clock_timestamp();
    held := t - make_interval(secs => p_hold);
    RETURN QUERY
    SELECT t, g.opened_at, g.next_try_at, g.probe_until,
        coalesce(g.opened_at IS NOT NULL OR g.failing <> '{}' OR g.next_try_at IS NOT NULL, false), c.running,
        c.recent + CAST((SELECT count(*) FROM attempts a WHERE a.source = p_source AND a.ended_at > held) AS int),
        CAST((SELECT count(*) FROM (
            SELECT FROM partner_queue o
            WHERE o.integration = p_integration AND (o.created_at, o.line_id) < (p_created, p_line)
            LIMIT p_limit) o) AS int),
        q.line_id IS NOT NULL, coalesce(q.at_once, false)
    FROM (
        SELECT CAST(count(*) FILTER (WHERE a.deadline_at > t) AS int) AS running, CAST(count(*) AS int) AS recent
        FROM attempts a WHERE a.source = p_source AND a.outcome = 'running' AND a.deadline_at > held) c
    LEFT JOIN partner_gates g ON g.integration = p_integration
    LEFT JOIN partner_queue q ON q.line_id = p_line;
END $$;
-- +goose StatementEnd

-- Cancels that partners are owed: what an abandoned source may have issued.
CREATE TABLE revocations (
    line_id    uuid NOT NULL REFERENCES line_items,
    source     text NOT NULL,
    status     text NOT NULL DEFAULT 'OWED' CHECK (status IN ('OWED', 'DONE', 'IMPOSSIBLE')),
    not_before timestamptz NOT NULL,      -- after the deadline of the last call that may still be under way
    attempts   int NOT NULL DEFAULT 0,
    error      text,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz,
    PRIMARY KEY (line_id, source)
);
CREATE INDEX revocations_owed ON revocations (created_at) WHERE status = 'OWED';

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
