-- +goose Up
-- What mail servers and providers report of e-mails that they had taken.
CREATE TABLE bounces (
    id          uuid PRIMARY KEY,
    delivery_id uuid NOT NULL REFERENCES deliveries,
    kind        text NOT NULL,
    status      text NOT NULL DEFAULT '',  -- RFC 3463, such as 5.1.1; empty: none was given
    diagnostic  bytea NOT NULL DEFAULT '', -- what the server said, which often names the recipient: sealed
    via         text NOT NULL,
    replaced    boolean NOT NULL,          -- it concerns nobody: a newer e-mail had taken this one's place
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT bounces_once UNIQUE (delivery_id, kind),
    CONSTRAINT bounces_kind CHECK (kind IN
        ('bad_address', 'refused', 'undeliverable', 'complaint', 'delayed', 'unknown')),
    CONSTRAINT bounces_via CHECK (via IN ('smtp', 'imap', 'ses', 'postmark', 'mailgun', 'sendgrid'))
);
CREATE INDEX bounces_kept ON bounces (at) WHERE diagnostic <> '';

-- Addresses that were given in place of one whose e-mails came back.
CREATE TABLE address_changes (
    id         uuid PRIMARY KEY,
    order_id   text NOT NULL REFERENCES orders,
    number     integer,        -- of the customer's own, of whom there are three at most; null: an operator's
    line_id    uuid NOT NULL REFERENCES line_items,
    address    bytea NOT NULL, -- sealed
    by         text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at    timestamptz,    -- null: it waits for a person's yes
    done_by    text,
    CONSTRAINT address_changes_number UNIQUE (order_id, number),
    CONSTRAINT address_changes_most CHECK (number BETWEEN 1 AND 3),
    CONSTRAINT address_changes_done CHECK ((done_at IS NULL) = (done_by IS NULL))
);
CREATE INDEX address_changes_of_line ON address_changes (line_id);

-- E-mails that were sent to find out whether what cannot be delivered comes back.
CREATE TABLE mail_probes (
    id          uuid PRIMARY KEY,
    sent_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    returned_at timestamptz,
    kind        text,
    via         text,
    CONSTRAINT mail_probes_returned CHECK ((returned_at IS NULL) = (kind IS NULL) AND (kind IS NULL) = (via IS NULL))
);

ALTER TABLE customers ADD COLUMN bad_address_tag bytea; -- a keyed hash of the address that nobody has

-- The news of a new address goes to the old one.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION delivery_is_consistent(kind text, status text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN kind IN ('keys', 'canceled', 'addressChanged') AND status IN ('READY', 'SENDING', 'SENT');
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION bounce_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM note_event('email.bounced', l.order_id, json_build_object('line', l.id, 'delivery', NEW.delivery_id,
        'bounce', NEW.kind, 'code', NEW.status))
    FROM deliveries y JOIN line_items l ON l.id = y.line_id WHERE y.id = NEW.delivery_id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER bounce_events AFTER INSERT ON bounces FOR EACH ROW
    WHEN (NOT NEW.replaced AND NEW.kind IN ('bad_address', 'refused', 'undeliverable', 'complaint')
        AND pg_sequence_last_value('webhooks_seen') IS NOT NULL)
    EXECUTE FUNCTION bounce_events();

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'ManualRefund', 'Revocation', 'Exposed', 'Undelivered', 'Bounced', 'Restored',
    'PartnerAnsweredDifferently', 'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew',
    'LowStock', 'RunsDry', 'Owed', 'Audit', 'SearchAttributes',
    'Capture', 'LatePayment', 'Mismatch', 'NotAccepted', 'ProcessorDown', 'ProcessorRefuses', 'UnknownPayment',
    'CardTesting', 'WebhookFailing', 'RefundPending', 'RefundFailed', 'ProcessorMode', 'ExternalRefund', 'Dispute',
    'FraudWarning')) NOT VALID;
ALTER TABLE alerts VALIDATE CONSTRAINT alerts_cause_check;

-- +goose Down
SELECT 'there is no way back' WHERE false;
