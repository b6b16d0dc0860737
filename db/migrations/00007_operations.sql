-- +goose Up
-- What operations see and decide, and what keeps the installation honest.

-- One open alert per cause and line, pool or other subject; mailed by whoever comes first.
CREATE TABLE alerts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause        text NOT NULL CHECK (cause IN (
        'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'Internal',
        'Manual', 'Refund', 'Revocation', 'Exposed', 'Undelivered', 'Restored', 'PartnerAnsweredDifferently',
        'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew', 'LowStock', 'RunsDry', 'Audit')),
    line_id      uuid REFERENCES line_items,
    pool_id      text,
    subject      text,                    -- neither a line nor a pool: a partner, a certificate, the installation
    detail       text NOT NULL,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    mailed_at    timestamptz,
    closed_at    timestamptz,
    closed_by    text,                    -- some alerts only a person can end
    close_reason text
);
CREATE UNIQUE INDEX alerts_line ON alerts (line_id, cause) WHERE line_id IS NOT NULL;
CREATE UNIQUE INDEX alerts_pool ON alerts (pool_id, cause) WHERE pool_id IS NOT NULL AND closed_at IS NULL;
CREATE UNIQUE INDEX alerts_subject ON alerts (subject, cause) WHERE subject IS NOT NULL AND closed_at IS NULL;
CREATE INDEX alerts_to_mail ON alerts (id) WHERE mailed_at IS NULL;
CREATE INDEX alerts_open ON alerts (cause) WHERE closed_at IS NULL;

-- Workflows other than a line's first that a transaction decided to start; the relay starts them and deletes the row.
CREATE TABLE outbox (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow text NOT NULL,
    subject  text NOT NULL,
    due_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workflow, subject)
);
CREATE INDEX outbox_due ON outbox (due_at);   -- after a long outage thousands of rows lie here, most not due yet

CREATE TABLE api_tokens (
    name       text PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,
    scopes     text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What each run of the audit found. report is audit.Report as JSON; it names orders and lines, and holds no secret.
CREATE TABLE audits (
    id          uuid PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    ok          boolean NOT NULL,
    report      text NOT NULL
);
CREATE INDEX audits_by_time ON audits (started_at, id);

-- Whose data was erased, by a keyed hash: the list goes to a safe place outside, and is replayed after a restore.
CREATE TABLE erasures (
    id            uuid PRIMARY KEY,
    customer_hash bytea NOT NULL,
    erased_at     timestamptz NOT NULL,
    orders        int NOT NULL,
    lines         int NOT NULL,
    by            text NOT NULL
);
CREATE INDEX erasures_by_time ON erasures (erased_at, id);

-- What Temporal knew after a restore of lines that this database does not have: whoever sent their orders sends them
-- again, and they take their IDs back, so that partners and payment providers see one request and not two.
CREATE TABLE lost_lines (
    fulfillment_id uuid PRIMARY KEY,
    line_id        uuid NOT NULL,
    order_id       text NOT NULL,
    product_id     text NOT NULL,
    source         text NOT NULL,         -- who was asked first
    status         text NOT NULL,         -- how it ended; empty: it was under way
    noted_at       timestamptz NOT NULL DEFAULT now(),
    taken_at       timestamptz            -- its order was accepted again
);
CREATE INDEX lost_lines_by_order ON lost_lines (order_id) WHERE taken_at IS NULL;

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
