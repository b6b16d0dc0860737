-- +goose Up
-- Units that are set aside while a customer pays: a count for each pool, not keys. A payment has its own rows, so that
-- no two customers wait for one another, and claims do not touch them.
CREATE TABLE reservations (
    payment_id uuid NOT NULL REFERENCES payments,
    pool_id    text NOT NULL REFERENCES pools ON DELETE CASCADE,
    units      bigint NOT NULL CHECK (units > 0),
    PRIMARY KEY (payment_id, pool_id)
);
CREATE INDEX reservations_of_pool ON reservations (pool_id) INCLUDE (units);
