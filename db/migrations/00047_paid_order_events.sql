-- +goose Up
-- Events of what comes of a payment that orders came in paid with, after it was taken: each of its orders has its own.

-- paid_order_facts is what an event tells of the payment that an order came in paid with: the order's share of it.
-- +goose StatementBegin
CREATE FUNCTION paid_order_facts(p_order text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN
    RETURN (
        SELECT jsonb_build_object('status', 'CAPTURED', 'currency', o.currency, 'authorized', o.gross_minor,
            'captured', o.gross_minor,
            'refunded', coalesce((SELECT sum(r.amount_minor) FROM refunds r JOIN line_items l ON l.id = r.line_id
                WHERE l.order_id = o.id AND r.status = 'DONE'), 0),
            'version', (SELECT sum(l.version) FROM line_items l WHERE l.order_id = o.id))
        FROM orders o WHERE o.id = p_order);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION aftermath_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := CASE NEW.kind WHEN 'warning' THEN 'payment.fraud_warning'
        WHEN 'dispute' THEN CASE NEW.status WHEN 'open' THEN 'payment.disputed' ELSE 'payment.dispute_closed' END
        WHEN 'refund' THEN CASE NEW.status WHEN '' THEN 'refund.external' END END;
    more jsonb := CASE NEW.kind
        WHEN 'refund' THEN jsonb_build_object('amount', NEW.amount_minor, 'currency', NEW.currency)
        WHEN 'dispute' THEN jsonb_build_object('dispute', jsonb_build_object('id', NEW.id, 'status', NEW.status,
            'amount', NEW.amount_minor, 'currency', NEW.currency, 'dueAt', NEW.due_at))
        ELSE '{}' END;
BEGIN
    IF what IS NULL OR NOT EXISTS (SELECT FROM webhook_types) THEN
        RETURN NULL;
    END IF;
    IF NEW.payment_id IS NOT NULL THEN
        PERFORM note_event(what, p.link_order_id, CAST(payment_facts(p.id) || more AS json))
        FROM payments p WHERE p.id = NEW.payment_id;
    ELSE
        PERFORM note_event(what, o.id, CAST(paid_order_facts(o.id) || more AS json))
        FROM orders o WHERE o.payment_provider = NEW.provider AND o.payment_reference = NEW.reference
            AND o.payment_id IS NULL;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose Down
SELECT 'there is no way back' WHERE false;
