-- +goose NO TRANSACTION
-- +goose Up
-- Alerts of payment providers that refuse to open payments. Validated while alerts are written.
ALTER TABLE alerts DROP CONSTRAINT IF EXISTS alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes',
    'Capture', 'LatePayment', 'Mismatch', 'NotAccepted', 'ProcessorDown', 'ProcessorRefuses', 'UnknownPayment',
    'CardTesting')) NOT VALID;
ALTER TABLE alerts VALIDATE CONSTRAINT alerts_cause_check;

-- +goose Down
SELECT 'there is no way back' WHERE false;
