-- +goose NO TRANSACTION
-- +goose Up
-- What workers look for that only the clock decides. Built while orders come in; what a broken build left is made anew.
DROP INDEX IF EXISTS licenses_expiring;
CREATE INDEX CONCURRENTLY licenses_expiring ON licenses (expires_at) WHERE expires_at IS NOT NULL;
DROP INDEX IF EXISTS payments_expired;
CREATE INDEX CONCURRENTLY payments_expired ON payments (ended_at) WHERE status = 'EXPIRED';

-- +goose Down
SELECT 'there is no way back' WHERE false;
