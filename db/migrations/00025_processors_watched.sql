-- +goose Up
-- When a payment was last told of, and asked for: an audit compares the two.
ALTER TABLE payments ADD COLUMN told_at timestamptz;    -- somebody said that it may have changed
ALTER TABLE payments ADD COLUMN asked_at timestamptz;   -- its processor was asked whose answer was booked last
ALTER TABLE payments ADD COLUMN pressed_at timestamptz; -- a visitor of its page had the processor asked
ALTER TABLE provider_events ADD COLUMN payment_id uuid REFERENCES payments; -- that it names; absent: none of ours
ALTER TABLE provider_events ADD COLUMN outcome text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'paid', 'refused'));

-- A processor whose last call got no answer. It goes with the next answer.
CREATE TABLE processor_troubles (
    provider  text PRIMARY KEY,
    failing   text[] NOT NULL,                  -- payments whose calls failed, the first ones
    failure   text NOT NULL,                    -- the kind of the last failure
    since     timestamptz NOT NULL DEFAULT now(),
    opened_at timestamptz                       -- the alert
);

-- A link may be told of without a change of its status: more payments were allowed.
ALTER TABLE link_log DROP CONSTRAINT link_transitions;
ALTER TABLE link_log ADD CONSTRAINT link_transitions
    CHECK (from_status = to_status OR link_may_become(from_status, to_status));

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes',
    'Capture', 'LatePayment', 'Mismatch', 'NotAccepted', 'ProcessorDown', 'UnknownPayment', 'CardTesting'));
