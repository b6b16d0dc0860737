-- +goose Up
-- Events of what comes of a payment after it was taken: disputes, warnings of fraud, refunds that others made. And a
-- refund that fails is told as that, also after it counted as done; nothing that was not charged is told as refunded.

-- payment_facts is what an event tells of a payment.
-- +goose StatementBegin
CREATE FUNCTION payment_facts(p_payment uuid) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN
    RETURN (
        SELECT jsonb_build_object('payment', p.id, 'link', p.link_id, 'status', p.status, 'version', p.version,
            'currency', p.currency, 'authorized', p.authorized_minor, 'captured', p.captured_minor,
            'captureBy', p.capture_by, 'refunded',
            coalesce((SELECT sum(r.amount_minor) FROM refunds r JOIN line_items l ON l.id = r.line_id
                WHERE l.order_id = p.order_id AND r.status = 'DONE'), 0)
            + coalesce((SELECT amount_minor FROM payment_refunds WHERE payment_id = p.id AND status = 'DONE'), 0))
        FROM payments p WHERE p.id = p_payment);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION payment_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event('payment.' || lower(NEW.status), NEW.link_order_id, CAST(payment_facts(NEW.id) AS json));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION aftermath_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE NEW.kind WHEN 'warning' THEN 'payment.fraud_warning'
                WHEN 'dispute' THEN CASE NEW.status WHEN 'open' THEN 'payment.disputed' ELSE 'payment.dispute_closed' END
                WHEN 'refund' THEN CASE NEW.status WHEN '' THEN 'refund.external' END END,
            p.link_order_id, CASE NEW.kind
                WHEN 'refund' THEN json_build_object('payment', p.id, 'amount', NEW.amount_minor, 'currency', NEW.currency)
                WHEN 'dispute' THEN CAST(payment_facts(p.id) || jsonb_build_object('dispute', jsonb_build_object('id', NEW.id,
                    'status', NEW.status, 'amount', NEW.amount_minor, 'currency', NEW.currency, 'dueAt', NEW.due_at)) AS json)
                ELSE CAST(payment_facts(p.id) AS json) END)
        FROM payments p WHERE p.id = NEW.payment_id;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER aftermath_events AFTER INSERT OR UPDATE OF status ON payment_aftermath FOR EACH ROW
    EXECUTE FUNCTION aftermath_events();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refund_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE WHEN NEW.failed_at IS NULL THEN 'refund.completed' ELSE 'refund.failed' END, NEW.order_id,
            json_build_object('line', NEW.line_id, 'amount', NEW.amount_minor, 'currency', NEW.currency));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
DROP TRIGGER refund_events ON refunds;
CREATE TRIGGER refund_events AFTER UPDATE OF status, failed_at ON refunds FOR EACH ROW
    WHEN (OLD.failed_at IS NULL AND NEW.failed_at IS NOT NULL OR OLD.status <> 'DONE' AND NEW.status = 'DONE'
        AND NEW.failed_at IS NULL AND NEW.amount_minor > 0) EXECUTE FUNCTION refund_events();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION payment_refund_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE WHEN NEW.failed_at IS NULL THEN 'refund.completed' ELSE 'refund.failed' END,
            p.link_order_id, json_build_object('payment', p.id, 'amount', NEW.amount_minor, 'currency', NEW.currency))
        FROM payments p WHERE p.id = NEW.payment_id;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
DROP TRIGGER payment_refund_events ON payment_refunds;
CREATE TRIGGER payment_refund_events AFTER UPDATE OF status, failed_at ON payment_refunds FOR EACH ROW
    WHEN (OLD.failed_at IS NULL AND NEW.failed_at IS NOT NULL OR OLD.status <> 'DONE' AND NEW.status = 'DONE'
        AND NEW.failed_at IS NULL AND NEW.amount_minor > 0) EXECUTE FUNCTION payment_refund_events();

-- +goose Down
SELECT 'there is no way back' WHERE false;
