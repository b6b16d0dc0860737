-- +goose Up
-- When a line that waits for its partner was called up last: one that came and still waits for its turn is not called
-- again.
ALTER TABLE partner_queue ADD COLUMN called_at timestamptz;

-- +goose Down
SELECT 'there is no way back: the tables hold what is under way' WHERE false;
