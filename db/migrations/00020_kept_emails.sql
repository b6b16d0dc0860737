-- +goose NO TRANSACTION
-- +goose Up
-- E-mails whose text is still there: what retention looks for. Built while e-mails are written; what a broken build left
-- is made anew.
DROP INDEX IF EXISTS deliveries_kept;
CREATE INDEX CONCURRENTLY deliveries_kept ON deliveries (created_at) WHERE message <> '';
