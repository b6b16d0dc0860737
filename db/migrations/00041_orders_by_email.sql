-- +goose NO TRANSACTION
-- +goose Up
-- What a library lists, and the orders that housekeeping has not come to. Built while orders come in; what a broken build
-- left is made anew.
DROP INDEX IF EXISTS orders_by_email;
CREATE INDEX CONCURRENTLY orders_by_email ON orders (email_tag, created_at, id) WHERE email_tag IS NOT NULL;
DROP INDEX IF EXISTS orders_untagged;
CREATE INDEX CONCURRENTLY orders_untagged ON orders (created_at, id) WHERE email_tag IS NULL AND customer <> '';

-- +goose Down
SELECT 'there is no way back' WHERE false;
