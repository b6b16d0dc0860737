-- +goose Up
-- The sandbox payment provider's books. A real provider keeps its own.
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
