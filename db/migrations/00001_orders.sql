-- +goose Up
-- Everything here is additive to what the version before wrote, so that two versions run side by side during a deploy.

CREATE TABLE customers (
    id         text PRIMARY KEY,
    data_key   bytea,                     -- wrapped by the key-encryption key; NULL once the customer was erased
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A pure function of the counts, the same as keyturn.OrderStatusOf (a test compares them).
-- +goose StatementBegin
CREATE FUNCTION order_status(total int, trouble int, delivered int, canceling int, canceled int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE
    WHEN canceled = total THEN 'CANCELED'
    WHEN delivered = total THEN 'COMPLETED'
    WHEN trouble > 0 THEN 'PARTIAL_COMPLETED'
    WHEN canceling > 0 THEN 'CANCEL_PENDING'
    WHEN delivered + canceled = total THEN 'PARTIAL_CANCELED'
    WHEN canceled > 0 THEN 'PARTIAL_COMPLETED'
    ELSE 'PENDING' END;
-- +goose StatementEnd

CREATE TABLE orders (
    id                  text PRIMARY KEY,
    client              text NOT NULL,
    customer_id         text NOT NULL REFERENCES customers,
    customer            bytea NOT NULL,   -- the personal part, encrypted with the customer's data key
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    gross_minor         bigint NOT NULL CHECK (gross_minor >= 0),
    payment_provider    text NOT NULL,
    payment_reference   text NOT NULL,
    page_hash           bytea NOT NULL UNIQUE,
    lines_total         int NOT NULL CHECK (lines_total > 0),
    lines_trouble       int NOT NULL DEFAULT 0 CHECK (lines_trouble >= 0),
    lines_delivered     int NOT NULL DEFAULT 0 CHECK (lines_delivered >= 0),
    lines_canceling     int NOT NULL DEFAULT 0 CHECK (lines_canceling >= 0),
    lines_canceled      int NOT NULL DEFAULT 0 CHECK (lines_canceled >= 0),
    status              text NOT NULL DEFAULT 'PENDING',
    cancel_reason       text,             -- set once the whole order is to be cancelled
    created_at          timestamptz NOT NULL,
    CHECK (status = order_status(lines_total, lines_trouble, lines_delivered, lines_canceling, lines_canceled)),
    CHECK (lines_trouble + lines_delivered + lines_canceling + lines_canceled <= lines_total)
);
CREATE INDEX orders_by_status ON orders (status, created_at, id) WHERE status NOT IN ('COMPLETED', 'PENDING');
CREATE INDEX orders_by_time ON orders (created_at, id);

CREATE TABLE idempotency_keys (
    client       text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    order_id     text NOT NULL,
    response     bytea NOT NULL,          -- encrypted: it holds the order page's link
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client, key)
);

CREATE TABLE line_items (
    id                uuid PRIMARY KEY,
    fulfillment_id    uuid NOT NULL UNIQUE,
    order_id          text NOT NULL REFERENCES orders,
    position          int NOT NULL,
    product_id        text NOT NULL,
    quantity          int NOT NULL CHECK (quantity > 0),
    gross_minor       bigint NOT NULL CHECK (gross_minor >= 0),
    operation         text NOT NULL,
    subscription_id   text NOT NULL DEFAULT '',
    trial_context     text NOT NULL DEFAULT '',
    status            text NOT NULL DEFAULT 'PENDING' CHECK (status IN
        ('PENDING', 'OBTAINED', 'RETRYING', 'WAITING_FOR_STOCK', 'HELD', 'DELIVERED', 'CANCELING', 'CANCELED')),
    version           int NOT NULL DEFAULT 1,
    source_no         int NOT NULL DEFAULT 0,
    source_started_at timestamptz NOT NULL,
    attempts          int NOT NULL DEFAULT 0,   -- tries of the current step
    failures          int NOT NULL DEFAULT 0,   -- of these, failed in a row
    failure           text,                     -- keyturn.Failure as JSON
    next_attempt_at   timestamptz,
    give_up_at        timestamptz NOT NULL,
    extended_until    timestamptz,              -- a person's deadline; wins over the policy's
    held_until        timestamptz,
    waiting_pool      text,                     -- set while WAITING_FOR_STOCK: the queue of that pool
    obtained_at       timestamptz,
    delivered_at      timestamptz,
    canceled_at       timestamptz,
    wake_at           timestamptz,              -- the relay starts or wakes the workflow then
    created_at        timestamptz NOT NULL,
    CHECK ((status = 'WAITING_FOR_STOCK') = (waiting_pool IS NOT NULL)),
    CHECK (status <> 'OBTAINED' OR obtained_at IS NOT NULL),
    CHECK (status <> 'DELIVERED' OR (obtained_at IS NOT NULL AND delivered_at IS NOT NULL)),
    CHECK ((status = 'CANCELED') = (canceled_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX line_items_by_order ON line_items (order_id, position);
CREATE INDEX line_items_due ON line_items (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX line_items_waiting ON line_items (waiting_pool, created_at, id) WHERE waiting_pool IS NOT NULL;

-- Every step of every line. The CHECK is the transition table of package keyturn.
CREATE TABLE line_log (
    line_id      uuid NOT NULL,
    version      int NOT NULL,
    from_status  text NOT NULL,
    to_status    text NOT NULL,
    by           text NOT NULL,           -- workflow, api, import, or who decided
    reason       text NOT NULL DEFAULT '',
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (line_id, version),
    CONSTRAINT line_transitions CHECK ((from_status || '>' || to_status) IN (
        'PENDING>OBTAINED', 'PENDING>RETRYING', 'PENDING>WAITING_FOR_STOCK', 'PENDING>HELD', 'PENDING>CANCELING',
        'OBTAINED>RETRYING', 'OBTAINED>HELD', 'OBTAINED>DELIVERED', 'OBTAINED>CANCELING',
        'RETRYING>WAITING_FOR_STOCK', 'RETRYING>HELD', 'RETRYING>DELIVERED', 'RETRYING>CANCELING',
        'WAITING_FOR_STOCK>RETRYING', 'WAITING_FOR_STOCK>HELD', 'WAITING_FOR_STOCK>CANCELING',
        'HELD>RETRYING', 'HELD>CANCELING', 'DELIVERED>CANCELING', 'CANCELING>CANCELED'))
);

-- What a source gave: codes of endpoints and of people. Codes from pools stay in pool_keys.
CREATE TABLE deliverables (
    line_id     uuid NOT NULL REFERENCES line_items,
    unit_no     int NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('code', 'link', 'file', 'additional')),
    content     bytea NOT NULL,           -- encrypted with the customer's data key
    fingerprint bytea,                    -- of codes: keyed hash, to find the same key twice
    source      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (line_id, unit_no, kind)
);
CREATE INDEX deliverables_by_fingerprint ON deliverables (fingerprint) WHERE fingerprint IS NOT NULL;

CREATE TABLE supplies (                    -- keys that a person stored for a line, until the decision takes them
    line_id    uuid NOT NULL REFERENCES line_items,
    unit_no    int NOT NULL,
    content    bytea NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (line_id, unit_no)
);

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
    duration_ms int,
    http_status int,
    error_kind  text,
    error_code  text,
    message     text,
    reply       bytea,                            -- redacted and encrypted
    PRIMARY KEY (line_id, no)
);
CREATE INDEX attempts_running ON attempts (source, deadline_at) WHERE outcome = 'running';

CREATE TABLE deliveries (
    id          uuid PRIMARY KEY,
    line_id     uuid NOT NULL REFERENCES line_items,
    number      int NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('keys', 'canceled')),
    message     bytea NOT NULL,           -- the e-mail's bytes, encrypted with the customer's data key
    status      text NOT NULL CHECK (status IN ('READY', 'SENDING', 'SENT')),
    exposed     boolean NOT NULL DEFAULT false,   -- the mail server may have taken it
    lease_until timestamptz,              -- while SENDING: nobody else sends or cancels before
    attempts    int NOT NULL DEFAULT 0,
    error       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    UNIQUE (line_id, number)
);

CREATE TABLE refunds (
    line_id         uuid PRIMARY KEY REFERENCES line_items,
    order_id        text NOT NULL REFERENCES orders,
    amount_minor    bigint NOT NULL CHECK (amount_minor >= 0),
    currency        text NOT NULL,
    provider        text NOT NULL,
    reference       text NOT NULL,
    reason          text NOT NULL,
    status          text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DONE')),
    attempts        int NOT NULL DEFAULT 0,
    error           text,
    provider_id     text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    done_at         timestamptz,
    CHECK ((status = 'DONE') = (done_at IS NOT NULL))
);
CREATE INDEX refunds_pending ON refunds (created_at) WHERE status = 'PENDING';

CREATE TABLE licenses (
    id          uuid PRIMARY KEY,         -- the fulfillmentId that created it
    line_id     uuid NOT NULL UNIQUE REFERENCES line_items,
    customer_id text NOT NULL,
    product_id  text NOT NULL,
    status      text NOT NULL CHECK (status IN ('Running', 'Paused', 'Canceled', 'Expired')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX licenses_by_customer ON licenses (customer_id, created_at);

CREATE TABLE resolutions (
    line_id    uuid NOT NULL REFERENCES line_items,
    id         text NOT NULL,
    action     text NOT NULL,
    until      timestamptz,
    reason     text NOT NULL DEFAULT '',
    by         text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (line_id, id)
);

-- One open alert per line and cause, and per pool and cause; mailed by whoever comes first.
CREATE TABLE alerts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause      text NOT NULL CHECK (cause IN (
        'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'Internal',
        'Manual', 'Refund', 'Revocation', 'Exposed', 'Undelivered', 'Restored', 'PartnerAnsweredDifferently',
        'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew', 'LowStock', 'RunsDry', 'Audit')),
    line_id    uuid REFERENCES line_items,
    pool_id    text,
    detail     text NOT NULL,
    opened_at  timestamptz NOT NULL DEFAULT now(),
    mailed_at  timestamptz,
    closed_at  timestamptz
);
CREATE UNIQUE INDEX alerts_line ON alerts (line_id, cause) WHERE line_id IS NOT NULL;
CREATE UNIQUE INDEX alerts_pool ON alerts (pool_id, cause) WHERE pool_id IS NOT NULL AND closed_at IS NULL;
CREATE INDEX alerts_to_mail ON alerts (id) WHERE mailed_at IS NULL;

-- Calls to take back at partners: what an abandoned source may have issued.
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

-- Workflows other than a line's first that a transaction decided to start; the relay starts them and deletes the row.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow   text NOT NULL,
    subject    text NOT NULL,
    due_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workflow, subject)
);

CREATE TABLE access_log (
    at         timestamptz NOT NULL DEFAULT now(),
    line_id    uuid NOT NULL,
    by         text NOT NULL,
    what       text NOT NULL
);
CREATE INDEX access_log_by_line ON access_log (line_id, at);

CREATE TABLE api_tokens (
    name       text PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,
    scopes     text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Ciphertext does not shrink: PostgreSQL shall not try.
ALTER TABLE orders ALTER COLUMN customer SET STORAGE EXTERNAL;
ALTER TABLE idempotency_keys ALTER COLUMN response SET STORAGE EXTERNAL;
ALTER TABLE deliverables ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE partner_requests ALTER COLUMN request SET STORAGE EXTERNAL;
ALTER TABLE attempts ALTER COLUMN reply SET STORAGE EXTERNAL;
ALTER TABLE deliveries ALTER COLUMN message SET STORAGE EXTERNAL;

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
