-- +goose Up
-- A key's life is longer than being sold: its states are those of keyturn.KeyStates, its steps those of key_transitions.
ALTER TABLE pool_keys
    ALTER COLUMN position SET DEFAULT nextval('pool_key_position'),
    ADD COLUMN expires_at timestamptz,    -- the publisher's; NULL: never
    ADD COLUMN give_until timestamptz,    -- expires_at less the pool's minimal validity: not given to anybody later
    DROP CONSTRAINT pool_keys_state_check,
    DROP CONSTRAINT pool_keys_check,
    ADD CONSTRAINT pool_keys_state CHECK (state IN
        ('available', 'claimed', 'delivered', 'quarantined', 'recalled', 'expired', 'withdrawn')) NOT VALID,
    ADD CONSTRAINT pool_keys_owner CHECK (CASE
        WHEN state IN ('available', 'expired', 'withdrawn') THEN line_id IS NULL
        WHEN state IN ('claimed', 'delivered', 'recalled') THEN line_id IS NOT NULL
        ELSE true END) NOT VALID,
    -- Two checks of a foreign key for each of a million keys cost as much as storing them. What they said holds without:
    -- an import writes its batch and its keys in one transaction, a batch refers to its pool, and neither is ever deleted.
    DROP CONSTRAINT pool_keys_pool_id_fkey,
    DROP CONSTRAINT pool_keys_batch_id_fkey;

-- A recalled key still says whose it was, next to the key that replaced it; a withdrawn one may be imported again.
CREATE UNIQUE INDEX pool_keys_owner_unit ON pool_keys (line_id, unit_no) WHERE line_id IS NOT NULL AND state <> 'recalled';
CREATE INDEX pool_keys_recalled ON pool_keys (line_id) WHERE state = 'recalled';
CREATE UNIQUE INDEX pool_keys_once ON pool_keys (fingerprint) WHERE state <> 'withdrawn';
DROP INDEX pool_keys_unit;
DROP INDEX pool_keys_fingerprint;
CREATE INDEX pool_keys_expiring ON pool_keys (give_until) WHERE state = 'available' AND give_until IS NOT NULL;

-- Every step of a key but four, which are recorded elsewhere: imported and withdrawn (its batch), claimed and delivered
-- (its line, and the line's log). So selling a key costs no row here, and importing or undoing a million costs no million.
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

ALTER TABLE batches
    ADD COLUMN first_key    bigint,       -- its keys are between these, and the only ones with its ID
    ADD COLUMN last_key     bigint,
    ADD COLUMN undone_at    timestamptz,
    ADD COLUMN undone_by    text NOT NULL DEFAULT '',
    ADD COLUMN recalled_at  timestamptz,
    ADD COLUMN recall       text,         -- why
    ADD COLUMN replace_sold boolean NOT NULL DEFAULT false,
    ADD COLUMN recalled_to  bigint;       -- the keys up to this one are dealt with; NULL with recalled_at: all of them

-- Keys that their owners have to get a new one for: those of a recalled batch, and single ones that leaked.
CREATE TABLE replacements (
    key_id      bigint PRIMARY KEY REFERENCES pool_keys,
    batch_id    uuid NOT NULL,
    pool_id     text NOT NULL,
    line_id     uuid NOT NULL REFERENCES line_items,
    unit_no     int NOT NULL,
    status      text NOT NULL CHECK (status IN ('LISTED', 'OWED', 'DONE', 'VOID')), -- VOID: its line was refunded instead
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

-- The slot of a transaction is that of its backend (db.stockSlot): claimers do not wait for each other's commit.
ALTER TABLE pool_stock
    ADD COLUMN recalled  bigint NOT NULL DEFAULT 0,
    ADD COLUMN expired   bigint NOT NULL DEFAULT 0,
    ADD COLUMN withdrawn bigint NOT NULL DEFAULT 0,
    ADD COLUMN taken     bigint NOT NULL DEFAULT 0;  -- claimed since the beginning, less what came back: the pace's clock

-- What was taken of a pool by then, once a minute, for a day: the recent pace without counting.
CREATE TABLE pool_pace (
    pool_id text NOT NULL REFERENCES pools ON DELETE CASCADE,
    at      timestamptz NOT NULL,
    taken   bigint NOT NULL,
    PRIMARY KEY (pool_id, at)
);

ALTER TABLE pools ADD COLUMN serve_after timestamptz;      -- with a pace: nobody serves waiting lines before
ALTER TABLE products ADD COLUMN pool_currencies text;      -- pool -> currency, of its pools that have one, as JSON

-- +goose Down
SELECT 'there is no way back from this version' WHERE false;
