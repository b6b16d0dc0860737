-- +goose Up
-- What is owed is seen when it stands still, and nobody who stands still keeps others waiting.

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'Internal',
    'Manual', 'Refund', 'Revocation', 'Exposed', 'Undelivered', 'Restored', 'PartnerAnsweredDifferently',
    'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew', 'LowStock', 'RunsDry', 'Owed',
    'Audit'));
-- Until when a process is mailing the alert. It holds no lock meanwhile: a mail server may take half a minute.
ALTER TABLE alerts ADD COLUMN telling_until timestamptz;
-- When what the alert tells of was seen last, where nobody else would close it.
ALTER TABLE alerts ADD COLUMN heard_at timestamptz;

-- How often the relay has taken the entry: due_at moves at each time, so it does not show for how long it has failed.
ALTER TABLE outbox ADD COLUMN tries int NOT NULL DEFAULT 0;

-- When giving the new key failed last. Such a one is tried again after the others, and holds up no sale of the pool.
ALTER TABLE replacements ADD COLUMN failed_at timestamptz;
CREATE INDEX replacements_owed_by_pool ON replacements (pool_id) WHERE status = 'OWED';

-- The quantity mode of the product when the line was sold: what was paid stays what is delivered, whatever becomes of
-- the product. NULL: of a line from before, or of a build that does not know the column; the product's mode of today.
ALTER TABLE line_items ADD COLUMN quantity_mode text;
UPDATE line_items l SET quantity_mode = coalesce(CAST(p.spec AS json) ->> 'quantityMode', 'one_per_unit')
    FROM products p WHERE p.id = l.product_id AND l.status NOT IN ('DELIVERED', 'CANCELED');

-- Of a key that was recalled after its customer was erased, the reason was copied; the audit took it for a leak.
UPDATE replacements r SET reason = '[erased]' FROM line_items l JOIN orders o ON o.id = l.order_id
    WHERE l.id = r.line_id AND o.customer = '' AND r.reason <> '[erased]';

-- +goose Down
SELECT 'there is no way back from here' WHERE false;
