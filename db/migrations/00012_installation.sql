-- +goose Up
-- What a first start is checked against: the key file that belongs to the database, and Temporal's search attributes.

-- One row: which key file the first process was started with. Another one is refused, also before there are secrets
-- that it could not open.
CREATE TABLE installation (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    key_file bytea NOT NULL,                  -- a keyed hash under the file's hash key, which no rotation changes
    bound_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal',
    'Manual', 'Refund', 'Revocation', 'Exposed', 'Undelivered', 'Restored', 'PartnerAnsweredDifferently',
    'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew', 'LowStock', 'RunsDry', 'Owed',
    'Audit', 'SearchAttributes'));
