-- +goose Up
-- Orders in any status, for the lists and for the look at what has no workflow; and e-mails that are not a line's first,
-- for the same look.
CREATE INDEX orders_by_any_status ON orders (status, created_at, id);
DROP INDEX orders_by_status;
CREATE INDEX deliveries_to_follow ON deliveries (created_at) WHERE status <> 'SENT' AND (number > 1 OR kind <> 'keys');
