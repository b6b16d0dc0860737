-- +goose Up
-- Disputes, warnings and others' refunds of payments that orders came in paid with, which have no row in payments.
ALTER TABLE payment_aftermath ALTER COLUMN payment_id DROP NOT NULL;
ALTER TABLE payment_aftermath ADD COLUMN reference text NOT NULL DEFAULT ''; -- the provider's, of such a payment
ALTER TABLE payment_aftermath ADD CONSTRAINT payment_aftermath_of CHECK ((payment_id IS NULL) = (reference <> ''));
CREATE INDEX payment_aftermath_of_reference ON payment_aftermath (provider, reference) WHERE payment_id IS NULL;

-- When a payment's session was first asked for: one that never was may be given up without asking its provider.
ALTER TABLE payments ADD COLUMN opening_at timestamptz;
UPDATE payments SET opening_at = created_at WHERE status = 'CREATED';

-- Where customers ordered, and looked at keys, from: encrypted.
ALTER TABLE access_log ADD COLUMN address bytea;

-- +goose Down
SELECT 'there is no way back' WHERE false;
