-- +goose Up
-- Reports about e-mails that are about an order as a whole, and about links to libraries.
ALTER TABLE bounces ALTER COLUMN delivery_id DROP NOT NULL;
ALTER TABLE bounces ADD COLUMN payment_mail_id uuid REFERENCES payment_mails;
ALTER TABLE bounces ADD COLUMN library_link_id uuid REFERENCES library_links;
ALTER TABLE bounces ADD CONSTRAINT bounces_of CHECK (num_nonnulls(delivery_id, payment_mail_id, library_link_id) = 1);
CREATE UNIQUE INDEX bounces_of_payment ON bounces (payment_mail_id, kind) WHERE payment_mail_id IS NOT NULL;
CREATE UNIQUE INDEX bounces_of_library ON bounces (library_link_id, kind) WHERE library_link_id IS NOT NULL;

-- A change of an order's address may be about no line of it, and is carried out e-mail by e-mail.
ALTER TABLE address_changes ALTER COLUMN line_id DROP NOT NULL;
ALTER TABLE address_changes ADD COLUMN carry_at timestamptz; -- since when there are e-mails to make anew; null: there are none
ALTER TABLE address_changes ADD CONSTRAINT address_changes_carried CHECK (carry_at IS NULL OR done_at IS NOT NULL);
CREATE INDEX address_changes_to_carry ON address_changes (carry_at) WHERE carry_at IS NOT NULL;

-- The change of its order's address that an e-mail was made anew for.
ALTER TABLE deliveries ADD COLUMN change_id uuid;
ALTER TABLE payment_mails ADD COLUMN change_id uuid;
ALTER TABLE payment_mails ADD CONSTRAINT payment_mails_change CHECK (kind <> 'addressChanged' OR change_id IS NOT NULL);
ALTER TABLE payment_mails DROP CONSTRAINT payment_mails_kind;
ALTER TABLE payment_mails ADD CONSTRAINT payment_mails_kind CHECK (kind IN ('confirmation', 'refused', 'ended', 'corrected',
    'orderPage', 'withdrawal', 'addressChanged'));
-- nobody is told twice, but at another address, or of the address that they ask for
DROP INDEX payment_mails_once;
CREATE UNIQUE INDEX payment_mails_once ON payment_mails (payment_id, kind) WHERE kind <> 'orderPage' AND change_id IS NULL;
CREATE UNIQUE INDEX payment_mails_anew ON payment_mails (change_id, kind) WHERE change_id IS NOT NULL;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION bounce_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.delivery_id IS NOT NULL THEN
        PERFORM note_event('email.bounced', l.order_id, json_build_object('line', l.id, 'delivery', NEW.delivery_id,
            'bounce', NEW.kind, 'code', NEW.status))
        FROM deliveries y JOIN line_items l ON l.id = y.line_id WHERE y.id = NEW.delivery_id;
    ELSIF NEW.payment_mail_id IS NOT NULL THEN
        PERFORM note_event('email.bounced', p.order_id, json_build_object('payment', p.id, 'delivery', m.id,
            'bounce', NEW.kind, 'code', NEW.status))
        FROM payment_mails m JOIN payments p ON p.id = m.payment_id
        WHERE m.id = NEW.payment_mail_id AND p.order_id IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose Down
SELECT 'there is no way back' WHERE false;
