-- +goose Up
-- Events of refunds, licences, checkout links, payments, alerts, pools and partners.

-- note_event writes an event if a webhook wants it.
-- +goose StatementBegin
CREATE FUNCTION note_event(p_type text, p_about text, p_facts json) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    IF p_type IS NOT NULL AND event_wanted(p_type, coalesce(p_about, '')) THEN
        INSERT INTO events (type, about, facts) VALUES (p_type, coalesce(p_about, ''), p_facts);
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION refund_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE NEW.status WHEN 'DONE' THEN 'refund.completed' ELSE 'refund.failed' END, NEW.order_id,
            json_build_object('line', NEW.line_id, 'amount', NEW.amount_minor, 'currency', NEW.currency));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER refund_events AFTER UPDATE OF status, failed_at ON refunds FOR EACH ROW
    WHEN (NEW.status = 'DONE' AND OLD.status <> 'DONE'
        OR NEW.status <> 'DONE' AND OLD.failed_at IS NULL AND NEW.failed_at IS NOT NULL) EXECUTE FUNCTION refund_events();

-- +goose StatementBegin
CREATE FUNCTION payment_refund_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE NEW.status WHEN 'DONE' THEN 'refund.completed' ELSE 'refund.failed' END,
            p.link_order_id, json_build_object('payment', p.id, 'amount', NEW.amount_minor, 'currency', NEW.currency))
        FROM payments p WHERE p.id = NEW.payment_id;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER payment_refund_events AFTER UPDATE OF status, failed_at ON payment_refunds FOR EACH ROW
    WHEN (NEW.status = 'DONE' AND OLD.status <> 'DONE'
        OR NEW.status <> 'DONE' AND OLD.failed_at IS NULL AND NEW.failed_at IS NOT NULL) EXECUTE FUNCTION payment_refund_events();

-- A licence is made and cancelled by its own row, and changed by a step.
-- +goose StatementBegin
CREATE FUNCTION license_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE TG_OP WHEN 'INSERT' THEN 'license.created' ELSE 'license.canceled' END, l.order_id,
            json_build_object('license', NEW.id, 'status', NEW.status, 'product', NEW.product_id,
                'expiresAt', NEW.expires_at, 'line', NEW.line_id))
        FROM line_items l WHERE l.id = NEW.line_id;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER license_created AFTER INSERT ON licenses FOR EACH ROW EXECUTE FUNCTION license_events();
CREATE TRIGGER license_canceled AFTER UPDATE OF status ON licenses FOR EACH ROW
    WHEN (NEW.status = 'Canceled' AND OLD.status <> 'Canceled') EXECUTE FUNCTION license_events();

-- +goose StatementBegin
CREATE FUNCTION license_step_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event('license.' || CASE NEW.operation WHEN 'renew' THEN 'renewed' WHEN 'upgrade' THEN 'upgraded'
                WHEN 'pause' THEN 'paused' WHEN 'resume' THEN 'resumed' END, l.order_id,
            json_build_object('license', c.id, 'status', c.status, 'product', c.product_id, 'expiresAt', c.expires_at,
                'line', NEW.line_id))
        FROM licenses c, line_items l WHERE c.id = NEW.license_id AND l.id = NEW.line_id;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER license_step_events AFTER INSERT ON license_steps FOR EACH ROW WHEN (NEW.operation <> 'cancel')
    EXECUTE FUNCTION license_step_events();

-- +goose StatementBegin
CREATE FUNCTION link_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := 'checkout.link_created';
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_types) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        what := CASE WHEN OLD.opened_at IS NULL AND NEW.opened_at IS NOT NULL THEN 'checkout.link_opened'
            ELSE 'checkout.link_' || lower(NEW.status) END;
    END IF;
    PERFORM note_event(what, NEW.order_id,
        json_build_object('link', NEW.id, 'status', NEW.status, 'version', NEW.version));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER link_created AFTER INSERT ON checkout_links FOR EACH ROW EXECUTE FUNCTION link_events();
CREATE TRIGGER link_events AFTER UPDATE OF status, opened_at ON checkout_links FOR EACH ROW
    WHEN (OLD.opened_at IS NULL AND NEW.opened_at IS NOT NULL
        OR OLD.status <> NEW.status AND NEW.status IN ('USED', 'EXPIRED', 'CANCELED'))
    EXECUTE FUNCTION link_events();

