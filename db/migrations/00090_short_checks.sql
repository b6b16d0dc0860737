-- +goose Up
-- PostgreSQL reads the stored text of each CHECK constraint of a table anew for every statement that writes to it: of
-- what a claim cost it, a quarter. A call is short to read, and PL/pgSQL keeps what it stands for as long as the
-- connection lives. The rules are the same as before, so stored rows need no look (NOT VALID).

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION order_status(total int, trouble int, delivered int, canceling int, canceled int) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN CASE
        WHEN canceled = total THEN 'CANCELED'
        WHEN delivered = total THEN 'COMPLETED'
        WHEN trouble > 0 THEN 'PARTIAL_COMPLETED'
        WHEN canceling > 0 THEN 'CANCEL_PENDING'
        WHEN delivered + canceled = total THEN 'PARTIAL_CANCELED'
        WHEN canceled > 0 THEN 'PARTIAL_COMPLETED'
        ELSE 'PENDING' END;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION order_is_consistent(currency text, gross_minor bigint, total int, trouble int, delivered int, canceling int, canceled int) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN currency ~ '^[A-Z]{3}$' AND gross_minor >= 0 AND total > 0
        AND trouble >= 0 AND delivered >= 0 AND canceling >= 0 AND canceled >= 0
        AND trouble + delivered + canceling + canceled <= total;
END $$;
-- +goose StatementEnd

ALTER TABLE orders
    DROP CONSTRAINT orders_check1,
    DROP CONSTRAINT orders_currency_check,
    DROP CONSTRAINT orders_gross_minor_check,
    DROP CONSTRAINT orders_lines_total_check,
    DROP CONSTRAINT orders_lines_trouble_check,
    DROP CONSTRAINT orders_lines_delivered_check,
    DROP CONSTRAINT orders_lines_canceling_check,
    DROP CONSTRAINT orders_lines_canceled_check,
    ADD CONSTRAINT orders_consistent CHECK
        (order_is_consistent(currency, gross_minor, lines_total, lines_trouble, lines_delivered, lines_canceling, lines_canceled)) NOT VALID;

-- +goose StatementBegin
CREATE FUNCTION line_is_consistent(status text, quantity int, gross_minor bigint, waiting_pool text, obtained_at timestamptz,
    delivered_at timestamptz, canceled_at timestamptz, license_id uuid, operation_no int, blocked boolean) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN status IN ('PENDING', 'OBTAINED', 'RETRYING', 'WAITING_FOR_STOCK', 'HELD', 'DELIVERED', 'CANCELING', 'CANCELED')
        AND quantity > 0 AND gross_minor >= 0
        AND (status = 'WAITING_FOR_STOCK') = (waiting_pool IS NOT NULL)
        AND (status NOT IN ('OBTAINED', 'DELIVERED') OR obtained_at IS NOT NULL)
        AND (status <> 'DELIVERED' OR delivered_at IS NOT NULL)
        AND (status = 'CANCELED') = (canceled_at IS NOT NULL)
        AND (license_id IS NULL) = (operation_no IS NULL)
        AND (NOT blocked OR license_id IS NOT NULL);
END $$;
-- +goose StatementEnd

ALTER TABLE line_items
    DROP CONSTRAINT line_items_status_check,
    DROP CONSTRAINT line_items_quantity_check,
    DROP CONSTRAINT line_items_gross_minor_check,
    DROP CONSTRAINT line_items_check,
    DROP CONSTRAINT line_items_check1,
    DROP CONSTRAINT line_items_check2,
    DROP CONSTRAINT line_items_check3,
    DROP CONSTRAINT line_operation,
    DROP CONSTRAINT line_blocked,
    ADD CONSTRAINT line_items_consistent CHECK (line_is_consistent(status, quantity, gross_minor, waiting_pool, obtained_at,
        delivered_at, canceled_at, license_id, operation_no, blocked)) NOT VALID;

-- The transition table of package keyturn.
-- +goose StatementBegin
CREATE FUNCTION line_may_become(from_status text, to_status text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'PENDING>OBTAINED', 'PENDING>RETRYING', 'PENDING>WAITING_FOR_STOCK', 'PENDING>HELD', 'PENDING>CANCELING',
        'OBTAINED>RETRYING', 'OBTAINED>HELD', 'OBTAINED>DELIVERED', 'OBTAINED>CANCELING',
        'RETRYING>WAITING_FOR_STOCK', 'RETRYING>HELD', 'RETRYING>DELIVERED', 'RETRYING>CANCELING',
        'WAITING_FOR_STOCK>RETRYING', 'WAITING_FOR_STOCK>HELD', 'WAITING_FOR_STOCK>CANCELING',
        'HELD>RETRYING', 'HELD>CANCELING', 'DELIVERED>CANCELING', 'CANCELING>CANCELED');
END $$;
-- +goose StatementEnd

ALTER TABLE line_log
    DROP CONSTRAINT line_transitions,
    ADD CONSTRAINT line_transitions CHECK (line_may_become(from_status, to_status)) NOT VALID;

-- +goose StatementBegin
CREATE FUNCTION key_is_consistent(state text, line_id uuid, unit_no int) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN (line_id IS NULL) = (unit_no IS NULL) AND CASE
        WHEN state IN ('available', 'expired', 'withdrawn') THEN line_id IS NULL
        WHEN state IN ('claimed', 'delivered', 'recalled') THEN line_id IS NOT NULL
        ELSE state = 'quarantined' END;
END $$;
-- +goose StatementEnd

-- An import and its undo must not pay for a call for each of a million keys.
ALTER TABLE pool_keys
    DROP CONSTRAINT pool_keys_state,
    DROP CONSTRAINT pool_keys_owner,
    DROP CONSTRAINT pool_keys_check1,
    ADD CONSTRAINT pool_keys_consistent CHECK
        (state IN ('available', 'withdrawn') AND line_id IS NULL AND unit_no IS NULL OR key_is_consistent(state, line_id, unit_no)) NOT VALID;

-- +goose StatementBegin
CREATE FUNCTION delivery_is_consistent(kind text, status text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN kind IN ('keys', 'canceled') AND status IN ('READY', 'SENDING', 'SENT');
END $$;
-- +goose StatementEnd

ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_kind_check,
    DROP CONSTRAINT deliveries_status_check,
    ADD CONSTRAINT deliveries_consistent CHECK (delivery_is_consistent(kind, status)) NOT VALID;

-- +goose Down
SELECT 'there is no way back from this version' WHERE false;
