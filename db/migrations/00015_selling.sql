-- +goose Up
-- Checkout links, which sell once, and the payments of them.

-- The transition tables of package keyturn.
-- +goose StatementBegin
CREATE FUNCTION link_may_become(from_status text, to_status text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'OPEN>PAYING', 'OPEN>USED', 'OPEN>EXPIRED', 'OPEN>CANCELED', 'PAYING>OPEN', 'PAYING>USED');
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION payment_may_become(from_status text, to_status text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'CREATED>OPEN', 'CREATED>EXPIRED', 'CREATED>CAPTURED',
        'OPEN>PROCESSING', 'OPEN>EXPIRED', 'OPEN>MISMATCH', 'OPEN>AUTHORIZED', 'OPEN>CAPTURED', 'OPEN>VOIDING',
        'PROCESSING>FAILED', 'PROCESSING>MISMATCH', 'PROCESSING>AUTHORIZED', 'PROCESSING>CAPTURED',
        'PROCESSING>VOIDING',
        'FAILED>CAPTURED', 'FAILED>VOIDING', 'EXPIRED>CAPTURED', 'EXPIRED>VOIDING',
        'MISMATCH>AUTHORIZED', 'MISMATCH>CAPTURED', 'MISMATCH>VOIDING',
        'AUTHORIZED>CAPTURING', 'AUTHORIZED>VOIDING', 'AUTHORIZED>LOST',
        'CAPTURING>CAPTURED', 'CAPTURING>VOIDING', 'CAPTURING>LOST',
        'VOIDING>CAPTURED', 'VOIDING>VOIDED');
END $$;
-- +goose StatementEnd

CREATE TABLE checkout_links (
    id              text PRIMARY KEY,
    client          text NOT NULL,          -- the token that made it: its references and idempotency keys belong to it
    idempotency_key text NOT NULL,
    request_hash    bytea NOT NULL,
    reference       text,
    order_id        text NOT NULL,          -- of the order that it makes
    status          text NOT NULL DEFAULT 'OPEN',
    version         int NOT NULL DEFAULT 1,
    provider        text NOT NULL,
    currency        text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    customer_id     text NOT NULL REFERENCES customers,
    spec            bytea NOT NULL,         -- keyturn.CheckoutLink, encrypted with the customer's data key
    draft           text NOT NULL DEFAULT '{}', -- what the visitor has chosen: quantities and offers
    page_hash       bytea NOT NULL UNIQUE,
    payments_begun  int NOT NULL DEFAULT 0,
    payments_most   int NOT NULL DEFAULT 5 CHECK (payments_begun <= payments_most),
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    opened_at       timestamptz,
    ended_at        timestamptz,
    end_reason      text,
    UNIQUE (client, idempotency_key),
    UNIQUE (client, reference),
    CONSTRAINT checkout_links_status CHECK (status IN ('OPEN', 'PAYING', 'USED', 'EXPIRED', 'CANCELED')),
    CONSTRAINT checkout_links_end CHECK ((status IN ('USED', 'EXPIRED', 'CANCELED')) = (ended_at IS NOT NULL))
);
ALTER TABLE checkout_links ALTER COLUMN spec SET STORAGE EXTERNAL;
-- no two links make the same order
CREATE UNIQUE INDEX checkout_links_order ON checkout_links (order_id) WHERE status IN ('OPEN', 'PAYING', 'USED');
CREATE INDEX checkout_links_by_time ON checkout_links (created_at, id);
CREATE INDEX checkout_links_by_status ON checkout_links (status, created_at, id);
CREATE INDEX checkout_links_by_merchant ON checkout_links (split_part(order_id, ':', 1), created_at, id)
    WHERE strpos(order_id, ':') > 0;
CREATE INDEX checkout_links_by_reference ON checkout_links (reference, created_at, id) WHERE reference IS NOT NULL;
CREATE INDEX checkout_links_to_expire ON checkout_links (expires_at) WHERE status = 'OPEN';
CREATE INDEX checkout_links_of_customer ON checkout_links (customer_id);

CREATE TABLE link_log (
    link_id     text NOT NULL REFERENCES checkout_links,
    version     int NOT NULL,
    from_status text NOT NULL,
    to_status   text NOT NULL,
    by          text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (link_id, version),
    CONSTRAINT link_transitions CHECK (link_may_become(from_status, to_status))
);

