-- +goose Up
-- Whose a code is: one rule, which decides where a code comes in.

-- Why a line has a code that another line may have, too. Such a row is not in deliverables_once.
--   volume    its product has volumeCodes: the same code for several is meant
--   again     the other line is the same customer's, of the same licence, subscription or product
--   returned  the partner acknowledged the line's cancel: it may issue the code again
--   found     another line had it before there was this rule; the audit names both (B1)
ALTER TABLE deliverables ADD COLUMN shared text
    CONSTRAINT deliverables_shared_check CHECK (shared IN ('volume', 'again', 'returned', 'found'));

UPDATE deliverables y SET shared = 'returned'
FROM revocations v
WHERE v.line_id = y.line_id AND v.source = y.source AND v.status = 'DONE' AND y.kind = 'code';

UPDATE deliverables y SET shared = 'found'
FROM (
    SELECT line_id, unit_no, row_number() OVER (PARTITION BY fingerprint ORDER BY created_at, line_id, unit_no) AS no
    FROM deliverables WHERE kind = 'code' AND fingerprint IS NOT NULL AND shared IS NULL
) d
WHERE d.no > 1 AND y.line_id = d.line_id AND y.unit_no = d.unit_no AND y.kind = 'code';

CREATE UNIQUE INDEX deliverables_once ON deliverables (fingerprint) WHERE fingerprint IS NOT NULL AND shared IS NULL;
CREATE INDEX deliverables_shared ON deliverables (fingerprint) WHERE fingerprint IS NOT NULL AND shared IS NOT NULL;
DROP INDEX deliverables_by_fingerprint;
-- An import looks at what came lately once more before it ends. Rows come in the order of time, so that this index
-- costs next to nothing.
CREATE INDEX deliverables_by_time ON deliverables USING brin (created_at);

-- may_share_code says whether line a may have a code that line b has: both are one customer's, and of the same licence,
-- subscription or product.
-- +goose StatementBegin
CREATE FUNCTION may_share_code(a_line uuid, a_license uuid, a_subscription text, a_customer text, a_product text,
    b_line uuid, b_license uuid, b_subscription text, b_customer text, b_product text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
    RETURN a_line <> b_line AND a_customer = b_customer AND (a_license = b_license
        OR a_subscription <> '' AND a_subscription = b_subscription OR a_product = b_product);
END $$;
-- +goose StatementEnd

-- known_codes looks at codes that come for some units of a line, and says of those that somebody else has or a pool
-- sells whether they are refused, and why the line may have them if they are not. Nothing is said of the others.
-- It waits for an import that is about to end, and looks only then: the snapshot of the statement that calls it may be
-- older. The lock is shared, so that lines do not wait for each other; deliverables_once decides between them.
-- +goose StatementBegin
CREATE FUNCTION known_codes(p_line uuid, p_units int[], p_codes bytea[], p_volume boolean)
RETURNS TABLE (code bytea, why text, refused boolean, of_pool boolean, of_order text)
LANGUAGE plpgsql AS $$
DECLARE
    mine record;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('codes', 0));
    SELECT l.id, coalesce(l.license_id, l.fulfillment_id) AS license, l.subscription_id, l.product_id, o.customer_id,
        o.client
    INTO mine
    FROM line_items l JOIN orders o ON o.id = l.order_id WHERE l.id = p_line;
    RETURN QUERY
    SELECT c.code, CASE WHEN p_volume THEN 'volume' ELSE 'again' END,
        coalesce(s.others, false) OR coalesce(h.others, false), coalesce(s.others, false),
        CASE WHEN h.client = mine.client THEN h.order_id END
    FROM unnest(p_codes) AS c (code)
    LEFT JOIN LATERAL (
        SELECT coalesce(NOT may_share_code(p_line, mine.license, mine.subscription_id, mine.customer_id,
            mine.product_id, l.id, coalesce(l.license_id, l.fulfillment_id), l.subscription_id, o.customer_id,
            l.product_id), true) AS others
        FROM pool_keys k LEFT JOIN line_items l ON l.id = k.line_id LEFT JOIN orders o ON o.id = l.order_id
        WHERE k.fingerprint = c.code AND k.state <> 'withdrawn' AND NOT (k.state = 'quarantined' AND k.line_id IS NULL)
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT o.client, o.id AS order_id, NOT may_share_code(p_line, mine.license, mine.subscription_id,
            mine.customer_id, mine.product_id, l.id, coalesce(l.license_id, l.fulfillment_id), l.subscription_id,
            o.customer_id, l.product_id) AS others
        FROM (
            SELECT d.line_id, d.unit_no FROM deliverables d
            WHERE d.fingerprint = c.code AND d.fingerprint IS NOT NULL AND d.shared IS NULL
            UNION ALL
            SELECT d.line_id, d.unit_no FROM deliverables d
            WHERE d.fingerprint = c.code AND d.fingerprint IS NOT NULL AND d.shared IS NOT NULL
                AND d.shared <> 'returned'
        ) y JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
        WHERE NOT p_volume AND NOT (y.line_id = p_line AND y.unit_no = ANY (p_units))
        ORDER BY others DESC LIMIT 1
    ) h ON true
    WHERE p_volume OR s.others IS NOT NULL OR h.others IS NOT NULL;
END $$;
-- +goose StatementEnd

-- A person's keys are stored for one decision and used by no other.
ALTER TABLE supplies ADD COLUMN resolution text NOT NULL DEFAULT '';
ALTER TABLE supplies DROP CONSTRAINT supplies_pkey, ADD PRIMARY KEY (line_id, resolution, unit_no);

ALTER TABLE alerts DROP CONSTRAINT alerts_cause_check, ADD CONSTRAINT alerts_cause_check CHECK (cause IN (
    'Unavailable', 'RateLimited', 'Rejected', 'BadReply', 'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey',
    'Internal', 'Manual', 'Refund', 'Revocation', 'Exposed', 'Undelivered', 'Restored', 'PartnerAnsweredDifferently',
    'PartnerMoved', 'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew', 'LowStock', 'RunsDry', 'Owed',
    'Audit'));

-- +goose Down
SELECT 'there is no way back from a version that customers use' WHERE false;
