-- +goose Up
-- Orders and their lines.
--
-- CHECK constraints of tables that every step writes are calls of PL/pgSQL functions: PostgreSQL parses the text of
-- each constraint anew for every statement, and a call is short to parse (docs/decide/0014-short-checks.md).

CREATE TABLE customers (
    id         text PRIMARY KEY,
    data_key   bytea,                     -- wrapped by the key-encryption key; NULL once the customer was erased
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at  timestamptz                -- of orders that were accepted until then
);
CREATE INDEX customers_erased ON customers (erased_at) WHERE erased_at IS NOT NULL;

-- A pure function of the counts, the same as keyturn.OrderStatusOf (a test compares them).
-- +goose StatementBegin
CREATE FUNCTION order_status(total int, trouble int, delivered int, canceling int, canceled int) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN CASE
        WHEN canceled = total THEN 'CANCELED'
        WHEN delivered = total THEN 'COMPLETED'
        WHEN trouble > 0 THEN 'PARTIAL_COMPLETED'
        WHEN canceling > 0 THEN 'CANCEL_PENDING'
        WHEN delivered + canceled = total THEN 'PARTIAL_CANCELED'
        WHEN canceled > 0 THEN 'PARTIAL_COMPLETED'
        ELSE 'PENDING' END;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION order_is_consistent(currency text, gross_minor bigint, total int, trouble int, delivered int,
    canceling int, canceled int) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN currency ~ '^[A-Z]{3}$' AND gross_minor >= 0 AND total > 0
        AND trouble >= 0 AND delivered >= 0 AND canceling >= 0 AND canceled >= 0
        AND trouble + delivered + canceling + canceled <= total;
END $$;
-- +goose StatementEnd

CREATE TABLE orders (
    id                text PRIMARY KEY,
    client            text NOT NULL,
    customer_id       text NOT NULL REFERENCES customers,
    customer          bytea NOT NULL,     -- the personal part, encrypted with the customer's data key
    currency          text NOT NULL,
    gross_minor       bigint NOT NULL,
    payment_provider  text NOT NULL,
    payment_reference text NOT NULL,
    page_hash         bytea NOT NULL UNIQUE,
    lines_total       int NOT NULL,
    lines_trouble     int NOT NULL DEFAULT 0,
    lines_delivered   int NOT NULL DEFAULT 0,
    lines_canceling   int NOT NULL DEFAULT 0,
    lines_canceled    int NOT NULL DEFAULT 0,
    status            text NOT NULL DEFAULT 'PENDING',
    cancel_reason     text,               -- set once the whole order is to be cancelled
    cancel_failure    text,               -- the kind of the failure that it is cancelled for; NULL if somebody decided
    created_at        timestamptz NOT NULL,
    CONSTRAINT orders_status CHECK
        (status = order_status(lines_total, lines_trouble, lines_delivered, lines_canceling, lines_canceled)),
    CONSTRAINT orders_consistent CHECK (order_is_consistent
        (currency, gross_minor, lines_total, lines_trouble, lines_delivered, lines_canceling, lines_canceled))
);
ALTER TABLE orders ALTER COLUMN customer SET STORAGE EXTERNAL;   -- ciphertext does not shrink: do not try
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
ALTER TABLE idempotency_keys ALTER COLUMN response SET STORAGE EXTERNAL;

-- +goose StatementBegin
CREATE FUNCTION line_is_consistent(status text, quantity int, gross_minor bigint, waiting_pool text,
    obtained_at timestamptz, delivered_at timestamptz, canceled_at timestamptz, license_id uuid, operation_no int,
    blocked boolean) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN status IN
            ('PENDING', 'OBTAINED', 'RETRYING', 'WAITING_FOR_STOCK', 'HELD', 'DELIVERED', 'CANCELING', 'CANCELED')
        AND quantity > 0 AND gross_minor >= 0
        AND (status = 'WAITING_FOR_STOCK') = (waiting_pool IS NOT NULL)
        AND (status NOT IN ('OBTAINED', 'DELIVERED') OR obtained_at IS NOT NULL)
        AND (status <> 'DELIVERED' OR delivered_at IS NOT NULL)
        AND (status = 'CANCELED') = (canceled_at IS NOT NULL)
        AND (license_id IS NULL) = (operation_no IS NULL)
        AND (NOT blocked OR license_id IS NOT NULL);
