-- +goose Up
-- Whose data was erased, by a keyed hash: the list goes to a safe place outside, and is replayed after a restore.
ALTER TABLE customers ADD COLUMN erased_at timestamptz; -- of orders that were accepted until then
CREATE TABLE erasures (
    id            uuid PRIMARY KEY,
    customer_hash bytea NOT NULL,
    erased_at     timestamptz NOT NULL,
    orders        int NOT NULL,
    lines         int NOT NULL,
    by            text NOT NULL
);
CREATE INDEX erasures_by_time ON erasures (erased_at, id);
CREATE INDEX customers_erased ON customers (erased_at) WHERE erased_at IS NOT NULL;
CREATE INDEX revocations_owed ON revocations (created_at) WHERE status = 'OWED';

-- +goose Down
DROP INDEX revocations_owed;
DROP TABLE erasures;
ALTER TABLE customers DROP COLUMN erased_at;
