-- +goose Up
-- Limits that hold across workers, the breaker, and the queue of lines that wait for their partner.

-- When a call was over. A call counts against its partner's rate until a second after that, so that however late it was
-- sent or arrived, no second sees more calls than are allowed.
ALTER TABLE attempts ADD COLUMN ended_at timestamptz;
CREATE INDEX attempts_ended ON attempts (source, ended_at) WHERE ended_at IS NOT NULL;

-- A partner that does not do well. There is no row for one that never failed.
CREATE TABLE partner_gates (
    integration text PRIMARY KEY,
    failing     uuid[] NOT NULL DEFAULT '{}',   -- lines whose calls failed since the last answer, each once
    opened_at   timestamptz,                    -- set while the breaker is open: nobody calls but a probe
    probes      int NOT NULL DEFAULT 0,         -- failed ones since then
    probe_until timestamptz,                    -- a probe is under way until then at the latest
    next_try_at timestamptz,                    -- nobody calls before: the next probe's time, or the partner's Retry-After
    failure     text,                           -- what went wrong last, in our words
    gathered    boolean NOT NULL DEFAULT false  -- lines that failed just before are in the queue
);

-- Lines that cannot call their partner now. The oldest comes first.
CREATE TABLE partner_queue (
    line_id     uuid PRIMARY KEY REFERENCES line_items ON DELETE CASCADE,
    integration text NOT NULL,
    created_at  timestamptz NOT NULL,           -- the line's: its place in the queue
    due_at      timestamptz NOT NULL,           -- it comes by itself then, or it was called up at that time
    at_once     boolean NOT NULL DEFAULT false  -- a person wants it tried now: it passes the queue and an open breaker
);
CREATE INDEX partner_queue_order ON partner_queue (integration, created_at, line_id);

-- What decides whether a line may call its partner now. Everybody who asks for the same partner waits here for the one
-- before to commit, and only then looks: that is what makes the limits exact. p_hold is for how many seconds a call that
-- is over still counts.
-- +goose StatementBegin
CREATE FUNCTION partner_gate(p_integration text, p_source text, p_line uuid, p_created timestamptz, p_limit int, p_hold double precision)
RETURNS TABLE (now timestamptz, opened_at timestamptz, next_try_at timestamptz, probe_until timestamptz, troubled boolean,
    running int, recent int, older int, queued boolean, at_once boolean)
LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz;
    held timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('partner/' || p_integration, 0));
    t := clock_timestamp();
    held := t - make_interval(secs => p_hold);
    RETURN QUERY
    SELECT t, g.opened_at, g.next_try_at, g.probe_until, coalesce(g.opened_at IS NOT NULL OR g.failing <> '{}' OR g.next_try_at IS NOT NULL, false),
        c.running, c.recent + CAST((SELECT count(*) FROM attempts a WHERE a.source = p_source AND a.ended_at > held) AS int),
        CAST((SELECT count(*) FROM (
            SELECT FROM partner_queue o WHERE o.integration = p_integration AND (o.created_at, o.line_id) < (p_created, p_line) LIMIT p_limit) o) AS int),
        q.line_id IS NOT NULL, coalesce(q.at_once, false)
    FROM (
        SELECT CAST(count(*) FILTER (WHERE a.deadline_at > t) AS int) AS running, CAST(count(*) AS int) AS recent
        FROM attempts a WHERE a.source = p_source AND a.outcome = 'running' AND a.deadline_at > held) c
    LEFT JOIN partner_gates g ON g.integration = p_integration
    LEFT JOIN partner_queue q ON q.line_id = p_line;
END $$;
-- +goose StatementEnd

-- +goose Down
SELECT 'there is no way back: the tables hold what is under way' WHERE false;
