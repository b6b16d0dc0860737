-- +goose Up
-- What came of payments after they were taken, as their processors list it: refunds that others made, disputes, early
-- fraud warnings.
CREATE TABLE payment_aftermath (
    provider     text NOT NULL,
    id           text NOT NULL,      -- the processor's
    payment_id   uuid NOT NULL REFERENCES payments,
    kind         text NOT NULL CHECK (kind IN ('refund', 'dispute', 'warning')),
    amount_minor bigint NOT NULL DEFAULT 0,
    currency     text NOT NULL DEFAULT '',
    status       text NOT NULL CHECK (status IN ('', 'open', 'won', 'lost', 'failed')),
    reason       text NOT NULL DEFAULT '',
    due_at       timestamptz,        -- of a dispute: until when evidence is to be given
    noted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at    timestamptz,
    PRIMARY KEY (provider, id)
);
CREATE INDEX payment_aftermath_of_payment ON payment_aftermath (payment_id);

-- When each processor was last asked for what came of payments.
CREATE TABLE processor_reviews (
    provider text PRIMARY KEY,
    at       timestamptz NOT NULL
);

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes',
    'Capture', 'LatePayment', 'Mismatch', 'NotAccepted', 'ProcessorDown', 'ProcessorRefuses', 'UnknownPayment',
    'CardTesting', 'WebhookFailing', 'RefundPending', 'RefundFailed', 'ProcessorMode', 'ExternalRefund', 'Dispute',
    'FraudWarning')) NOT VALID;
ALTER TABLE alerts VALIDATE CONSTRAINT alerts_cause_check;
