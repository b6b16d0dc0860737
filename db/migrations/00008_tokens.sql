-- +goose Up
-- What a token may touch, when it was used last, and when it was withdrawn; and what a merchant's lists go by.

ALTER TABLE api_tokens
    ADD COLUMN prefix text NOT NULL DEFAULT '',                        -- of the IDs that it may touch; empty: all
    ADD COLUMN ignore_unknown_fields boolean NOT NULL DEFAULT false,
    ADD COLUMN last_used_at timestamptz,                               -- written once a minute at most
    ADD COLUMN withdrawn_at timestamptz;                               -- the row stays: names are never given again

-- The merchant of an ID is what stands before its first colon. Only IDs that have one are in these indexes, so an
-- installation of one merchant pays nothing for them.
CREATE INDEX orders_by_merchant ON orders (split_part(id, ':', 1), created_at, id) WHERE strpos(id, ':') > 0;
CREATE INDEX orders_by_merchant_status ON orders (split_part(id, ':', 1), status, created_at, id)
    WHERE strpos(id, ':') > 0 AND status NOT IN ('COMPLETED', 'PENDING');
CREATE INDEX products_by_merchant ON products (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;
CREATE INDEX pools_by_merchant ON pools (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;
CREATE INDEX integrations_by_merchant ON integrations (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;

-- +goose StatementBegin
CREATE FUNCTION alert_subject(pool_id text, subject text, detail text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    -- the ID that an alert is about: of a pool, of the integration in "endpoint/acme", or of a line's order
    RETURN CASE
        WHEN pool_id IS NOT NULL THEN pool_id
        WHEN subject LIKE 'endpoint/%' THEN substr(subject, 10)
        WHEN subject IS NULL THEN coalesce(CAST(detail AS json) ->> 'orderId', '')
        ELSE '' END;
END $$;
-- +goose StatementEnd
CREATE INDEX alerts_by_merchant ON alerts (split_part(alert_subject(pool_id, subject, detail), ':', 1), id)
    WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0;
CREATE INDEX alerts_open_by_merchant ON alerts (split_part(alert_subject(pool_id, subject, detail), ':', 1), id)
    WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0 AND closed_at IS NULL;
