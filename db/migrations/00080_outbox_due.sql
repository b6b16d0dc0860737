-- +goose Up
-- The relay looks every second for what is due. After a long outage thousands of errands lie here, and most are not due yet.
CREATE INDEX outbox_due ON outbox (due_at);

-- +goose Down
DROP INDEX outbox_due;
