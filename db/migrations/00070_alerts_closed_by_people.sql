-- +goose Up
-- Some alerts only a person can end: who did, and what was done.
ALTER TABLE alerts ADD COLUMN closed_by text, ADD COLUMN close_reason text;

-- What was said of a customer's keys is found when the customer is erased.
CREATE INDEX key_log_by_line ON key_log (line_id) WHERE line_id IS NOT NULL;

-- +goose Down
DROP INDEX key_log_by_line;
ALTER TABLE alerts DROP COLUMN close_reason, DROP COLUMN closed_by;
