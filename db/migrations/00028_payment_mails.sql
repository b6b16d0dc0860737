-- +goose Up
-- E-mails about a payment of a checkout link and the order that it made: the confirmation, and what comes after. The
-- payment's workflow sends them.
CREATE TABLE payment_mails (
    id         uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments,
    kind       text NOT NULL,
    message    bytea,           -- encrypted; NULL until it is rendered, empty once it was kept long enough
    status     text NOT NULL DEFAULT 'READY',
    due_at     timestamptz,     -- when it may be tried next; while one process sends it, the end of its lease; NULL: never
    attempts   int NOT NULL DEFAULT 0,
    error      text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at    timestamptz,
    CONSTRAINT payment_mails_kind CHECK (kind IN ('confirmation', 'refused', 'ended', 'orderPage', 'withdrawal')),
    CONSTRAINT payment_mails_status CHECK (status IN ('READY', 'SENDING', 'SENT')),
    CONSTRAINT payment_mails_sent CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    CONSTRAINT payment_mails_due CHECK (status <> 'SENT' OR due_at IS NULL)
);
ALTER TABLE payment_mails ALTER COLUMN message SET STORAGE EXTERNAL;
CREATE INDEX payment_mails_of_payment ON payment_mails (payment_id);
-- nobody is told twice, but of the address that they ask for
CREATE UNIQUE INDEX payment_mails_once ON payment_mails (payment_id, kind) WHERE kind <> 'orderPage';
CREATE INDEX payment_mails_due_at ON payment_mails (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payment_mails_kept ON payment_mails (created_at) WHERE message <> '';

-- Until when e-mails with keys wait for the first attempt to send the confirmation; NULL: they do not.
ALTER TABLE payments ADD COLUMN keys_wait_until timestamptz;

-- +goose Down
SELECT 'there is no way back' WHERE false;
