-- +goose Up
-- What customers own over time.

CREATE TABLE licenses (
    id          uuid PRIMARY KEY,         -- the fulfillmentId that created it
    line_id     uuid NOT NULL UNIQUE REFERENCES line_items,
    customer_id text NOT NULL,
    product_id  text NOT NULL,
    status      text NOT NULL CHECK (status IN ('Running', 'Paused', 'Canceled', 'Expired')),
    source      text,
    expires_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX licenses_by_customer ON licenses (customer_id, created_at);

-- What operations made of a licence, in their order. The CHECK is keyturn.LicenseTransitions.
CREATE TABLE license_steps (
    license_id     uuid NOT NULL REFERENCES licenses,
    no             int NOT NULL,          -- the line's operation_no
    line_id        uuid NOT NULL UNIQUE REFERENCES line_items,
    operation      text NOT NULL,
    from_status    text NOT NULL,
    to_status      text NOT NULL,
    product_before text NOT NULL,         -- what the licence was: it is that again when the step is withdrawn
    source_before  text,
    expires_before timestamptz,
    at             timestamptz NOT NULL DEFAULT now(),
    withdrawn_at   timestamptz,
    PRIMARY KEY (license_id, no),
    CONSTRAINT license_transitions CHECK ((from_status || '>' || operation || '>' || to_status) IN (
        'Running>renew>Running', 'Running>upgrade>Running', 'Running>pause>Paused', 'Running>cancel>Canceled',
        'Paused>renew>Running', 'Paused>upgrade>Running', 'Paused>resume>Running', 'Paused>cancel>Canceled',
        'Expired>renew>Running', 'Expired>cancel>Canceled'))
);

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