END $$;
-- +goose StatementEnd

-- A fulfillment: what was bought, or an operation on a licence that exists.
CREATE TABLE line_items (
    id                uuid PRIMARY KEY,
    fulfillment_id    uuid NOT NULL UNIQUE,
    order_id          text NOT NULL REFERENCES orders,
    position          int NOT NULL,
    product_id        text NOT NULL,
    quantity          int NOT NULL,
    gross_minor       bigint NOT NULL,
    operation         text NOT NULL,
    subscription_id   text NOT NULL DEFAULT '',
    trial_context     text NOT NULL DEFAULT '',
    status            text NOT NULL DEFAULT 'PENDING',
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
    license_id        uuid,                     -- of an operation: the licence, as its create's fulfillment_id
    operation_no      int,                      -- operations on one licence are carried out in this order
    license_source    text,                     -- who issued the licence, and so carries out what is done to it
    blocked           boolean NOT NULL DEFAULT false,   -- an earlier operation on the licence is not decided yet
    awaited           boolean NOT NULL DEFAULT false,   -- a later one waits for this line
    cancel_reason     text,                     -- set once a cancel of its licence gives the line up
    expires_at        timestamptz,              -- the end of the term that it brings, as far as somebody said it
    obtained_at       timestamptz,
    delivered_at      timestamptz,
    canceled_at       timestamptz,
    wake_at           timestamptz,              -- the relay starts or wakes the workflow then
    created_at        timestamptz NOT NULL,
    CONSTRAINT line_items_consistent CHECK (line_is_consistent(status, quantity, gross_minor, waiting_pool, obtained_at,
        delivered_at, canceled_at, license_id, operation_no, blocked))
) WITH (fillfactor = 70);
CREATE INDEX line_items_by_order ON line_items (order_id, position);
CREATE INDEX line_items_due ON line_items (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX line_items_waiting ON line_items (waiting_pool, created_at, id) WHERE waiting_pool IS NOT NULL;
CREATE UNIQUE INDEX line_items_by_license ON line_items (license_id, operation_no) WHERE license_id IS NOT NULL;
CREATE INDEX line_items_by_subscription ON line_items (subscription_id)
    WHERE subscription_id <> '' AND license_id IS NULL;

-- The transition table of package keyturn.
-- +goose StatementBegin
CREATE FUNCTION line_may_become(from_status text, to_status text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'PENDING>OBTAINED', 'PENDING>RETRYING', 'PENDING>WAITING_FOR_STOCK', 'PENDING>HELD', 'PENDING>CANCELING',
        'OBTAINED>RETRYING', 'OBTAINED>HELD', 'OBTAINED>DELIVERED', 'OBTAINED>CANCELING',
        'RETRYING>WAITING_FOR_STOCK', 'RETRYING>HELD', 'RETRYING>DELIVERED', 'RETRYING>CANCELING',
        'WAITING_FOR_STOCK>RETRYING', 'WAITING_FOR_STOCK>HELD', 'WAITING_FOR_STOCK>CANCELING',
        'HELD>RETRYING', 'HELD>CANCELING', 'DELIVERED>CANCELING', 'CANCELING>CANCELED');
END $$;
-- +goose StatementEnd

-- Every step of every line.
CREATE TABLE line_log (
    line_id     uuid NOT NULL,
    version     int NOT NULL,
    from_status text NOT NULL,
    to_status   text NOT NULL,
    by          text NOT NULL,            -- workflow, api, import, or who decided
    reason      text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (line_id, version),
    CONSTRAINT line_transitions CHECK (line_may_become(from_status, to_status))
);

-- What people decided on lines that fail.
CREATE TABLE resolutions (
    line_id uuid NOT NULL REFERENCES line_items,
    id      text NOT NULL,
    action  text NOT NULL,
    until   timestamptz,
    reason  text NOT NULL DEFAULT '',
    by      text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (line_id, id)
);

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
