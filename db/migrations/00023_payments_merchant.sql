-- +goose Up
-- The order that a payment's link is for, by which a merchant's payments are found.
ALTER TABLE payments ADD COLUMN link_order_id text;
UPDATE payments p SET link_order_id = k.order_id FROM checkout_links k WHERE k.id = p.link_id;
CREATE INDEX payments_by_merchant ON payments (split_part(link_order_id, ':', 1), created_at, id)
    WHERE strpos(link_order_id, ':') > 0;
CREATE INDEX payments_by_merchant_status ON payments (split_part(link_order_id, ':', 1), status, created_at, id)
    WHERE strpos(link_order_id, ':') > 0;

-- A merchant's links in a status.
CREATE INDEX checkout_links_by_merchant_status ON checkout_links
    (split_part(order_id, ':', 1), status, created_at, id) WHERE strpos(order_id, ':') > 0;
