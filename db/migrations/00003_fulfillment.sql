-- +goose Up
-- What a line obtains, how it is delivered, and what is taken back.

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
ALTER TABLE deliverables ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX deliverables_by_fingerprint ON deliverables (fingerprint) WHERE fingerprint IS NOT NULL;

-- Keys that a person stored for a line, until the decision takes them.
CREATE TABLE supplies (
    line_id     uuid NOT NULL REFERENCES line_items,
    unit_no     int NOT NULL,
    content     bytea NOT NULL,
    fingerprint bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (line_id, unit_no)
);

-- +goose StatementBegin
CREATE FUNCTION delivery_is_consistent(kind text, status text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN kind IN ('keys', 'canceled') AND status IN ('READY', 'SENDING', 'SENT');
END $$;
-- +goose StatementEnd

-- E-mails.
CREATE TABLE deliveries (
    id          uuid PRIMARY KEY,
    line_id     uuid NOT NULL REFERENCES line_items,
    number      int NOT NULL,
    kind        text NOT NULL,
    message     bytea NOT NULL,           -- the e-mail's bytes, encrypted with the customer's data key
    status      text NOT NULL,
    exposed     boolean NOT NULL DEFAULT false,   -- the mail server may have taken it
    lease_until timestamptz,              -- while SENDING: nobody else sends or cancels before
    attempts    int NOT NULL DEFAULT 0,
    error       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    UNIQUE (line_id, number),
    CONSTRAINT deliveries_consistent CHECK (delivery_is_consistent(kind, status))
);
ALTER TABLE deliveries ALTER COLUMN message SET STORAGE EXTERNAL;

-- Who saw keys on a page or through the API.
CREATE TABLE access_log (
    at      timestamptz NOT NULL DEFAULT now(),
    line_id uuid NOT NULL,
    by      text NOT NULL,
    what    text NOT NULL
);
CREATE INDEX access_log_by_line ON access_log (line_id, at);

-- Money back, once a line.
CREATE TABLE refunds (
    line_id      uuid PRIMARY KEY REFERENCES line_items,
    order_id     text NOT NULL REFERENCES orders,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    currency     text NOT NULL,
    provider     text NOT NULL,
    reference    text NOT NULL,
    reason       text NOT NULL,
    failure_kind text,                    -- the kind of the failure that it was given up for; NULL if somebody decided
    status       text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DONE')),
    attempts     int NOT NULL DEFAULT 0,
    error        text,
    provider_id  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz,
    CHECK ((status = 'DONE') = (done_at IS NOT NULL))
);
CREATE INDEX refunds_pending ON refunds (created_at) WHERE status = 'PENDING';

-- The books of the sandbox payment provider. A real provider keeps its own.
CREATE TABLE sandbox_payments (
    reference      text NOT NULL,
    order_id       text NOT NULL,
    captured_minor bigint NOT NULL,
    currency       text NOT NULL,
    captured_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (reference, order_id)
);
CREATE TABLE sandbox_refunds (
    key          text PRIMARY KEY,
    id           uuid NOT NULL UNIQUE,
    reference    text NOT NULL,
    order_id     text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    tries        int NOT NULL DEFAULT 0,
    applied_at   timestamptz,
    FOREIGN KEY (reference, order_id) REFERENCES sandbox_payments
);
CREATE INDEX sandbox_refunds_by_payment ON sandbox_refunds (reference, order_id);

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
