-- +goose Up
CREATE TABLE products (
    id         text PRIMARY KEY,
    version    bigint NOT NULL DEFAULT 1,
    spec       text NOT NULL,             -- keyturn.Product as JSON
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE integrations (
    id         text PRIMARY KEY,
    version    bigint NOT NULL DEFAULT 1,
    spec       text NOT NULL,             -- keyturn.Integration as JSON, without secrets
    secrets    bytea NOT NULL,            -- path -> secret, encrypted
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pools (
    id         text PRIMARY KEY,
    version    bigint NOT NULL DEFAULT 1,
    spec       text NOT NULL,
    data_key   bytea NOT NULL,            -- wrapped by the key-encryption key
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE batches (
    id         uuid PRIMARY KEY,
    pool_id    text NOT NULL REFERENCES pools,
    accepted   int NOT NULL,
    rejected   int NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX batches_by_pool ON batches (pool_id, created_at);

-- The primary key is not in claim order on purpose: with it the planner would walk over every sold key to find the
-- next one. position is claim order; only the index of available keys has it.
CREATE TABLE pool_keys (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool_id     text NOT NULL REFERENCES pools,
    batch_id    uuid NOT NULL REFERENCES batches,
    position    bigint NOT NULL,
    fingerprint bytea NOT NULL,           -- keyed hash of the key: unique over all pools
    content     bytea NOT NULL,           -- encrypted with the pool's data key, bound to its fingerprint
    state       text NOT NULL DEFAULT 'available' CHECK (state IN ('available', 'claimed', 'delivered', 'quarantined')),
    line_id     uuid,
    unit_no     int,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'available') = (line_id IS NULL)),
    CHECK ((line_id IS NULL) = (unit_no IS NULL))
);
CREATE UNIQUE INDEX pool_keys_fingerprint ON pool_keys (fingerprint);
CREATE UNIQUE INDEX pool_keys_unit ON pool_keys (line_id, unit_no) WHERE line_id IS NOT NULL;
CREATE INDEX pool_keys_available ON pool_keys (pool_id, position) WHERE state = 'available';
CREATE SEQUENCE pool_key_position;

-- Stock figures, maintained by every change in one of several rows, so that no row is locked by every claim.
CREATE TABLE pool_stock (
    pool_id     text NOT NULL REFERENCES pools ON DELETE CASCADE,
    slot        int NOT NULL,
    available   bigint NOT NULL DEFAULT 0,
    claimed     bigint NOT NULL DEFAULT 0,
    delivered   bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pool_id, slot)
) WITH (fillfactor = 50);

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
