-- +goose NO TRANSACTION
-- +goose Up
-- Since when nothing personal is left of an unused link, or of a payment that made no order. Built while customers pay;
-- what a broken build left is made anew.
ALTER TABLE checkout_links ADD COLUMN IF NOT EXISTS blanked_at timestamptz;
ALTER TABLE payments ADD COLUMN IF NOT EXISTS blanked_at timestamptz;
ALTER TABLE payments DROP CONSTRAINT IF EXISTS payments_blanked;
ALTER TABLE payments ADD CONSTRAINT payments_blanked
    CHECK (blanked_at IS NULL OR snapshot = '' AND session_url IS NULL) NOT VALID;
ALTER TABLE payments VALIDATE CONSTRAINT payments_blanked;

-- what is to be blanked
DROP INDEX IF EXISTS checkout_links_to_blank;
CREATE INDEX CONCURRENTLY checkout_links_to_blank ON checkout_links (ended_at)
    WHERE status IN ('EXPIRED', 'CANCELED') AND blanked_at IS NULL;
DROP INDEX IF EXISTS payments_to_blank;
CREATE INDEX CONCURRENTLY payments_to_blank ON payments (ended_at)
    WHERE order_id IS NULL AND blanked_at IS NULL AND ended_at IS NOT NULL;

-- +goose Down
SELECT 'there is no way back' WHERE false;
