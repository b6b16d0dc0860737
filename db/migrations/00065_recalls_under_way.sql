-- +goose Up
-- Every claim asks which batches of its pool are being recalled: nearly always none.
CREATE INDEX batches_in_recall ON batches (pool_id) WHERE recalled_to IS NOT NULL;

-- +goose Down
SELECT 'there is no way back from this version' WHERE false;
