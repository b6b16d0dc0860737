-- +goose NO TRANSACTION
-- +goose Up
-- Where a payment was begun from, by the payment. Built while rows are written; what a broken build left is made anew.
DROP INDEX IF EXISTS access_log_ordered;
CREATE INDEX CONCURRENTLY access_log_ordered ON access_log (subject) WHERE what = 'ordered';

-- +goose Down
SELECT 'there is no way back' WHERE false;
