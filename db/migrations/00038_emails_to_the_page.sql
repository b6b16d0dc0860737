-- +goose Up
-- An e-mail that leads to the order page in place of its line's keys, because no e-mail can carry them.
ALTER TABLE deliveries ADD COLUMN by_page boolean NOT NULL DEFAULT false;

-- +goose Down
SELECT 'there is no way back' WHERE false;
