-- +goose NO TRANSACTION
-- +goose Up
-- E-mails that are not a line's first, for the look at what has no workflow. The status is not in the index: with it,
-- each change of the status of any e-mail wrote all indexes of its row. Built while e-mails are written; what a broken
-- build left is made anew.
DROP INDEX IF EXISTS deliveries_follow_ups;
CREATE INDEX CONCURRENTLY deliveries_follow_ups ON deliveries (created_at) WHERE number > 1 OR kind <> 'keys';
DROP INDEX CONCURRENTLY IF EXISTS deliveries_to_follow;

-- +goose Down
SELECT 'there is no way back' WHERE false;
