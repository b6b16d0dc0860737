-- +goose Up
-- Looks at whom an order or a checkout link is for, beside those at a line's keys.
ALTER TABLE access_log ALTER COLUMN line_id DROP NOT NULL;
ALTER TABLE access_log ADD COLUMN subject text; -- order/ORD-1 or link/lnk_1: the person behind it was looked at
ALTER TABLE access_log ADD CONSTRAINT access_log_about CHECK ((line_id IS NULL) = (subject IS NOT NULL));