-- +goose StatementBegin
CREATE FUNCTION payment_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event('payment.' || lower(NEW.status), NEW.link_order_id, json_build_object('payment', NEW.id,
            'link', NEW.link_id, 'status', NEW.status, 'version', NEW.version, 'currency', NEW.currency,
            'authorized', NEW.authorized_minor, 'captured', NEW.captured_minor, 'captureBy', NEW.capture_by, 'refunded',
            coalesce((SELECT sum(r.amount_minor) FROM refunds r JOIN line_items l ON l.id = r.line_id
                WHERE l.order_id = NEW.order_id AND r.status = 'DONE'), 0)
            + coalesce((SELECT amount_minor FROM payment_refunds
                WHERE payment_id = NEW.id AND status = 'DONE'), 0)));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER payment_events AFTER UPDATE OF status ON payments FOR EACH ROW
    WHEN (OLD.status <> NEW.status
        AND NEW.status IN ('PROCESSING', 'AUTHORIZED', 'CAPTURED', 'VOIDED', 'LOST', 'FAILED', 'MISMATCH'))
    EXECUTE FUNCTION payment_events();

-- Alerts; and what they tell of partners and pools, for whom an alert is the state. Of a detail only IDs are taken.
-- +goose StatementBegin
CREATE FUNCTION alert_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    opened boolean := NEW.closed_at IS NULL;
    whose text;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_types) THEN
        RETURN NULL;
    END IF;
    whose := alert_subject(NEW.pool_id, NEW.subject, NEW.detail);
    PERFORM note_event(CASE WHEN opened THEN 'alert.opened' ELSE 'alert.closed' END, whose,
        json_build_object('alert', NEW.id, 'cause', NEW.cause, 'pool', NEW.pool_id, 'subject', NEW.subject,
            'line', NEW.line_id, 'order', CAST(NEW.detail AS json) ->> 'orderId'));
    PERFORM note_event(CASE
            WHEN NEW.cause = 'PartnerDown' AND opened THEN 'partner.down'
            WHEN NEW.cause = 'PartnerBack' AND opened THEN 'partner.back'
            WHEN NEW.cause = 'LowStock' AND opened THEN 'pool.threshold_reached'
            WHEN NEW.cause = 'LowStock' THEN 'pool.refilled' END,
        whose, json_build_object('pool', NEW.pool_id, 'integration', whose,
            'available', (SELECT coalesce(sum(available), 0) FROM pool_stock s WHERE s.pool_id = NEW.pool_id)));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER alert_opened AFTER INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION alert_events();
CREATE TRIGGER alert_events AFTER UPDATE OF closed_at ON alerts FOR EACH ROW
    WHEN ((OLD.closed_at IS NULL) <> (NEW.closed_at IS NULL)) EXECUTE FUNCTION alert_events();

ALTER TABLE pools ADD COLUMN empty_since timestamptz; -- it has sold its last key

-- +goose StatementBegin
CREATE FUNCTION pool_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    -- with a threshold, the end of its alert is the news
    IF EXISTS (SELECT FROM webhook_types) AND (NEW.empty_since IS NOT NULL
            OR coalesce(CAST(NEW.spec AS json) ->> 'threshold', '0') = '0') THEN
        PERFORM note_event(CASE WHEN NEW.empty_since IS NULL THEN 'pool.refilled' ELSE 'pool.empty' END, NEW.id,
            json_build_object('pool', NEW.id, 'available',
                (SELECT coalesce(sum(available), 0) FROM pool_stock s WHERE s.pool_id = NEW.id)));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER pool_events AFTER UPDATE OF empty_since ON pools FOR EACH ROW
    WHEN ((OLD.empty_since IS NULL) <> (NEW.empty_since IS NULL)) EXECUTE FUNCTION pool_events();

-- What only the clock decides is looked for by workers: up to when they have.
CREATE TABLE event_watch (
    what text PRIMARY KEY,
    upto timestamptz NOT NULL,
    CONSTRAINT event_watch_what CHECK (what IN ('license.expired', 'checkout.abandoned'))
);
INSERT INTO event_watch (what, upto) VALUES ('license.expired', now()), ('checkout.abandoned', now());

-- +goose Down
SELECT 'there is no way back' WHERE false;
