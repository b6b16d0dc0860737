-- +goose Up
-- Pools of keys.

CREATE TABLE batches (
    id           uuid PRIMARY KEY,
    pool_id      text NOT NULL REFERENCES pools,
    accepted     int NOT NULL,
    rejected     int NOT NULL,
    first_key    bigint,                  -- its keys are between these, and the only ones with its ID
    last_key     bigint,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    undone_at    timestamptz,
    undone_by    text NOT NULL DEFAULT '',
    recalled_at  timestamptz,
    recall       text,                    -- why
    replace_sold boolean NOT NULL DEFAULT false,
    recalled_to  bigint                   -- the keys up to this one are dealt with; NULL with recalled_at: all of them
);
CREATE INDEX batches_by_pool ON batches (pool_id, created_at);
CREATE INDEX batches_in_recall ON batches (pool_id) WHERE recalled_to IS NOT NULL;   -- every claim looks; mostly none

-- +goose StatementBegin
CREATE FUNCTION key_is_consistent(state text, line_id uuid, unit_no int) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN (line_id IS NULL) = (unit_no IS NULL) AND CASE
        WHEN state IN ('available', 'expired', 'withdrawn') THEN line_id IS NULL
        WHEN state IN ('claimed', 'delivered', 'recalled') THEN line_id IS NOT NULL
        ELSE state = 'quarantined' END;
END $$;
-- +goose StatementEnd

CREATE SEQUENCE pool_key_position;

-- The primary key is not in claim order on purpose: with it the planner would walk over every sold key to find the
-- next one. position is claim order; only the index of available keys has it.
--
-- Two checks of a foreign key for each of a million keys cost as much as storing them, so there is none to pools and
-- batches: an import writes its batch and its keys in one transaction, a batch refers to its pool, and neither is ever
-- deleted. For the same reason an import and its undo pay for no call of key_is_consistent.
CREATE TABLE pool_keys (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool_id     text NOT NULL,
    batch_id    uuid NOT NULL,
    position    bigint NOT NULL DEFAULT nextval('pool_key_position'),
    fingerprint bytea NOT NULL,           -- keyed hash of the key
    content     bytea NOT NULL,           -- encrypted with the pool's data key, bound to its fingerprint
    state       text NOT NULL DEFAULT 'available',   -- one of keyturn.KeyStates
    line_id     uuid,
    unit_no     int,
    expires_at  timestamptz,              -- the publisher's; NULL: never
    give_until  timestamptz,              -- expires_at less the pool's minimal validity: not given to anybody later
    changed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pool_keys_consistent CHECK (state IN ('available', 'withdrawn') AND line_id IS NULL AND unit_no IS NULL
        OR key_is_consistent(state, line_id, unit_no))
);
-- A key is here once over all pools; one that was withdrawn may be imported again.
CREATE UNIQUE INDEX pool_keys_once ON pool_keys (fingerprint) WHERE state <> 'withdrawn';
-- A recalled key still says whose it was, next to the key that replaced it.
CREATE UNIQUE INDEX pool_keys_owner_unit ON pool_keys (line_id, unit_no)
    WHERE line_id IS NOT NULL AND state <> 'recalled';
CREATE INDEX pool_keys_available ON pool_keys (pool_id, position) WHERE state = 'available';
CREATE INDEX pool_keys_recalled ON pool_keys (line_id) WHERE state = 'recalled';
CREATE INDEX pool_keys_expiring ON pool_keys (give_until) WHERE state = 'available' AND give_until IS NOT NULL;

-- Every step of a key but four, which are recorded elsewhere: imported and withdrawn (its batch), claimed and delivered
-- (its line, and the line's log). Selling a key costs no row here, and importing or undoing a million costs none.
CREATE TABLE key_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id     bigint NOT NULL,
    pool_id    text NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    line_id    uuid,                      -- whose it was
    unit_no    int,
    by         text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT key_transitions CHECK ((from_state || '>' || to_state) IN (
        'available>claimed', 'available>quarantined', 'available>expired', 'available>withdrawn',
        'claimed>available', 'claimed>delivered', 'claimed>quarantined', 'claimed>recalled',
        'delivered>quarantined', 'delivered>recalled'))
);
CREATE INDEX key_log_by_key ON key_log (key_id, id);
CREATE INDEX key_log_by_line ON key_log (line_id) WHERE line_id IS NOT NULL;

-- Keys that their owners have to get a new one for: those of a recalled batch, and single ones that leaked.
CREATE TABLE replacements (
    key_id      bigint PRIMARY KEY REFERENCES pool_keys,
    batch_id    uuid NOT NULL,
    pool_id     text NOT NULL,
    line_id     uuid NOT NULL REFERENCES line_items,
    unit_no     int NOT NULL,
    status      text NOT NULL CHECK (status IN ('LISTED', 'OWED', 'DONE', 'VOID')), -- VOID: the line was refunded
    new_key_id  bigint REFERENCES pool_keys,
    delivery_id uuid REFERENCES deliveries,
    reason      text NOT NULL,
    by          text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,
    CHECK ((status = 'DONE') = (new_key_id IS NOT NULL)),
    CHECK ((status = 'DONE') = (delivery_id IS NOT NULL))
);
CREATE INDEX replacements_owed ON replacements (created_at, key_id) WHERE status = 'OWED';
CREATE INDEX replacements_by_batch ON replacements (batch_id, key_id);
CREATE INDEX replacements_by_line ON replacements (line_id);

-- Stock figures, maintained by every change in one of several rows, so that no row is locked by every claim. The slot
-- of a transaction is that of its backend: claimers do not wait for each other's commit.
CREATE TABLE pool_stock (
    pool_id     text NOT NULL REFERENCES pools ON DELETE CASCADE,
    slot        int NOT NULL,
    available   bigint NOT NULL DEFAULT 0,
    claimed     bigint NOT NULL DEFAULT 0,
    delivered   bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    recalled    bigint NOT NULL DEFAULT 0,
    expired     bigint NOT NULL DEFAULT 0,
    withdrawn   bigint NOT NULL DEFAULT 0,
    taken       bigint NOT NULL DEFAULT 0,   -- claimed since the beginning, less what came back: the pace's clock
    PRIMARY KEY (pool_id, slot)
) WITH (fillfactor = 50);

-- What was taken of a pool by then, once a minute, for a day: the recent pace without counting.
CREATE TABLE pool_pace (
    pool_id text NOT NULL REFERENCES pools ON DELETE CASCADE,
    at      timestamptz NOT NULL,
    taken   bigint NOT NULL,
    PRIMARY KEY (pool_id, at)
);

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
