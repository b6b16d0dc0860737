-- +goose Up
-- What an audit put right is in its report. An alert may now be about something that is neither a line nor a pool.
ALTER TABLE alerts ADD COLUMN subject text;
CREATE UNIQUE INDEX alerts_subject ON alerts (subject, cause) WHERE subject IS NOT NULL AND closed_at IS NULL;
CREATE INDEX alerts_open ON alerts (cause) WHERE closed_at IS NULL;

-- +goose Down
DROP INDEX alerts_open;
DROP INDEX alerts_subject;
ALTER TABLE alerts DROP COLUMN subject;
