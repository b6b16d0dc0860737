-- +goose Up
-- Whose a payment reference is: an order of a token with a prefix may not name a payment of another merchant, because
-- its cancellation would give that money back. Orders of tokens without a prefix are found by the index.
CREATE TABLE merchant_payments (
    provider text NOT NULL,
    reference text NOT NULL,
    merchant text NOT NULL,
    PRIMARY KEY (provider, reference)
);
CREATE INDEX orders_by_payment ON orders (payment_provider, payment_reference);
