-- +goose NO TRANSACTION
-- +goose Up
-- Alerts of webhooks that are switched off. Validated while alerts are written.
ALTER TABLE alerts DROP CONSTRAINT IF EXISTS alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes',
    'Capture', 'LatePayment', 'Mismatch', 'NotAccepted', 'ProcessorDown', 'ProcessorRefuses', 'UnknownPayment',
    'CardTesting', 'WebhookFailing')) NOT VALID;
ALTER TABLE alerts VALIDATE CONSTRAINT alerts_cause_check;

-- An alert about a webhook is about its ID. None is there yet, so that no index changes.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION alert_subject(pool_id text, subject text, detail text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    -- the ID that an alert is about: of a pool, of the integration in "endpoint/acme", of the webhook in
    -- "webhook/shop", or of the order of a line or a payment
    RETURN CASE
        WHEN pool_id IS NOT NULL THEN pool_id
        WHEN subject LIKE 'endpoint/%' THEN substr(subject, 10)
        WHEN subject LIKE 'webhook/%' THEN substr(subject, 9)
        WHEN subject IS NULL OR subject LIKE 'payment/%' THEN coalesce(CAST(detail AS json) ->> 'orderId', '')
        ELSE '' END;
END $$;
-- +goose StatementEnd

-- +goose Down
SELECT 'there is no way back' WHERE false;
