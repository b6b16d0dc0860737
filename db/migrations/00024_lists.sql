-- +goose NO TRANSACTION
-- +goose Up
-- What lists of orders and alerts go by under each of their filters. Built while orders come in; what a broken build left
-- is made anew.
DROP INDEX IF EXISTS orders_by_merchant_any_status;
CREATE INDEX CONCURRENTLY orders_by_merchant_any_status ON orders
    (split_part(id, ':', 1), status, created_at, id) WHERE strpos(id, ':') > 0;
DROP INDEX CONCURRENTLY IF EXISTS orders_by_merchant_status;

DROP INDEX IF EXISTS alerts_by_cause;
CREATE INDEX CONCURRENTLY alerts_by_cause ON alerts (cause, id);
DROP INDEX IF EXISTS alerts_open_by_cause;
CREATE INDEX CONCURRENTLY alerts_open_by_cause ON alerts (cause, id) WHERE closed_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS alerts_open;
DROP INDEX IF EXISTS alerts_by_merchant_cause;
CREATE INDEX CONCURRENTLY alerts_by_merchant_cause ON alerts
    (split_part(alert_subject(pool_id, subject, detail), ':', 1), cause, id)
    WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0;
DROP INDEX IF EXISTS alerts_open_by_merchant_cause;
CREATE INDEX CONCURRENTLY alerts_open_by_merchant_cause ON alerts
    (split_part(alert_subject(pool_id, subject, detail), ':', 1), cause, id)
    WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0 AND closed_at IS NULL;
