-- +goose Up
-- Keys come in files of a million and are sold one by one. Until a pool comes to them they lie in packs, and cost their
-- import a row and an index entry per pack; a key gets a row of its own (pool_keys) when it is about to be for sale, or
-- when something happens to it alone. Its ID is given at the import, and says its place in the queue.
CREATE TABLE key_packs (
    first_id     bigint PRIMARY KEY,     -- the keys' IDs are this one and the following ones
    pool_id      text NOT NULL,
    batch_id     uuid NOT NULL,
    position     bigint NOT NULL,        -- in the queue: first_id again, whose own index would be read from its beginning
    fingerprints bytea NOT NULL,         -- 16 bytes of each key
    contents     bytea NOT NULL,         -- one after the other
    ends         int[] NOT NULL,         -- where each content ends
    expires_at   timestamptz[],          -- NULL: none expires
    give_until   timestamptz[],
    gone         int[] NOT NULL DEFAULT '{}', -- the keys, from 1 on, that left: for a row of their own, or because they had been imported before
    expiring     timestamptz,            -- the first give_until of those that have none
    CONSTRAINT key_packs_consistent CHECK (cardinality(ends) > cardinality(gone)
        AND octet_length(fingerprints) = 16 * cardinality(ends) AND octet_length(contents) = ends[cardinality(ends)]
        AND (expires_at IS NULL OR cardinality(expires_at) = cardinality(ends)) AND (give_until IS NULL) = (expires_at IS NULL))
) WITH (toast_tuple_target = 8160);
ALTER TABLE key_packs ALTER fingerprints SET STORAGE EXTERNAL, ALTER contents SET STORAGE EXTERNAL; -- nothing in them can be compressed
CREATE INDEX key_packs_by_pool ON key_packs (pool_id, position);
CREATE INDEX key_packs_expiring ON key_packs (expiring) WHERE expiring IS NOT NULL;

CREATE VIEW packed_keys AS
    SELECT p.first_id, g.no, p.first_id + g.no - 1 AS id, p.pool_id, p.batch_id, substr(p.fingerprints, 16 * g.no - 15, 16) AS fingerprint,
        substr(p.contents, coalesce(p.ends[g.no - 1], 0) + 1, p.ends[g.no] - coalesce(p.ends[g.no - 1], 0)) AS content,
        p.expires_at[g.no] AS expires_at, p.give_until[g.no] AS give_until
    FROM key_packs p CROSS JOIN LATERAL generate_series(1, cardinality(p.ends)) AS g (no)
    WHERE g.no <> ALL (p.gone);

-- That no key is imported twice is said here for all of them, packed or not, so that selling one touches no index of
-- fingerprints. Older builds know a duplicate by the name of the constraint.
ALTER INDEX pool_keys_once RENAME TO pool_keys_fingerprint;
CREATE TABLE key_fingerprints (
    fingerprint bytea CONSTRAINT pool_keys_once PRIMARY KEY,
    key_id      bigint NOT NULL
);

-- An import writes the fingerprints itself; what else makes a row of a key (an older build) has them written here.
-- +goose StatementBegin
CREATE FUNCTION keep_fingerprints() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO key_fingerprints (fingerprint, key_id)
        SELECT a.fingerprint, a.id FROM added a
        WHERE a.state <> 'withdrawn' -- a look for each: a join might go through all fingerprints
            AND (SELECT count(*) FROM key_fingerprints f WHERE f.fingerprint = a.fingerprint AND f.key_id = a.id) = 0
        ORDER BY a.fingerprint;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER pool_keys_added AFTER INSERT ON pool_keys REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keep_fingerprints();

ALTER TABLE batches ADD COLUMN undone_by text NOT NULL DEFAULT '';
CREATE TABLE withdrawn_packs (LIKE key_packs INCLUDING STORAGE INCLUDING CONSTRAINTS, PRIMARY KEY (first_id)) WITH (toast_tuple_target = 8160); -- of such imports: no key is ever deleted

-- The keys of an import that was undone may be imported again. (The first imports did not note where their keys are.)
-- +goose StatementBegin
CREATE FUNCTION drop_fingerprints() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM key_fingerprints f USING pool_keys k
        WHERE k.id > coalesce(NEW.first_key, 0) AND k.id <= coalesce(NEW.last_key, 9223372036854775807) AND k.batch_id = NEW.id AND k.state = 'withdrawn'
            AND f.fingerprint = k.fingerprint AND f.key_id = k.id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER batches_undone AFTER UPDATE OF undone_at ON batches
    FOR EACH ROW WHEN (OLD.undone_at IS NULL AND NEW.undone_at IS NOT NULL) EXECUTE FUNCTION drop_fingerprints();

-- A recall is not over while keys of its batch lie in packs, of which an older build does not know.
-- +goose StatementBegin
CREATE FUNCTION go_on_recalling() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM key_packs WHERE first_id > NEW.first_key AND first_id <= NEW.last_key AND batch_id = NEW.id) THEN
        NEW.recalled_to := OLD.recalled_to;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER batches_recalled BEFORE UPDATE OF recalled_to ON batches
    FOR EACH ROW WHEN (OLD.recalled_to IS NOT NULL AND NEW.recalled_to IS NULL) EXECUTE FUNCTION go_on_recalling();

-- Two seconds for each million keys, in which claims wait.
SET LOCAL statement_timeout = 0;
SET LOCAL enable_seqscan = on;
INSERT INTO key_fingerprints (fingerprint, key_id) SELECT fingerprint, id FROM pool_keys WHERE state <> 'withdrawn' ORDER BY fingerprint;
DROP INDEX pool_keys_fingerprint;

-- +goose Down
SELECT 'there is no way back from this version' WHERE false;
