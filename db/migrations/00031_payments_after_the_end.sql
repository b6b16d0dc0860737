-- +goose NO TRANSACTION
-- +goose Up
-- Payments that were taken after they had ended uncharged go back, and their customers are told.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION payment_may_become(from_status text, to_status text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'CREATED>OPEN', 'CREATED>EXPIRED', 'CREATED>CAPTURED',
        'OPEN>PROCESSING', 'OPEN>EXPIRED', 'OPEN>MISMATCH', 'OPEN>AUTHORIZED', 'OPEN>CAPTURED', 'OPEN>VOIDING',
        'PROCESSING>FAILED', 'PROCESSING>MISMATCH', 'PROCESSING>AUTHORIZED', 'PROCESSING>CAPTURED',
        'PROCESSING>VOIDING',
        'FAILED>CAPTURED', 'FAILED>VOIDING', 'EXPIRED>CAPTURED', 'EXPIRED>VOIDING',
        'MISMATCH>AUTHORIZED', 'MISMATCH>CAPTURED', 'MISMATCH>VOIDING',
        'AUTHORIZED>CAPTURING', 'AUTHORIZED>VOIDING', 'AUTHORIZED>LOST',
        'CAPTURING>CAPTURED', 'CAPTURING>VOIDING', 'CAPTURING>LOST',
        'VOIDING>CAPTURED', 'VOIDING>VOIDED', 'VOIDED>CAPTURED', 'LOST>CAPTURED');
END $$;
-- +goose StatementEnd
ALTER TABLE payment_mails DROP CONSTRAINT IF EXISTS payment_mails_kind;
ALTER TABLE payment_mails ADD CONSTRAINT payment_mails_kind
    CHECK (kind IN ('confirmation', 'refused', 'ended', 'corrected', 'orderPage', 'withdrawal')) NOT VALID;
ALTER TABLE payment_mails VALIDATE CONSTRAINT payment_mails_kind;

-- An alert about a payment is about the order that its checkout link makes. The indexes take in what is there.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION alert_subject(pool_id text, subject text, detail text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    -- the ID that an alert is about: of a pool, of the integration in "endpoint/acme", or of the order of a line or a
    -- payment
    RETURN CASE
        WHEN pool_id IS NOT NULL THEN pool_id
        WHEN subject LIKE 'endpoint/%' THEN substr(subject, 10)
        WHEN subject IS NULL OR subject LIKE 'payment/%' THEN coalesce(CAST(detail AS json) ->> 'orderId', '')
        ELSE '' END;
END $$;
-- +goose StatementEnd
REINDEX INDEX CONCURRENTLY alerts_by_merchant;
REINDEX INDEX CONCURRENTLY alerts_open_by_merchant;
REINDEX INDEX CONCURRENTLY alerts_by_merchant_cause;
REINDEX INDEX CONCURRENTLY alerts_open_by_merchant_cause;

-- +goose Down
SELECT 'there is no way back' WHERE false;
