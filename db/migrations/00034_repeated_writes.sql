-- +goose Up
-- What is known of writes at a payment provider that forgets idempotency keys after a day: under which key one is asked
-- for, since when, and since when the provider answers under it that it has failed.
ALTER TABLE refunds ADD COLUMN key_no int NOT NULL DEFAULT 1;
ALTER TABLE refunds ADD COLUMN key_since timestamptz;
ALTER TABLE refunds ADD COLUMN key_failed_at timestamptz;
ALTER TABLE refunds ADD COLUMN under_way_since timestamptz; -- the provider has taken it on, and the money is not back
ALTER TABLE refunds ADD COLUMN failed_at timestamptz;       -- it failed for good after it was taken on
ALTER TABLE payment_refunds ADD COLUMN key_no int NOT NULL DEFAULT 1;
ALTER TABLE payment_refunds ADD COLUMN key_since timestamptz;
ALTER TABLE payment_refunds ADD COLUMN key_failed_at timestamptz;
ALTER TABLE payment_refunds ADD COLUMN under_way_since timestamptz;
ALTER TABLE payment_refunds ADD COLUMN failed_at timestamptz;
ALTER TABLE payments ADD COLUMN open_failed_at timestamptz; -- since when opening under open_no is answered so

-- What this installation is called at payment providers that it may share with others. It never changes.
ALTER TABLE installation ADD COLUMN name text CHECK (name ~ '^[a-z0-9-]{3,32}$');

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes',
    'Capture', 'LatePayment', 'Mismatch', 'NotAccepted', 'ProcessorDown', 'ProcessorRefuses', 'UnknownPayment',
    'CardTesting', 'WebhookFailing', 'RefundPending', 'RefundFailed', 'ProcessorMode')) NOT VALID;
ALTER TABLE alerts VALIDATE CONSTRAINT alerts_cause_check;