-- One attempt to pay a link. What it is for is frozen in the snapshot.
CREATE TABLE payments (
    id                uuid PRIMARY KEY,
    link_id           text NOT NULL REFERENCES checkout_links,
    number            int NOT NULL,         -- of the link, from 1
    status            text NOT NULL DEFAULT 'CREATED',
    version           int NOT NULL DEFAULT 1,
    provider          text NOT NULL,
    capture           text NOT NULL CHECK (capture IN ('whenObtained', 'whenPossible', 'atOnce')),
    mixed             text NOT NULL CHECK (mixed IN ('chargeAll', 'chargeReady')),
    customer_id       text NOT NULL REFERENCES customers,
    snapshot          bytea NOT NULL,       -- encrypted with the customer's data key; never changes
    currency          text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    total_minor       bigint NOT NULL CHECK (total_minor >= 0),
    pay_until         timestamptz NOT NULL, -- then its session is ended
    open_no           int NOT NULL DEFAULT 1, -- of the key under which the session is opened
    session_reference text,
    session_url       bytea,                -- encrypted: whoever has it can pay
    payment_reference text,
    order_id          text REFERENCES orders, -- of the order that was accepted with it
    authorized_minor  bigint NOT NULL DEFAULT 0 CHECK (authorized_minor >= 0),
    authorized_at     timestamptz,
    capture_by        timestamptz,
    chargeable_minor  bigint NOT NULL DEFAULT 0 CHECK (chargeable_minor BETWEEN 0 AND total_minor),
    first_tries       int NOT NULL DEFAULT 0 CHECK (first_tries >= 0), -- lines that are PENDING
    give_up_failed    boolean NOT NULL DEFAULT false, -- lines without a key in hand give themselves up, uncharged
    capture_minor     bigint CHECK (capture_minor > 0), -- what a capture under capture_no may have taken
    capture_no        int NOT NULL DEFAULT 1,
    capture_tries     int NOT NULL DEFAULT 0,
    capture_until     timestamptz,          -- the lease of the process that captures
    captured_minor    bigint NOT NULL DEFAULT 0 CHECK (captured_minor >= 0),
    captured_at       timestamptz,
    failure           text,                 -- the kind of the last failure
    looks             int NOT NULL DEFAULT 0, -- how often the processor was asked since the status changed
    look_at           timestamptz,          -- when it is asked next
    created_at        timestamptz NOT NULL DEFAULT now(),
    ended_at          timestamptz,
    UNIQUE (link_id, number),
    CONSTRAINT payments_status CHECK (status IN ('CREATED', 'OPEN', 'PROCESSING', 'FAILED', 'EXPIRED', 'MISMATCH',
        'AUTHORIZED', 'CAPTURING', 'CAPTURED', 'VOIDING', 'VOIDED', 'LOST')),
    CONSTRAINT payments_captured CHECK ((captured_minor > 0) <= (status = 'CAPTURED'))
);
ALTER TABLE payments ALTER COLUMN snapshot SET STORAGE EXTERNAL;
-- no link is sold twice, and no order is paid twice
CREATE UNIQUE INDEX payments_sold ON payments (link_id) WHERE order_id IS NOT NULL;
CREATE UNIQUE INDEX payments_order ON payments (order_id) WHERE order_id IS NOT NULL;
-- a link is paid by one payment at a time
CREATE UNIQUE INDEX payments_payable ON payments (link_id) WHERE status IN ('CREATED', 'OPEN', 'PROCESSING');
CREATE UNIQUE INDEX payments_session ON payments (provider, session_reference) WHERE session_reference IS NOT NULL;
CREATE UNIQUE INDEX payments_reference ON payments (provider, payment_reference) WHERE payment_reference IS NOT NULL;
CREATE INDEX payments_by_time ON payments (created_at, id);
CREATE INDEX payments_by_status ON payments (status, created_at, id);
CREATE INDEX payments_to_look ON payments (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX payments_of_customer ON payments (customer_id);

CREATE TABLE payment_log (
    payment_id  uuid NOT NULL REFERENCES payments,
    version     int NOT NULL,
    from_status text NOT NULL,
    to_status   text NOT NULL,
    by          text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payment_id, version),
    CONSTRAINT payment_transitions CHECK (payment_may_become(from_status, to_status))
);

-- What was taken and belongs to no order goes back whole.
CREATE TABLE payment_refunds (
    payment_id   uuid PRIMARY KEY REFERENCES payments,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     text NOT NULL,
    status       text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DONE')),
    attempts     int NOT NULL DEFAULT 0,
    error        text,
    provider_id  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz,
    CHECK ((status = 'DONE') = (done_at IS NOT NULL))
);
CREATE INDEX payment_refunds_pending ON payment_refunds (created_at) WHERE status = 'PENDING';

-- What processors told us, each event once.
CREATE TABLE provider_events (
    provider    text NOT NULL,
    id          text NOT NULL,
    type        text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, id)
);
CREATE INDEX provider_events_by_time ON provider_events (received_at);

ALTER TABLE orders ADD COLUMN payment_id uuid;   -- of an order that a checkout link made; payments.order_id refers to it
ALTER TABLE line_items ADD COLUMN sold_as text;                      -- keyturn.SoldAs, of a line that a link sold

-- The sandbox processor's books of sessions. What it captured is in sandbox_payments.
CREATE TABLE sandbox_sessions (
    id               text PRIMARY KEY,
    key              text NOT NULL UNIQUE,   -- of idempotency
    payment_id       uuid NOT NULL,
    order_id         text NOT NULL,
    token_hash       bytea NOT NULL UNIQUE,  -- of the address of its page
    currency         text NOT NULL,
    total_minor      bigint NOT NULL CHECK (total_minor > 0),
    lines            text NOT NULL,          -- what its page shows
    back_url         text NOT NULL,
    return_url       text NOT NULL,
    authorize_first  boolean NOT NULL,
    script           text NOT NULL DEFAULT '', -- the trouble that additionalData.sandbox asks for
    status           text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'processing', 'authorized', 'captured',
        'voided', 'expired', 'failed')),
    reference        text UNIQUE,            -- of the payment, once it is paid
    authorized_minor bigint NOT NULL DEFAULT 0,
    captured_minor   bigint NOT NULL DEFAULT 0 CHECK (captured_minor <= authorized_minor),
    capture_by       timestamptz,
    settles_at       timestamptz,            -- of a method that takes time
    calls            text NOT NULL DEFAULT '{}', -- how often each call was tried, for scripted trouble
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL
);

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes',
    'Capture', 'LatePayment', 'Mismatch', 'NotAccepted'));

-- +goose Down
SELECT 'there is no way back' WHERE false;
