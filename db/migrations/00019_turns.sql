-- +goose Up
-- The lines of a large order are started, or woken to be cancelled, in turns: an entry says how far they have come.
ALTER TABLE outbox ADD COLUMN position integer NOT NULL DEFAULT 0;
