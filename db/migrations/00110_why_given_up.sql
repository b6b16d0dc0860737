-- +goose Up
-- The kind of the failure that a line was given up for, and that its order was cancelled for; NULL if somebody decided.
-- The customer's e-mail names the reason by it.
ALTER TABLE refunds ADD COLUMN failure_kind text;
ALTER TABLE orders ADD COLUMN cancel_failure text;

-- +goose Down
ALTER TABLE refunds DROP COLUMN failure_kind;
ALTER TABLE orders DROP COLUMN cancel_failure;
