-- +goose Up
-- Who is told of what happens: a receiver by HTTP, or a subscription to pull.
CREATE TABLE webhooks (
    id               text PRIMARY KEY,
    version          bigint NOT NULL DEFAULT nextval('integration_versions'), -- stands for this content for ever
    spec             text NOT NULL,      -- keyturn.Webhook as JSON, of its secrets only that they are set
    secrets          bytea NOT NULL,     -- encrypted
    max_concurrent   int NOT NULL,       -- of spec
    called           boolean NOT NULL,   -- it has an address, and is switched on
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- the receiver's state; all empty while it does well
    failing          bigint[] NOT NULL DEFAULT '{}', -- events whose tries failed since the last success, the first ones
    opened_at        timestamptz,        -- the breaker is open
    probes           int NOT NULL DEFAULT 0,
    probe_until      timestamptz,        -- one call is under way that finds out whether the receiver is back
    next_try_at      timestamptz,        -- nothing is sent before
    failing_since    timestamptz,        -- the first failure since the last success
    failing_days     int NOT NULL DEFAULT 0, -- days since then on which a try failed
    failed_on        date,               -- the last of them
    off_at           timestamptz,        -- switched off by Keyturn
    off_why          text,
    CONSTRAINT webhooks_off CHECK ((off_at IS NULL) = (off_why IS NULL)),
    CONSTRAINT webhooks_off_why CHECK (off_why IN ('failing', 'gone')),
    CONSTRAINT webhooks_max_concurrent CHECK (max_concurrent BETWEEN 1 AND 100)
);
CREATE INDEX webhooks_by_merchant ON webhooks (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;

-- What the webhooks want that are switched on: all that decides whether a step writes an event.
CREATE TABLE webhook_types (
    pattern text NOT NULL, -- 'order.created', 'order.*' or '*'
    webhook text NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    prefix  text NOT NULL, -- what the ID begins with that the event is about; empty: any
    PRIMARY KEY (pattern, webhook)
);
CREATE INDEX webhook_types_of ON webhook_types (webhook);

-- What happened. The statement that makes a step writes what it knows; once that is committed, a worker gives the number
-- and makes the body, which is never changed.
CREATE TABLE events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type       text NOT NULL,
    about      text NOT NULL,                 -- ID of an order, pool or integration, which says whose it is; or empty
    facts      text NOT NULL,                 -- JSON: IDs, statuses, amounts, times
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    number     bigint UNIQUE,                 -- grows in the order of commits, with gaps, also over a restore
    public_id  uuid,                          -- as receivers see it: evt_…
    body       text,
    CONSTRAINT events_numbered CHECK ((number IS NULL) = (body IS NULL) AND (number IS NULL) = (public_id IS NULL))
);
CREATE INDEX events_to_number ON events (id) WHERE number IS NULL;

-- An event on its way to a receiver. A replay is a row of its own.
CREATE TABLE event_deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    bigint NOT NULL REFERENCES events,
    webhook     text NOT NULL,
    replay      bigint NOT NULL DEFAULT 0,    -- which replay; 0: the first way
    status      text NOT NULL DEFAULT 'PENDING',
    attempts    int NOT NULL DEFAULT 0,
    next_at     timestamptz DEFAULT clock_timestamp(), -- when it is tried next; while a process sends it, the lease's end
    lease_until timestamptz,
    digest      bytea,                        -- SHA-256 of the body that the first try sent
    tried_at    timestamptz,
    http_status int,                          -- what the last try came to
    error_kind  text,
    reply       text,                         -- the receiver's answer, redacted and cut
    duration_ms int,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at     timestamptz,
    CONSTRAINT event_deliveries_once UNIQUE (webhook, event_id, replay),
    CONSTRAINT event_deliveries_status CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED')),
    CONSTRAINT event_deliveries_due CHECK ((status = 'PENDING') = (next_at IS NOT NULL)),
    CONSTRAINT event_deliveries_done CHECK ((status = 'PENDING') = (done_at IS NULL)),
    CONSTRAINT event_deliveries_lease CHECK (status = 'PENDING' OR lease_until IS NULL)
);
CREATE INDEX event_deliveries_due_at ON event_deliveries (webhook, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX event_deliveries_leased ON event_deliveries (webhook, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX event_deliveries_by_status ON event_deliveries (webhook, status, id);
CREATE INDEX event_deliveries_by_event ON event_deliveries (event_id);

-- event_wanted says whether a webhook that is switched on wants events of this type about this ID.
-- +goose StatementBegin
CREATE FUNCTION event_wanted(p_type text, p_about text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN
    RETURN EXISTS (
        SELECT FROM webhook_types t
        WHERE t.pattern IN (p_type, split_part(p_type, '.', 1) || '.*', '*') AND starts_with(p_about, t.prefix));
END $$;
-- +goose StatementEnd

-- Events are written by triggers: each way of making a step passes here, those of older builds, too.
-- +goose StatementBegin
CREATE FUNCTION line_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NOT EXISTS (SELECT FROM webhook_types) THEN
        RETURN NULL;
    END IF;
    INSERT INTO events (type, about, facts)
    SELECT 'line.' || lower(NEW.to_status), l.order_id, json_build_object('line', l.id, 'lineStatus', NEW.to_status,
        'version', NEW.version, 'status', o.status, 'failure', CAST(l.failure AS json) ->> 'kind')
    FROM line_items l JOIN orders o ON o.id = l.order_id
    WHERE l.id = NEW.line_id AND event_wanted('line.' || lower(NEW.to_status), l.order_id);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER line_events AFTER INSERT ON line_log FOR EACH ROW
    WHEN (NEW.to_status IN ('OBTAINED', 'RETRYING', 'WAITING_FOR_STOCK', 'HELD', 'DELIVERED', 'CANCELED'))
    EXECUTE FUNCTION line_events();

-- +goose StatementBegin
CREATE FUNCTION order_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := 'order.created';
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_types) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        what := 'order.' || CASE NEW.status WHEN 'PARTIAL_COMPLETED' THEN 'partially_completed'
            WHEN 'PARTIAL_CANCELED' THEN 'partially_canceled' ELSE lower(NEW.status) END;
    END IF;
    IF event_wanted(what, NEW.id) THEN
        -- the order's row is locked, so that the sum grows from each event to the next
        INSERT INTO events (type, about, facts) VALUES (what, NEW.id, json_build_object('status', NEW.status,
            'version', (SELECT sum(version) FROM line_items WHERE order_id = NEW.id)));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER order_created AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_events();
CREATE TRIGGER order_events AFTER UPDATE OF status ON orders FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status <> 'PENDING') EXECUTE FUNCTION order_events();

-- +goose Down
SELECT 'there is no way back' WHERE false;
