-- +goose Up
-- Who confirmed a refund that a person makes (provider manual); provider_id is what they named it by.

ALTER TABLE refunds ADD COLUMN confirmed_by text, ADD COLUMN confirm_reason text;

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes'));

-- +goose Down
SELECT 'there is no way back' WHERE false;
