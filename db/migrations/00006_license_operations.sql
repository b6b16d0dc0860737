-- +goose Up
-- Operations on licences that exist are lines like any other, with the licence they act on.
ALTER TABLE line_items
    ADD COLUMN license_id     uuid,        -- what it acts on: the fulfillment_id of its create; NULL of a create
    ADD COLUMN operation_no   int,         -- operations on one licence are carried out in this order, the create before all
    ADD COLUMN license_source text,        -- who issued the licence, and so carries out what is done to it
    ADD COLUMN blocked        boolean NOT NULL DEFAULT false,   -- an earlier operation on the licence is not decided yet
    ADD COLUMN awaited        boolean NOT NULL DEFAULT false,   -- a later one waits for this line
    ADD COLUMN cancel_reason  text,        -- set once a cancel of its licence gives the line up
    ADD COLUMN expires_at     timestamptz, -- the end of the term that it brings, as far as somebody said it
    ADD CONSTRAINT line_operation CHECK ((license_id IS NULL) = (operation_no IS NULL)),
    ADD CONSTRAINT line_blocked CHECK (NOT blocked OR license_id IS NOT NULL);
CREATE UNIQUE INDEX line_items_by_license ON line_items (license_id, operation_no) WHERE license_id IS NOT NULL;
CREATE INDEX line_items_by_subscription ON line_items (subscription_id) WHERE subscription_id <> '' AND license_id IS NULL;

ALTER TABLE licenses
    ADD COLUMN source     text,
    ADD COLUMN expires_at timestamptz;

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
SELECT 'there is no way back from this version' WHERE false;
