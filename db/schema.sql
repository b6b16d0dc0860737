-- The schema as the migrations make it, to read: no program executes this file. migrations/ has the reasons.
-- Generated: go test ./db -run Schema -update

CREATE FUNCTION order_status(total integer, trouble integer, delivered integer, canceling integer, canceled integer)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN CASE
        WHEN canceled = total THEN 'CANCELED'
        WHEN delivered = total THEN 'COMPLETED'
        WHEN trouble > 0 THEN 'PARTIAL_COMPLETED'
        WHEN canceling > 0 THEN 'CANCEL_PENDING'
        WHEN delivered + canceled = total THEN 'PARTIAL_CANCELED'
        WHEN canceled > 0 THEN 'PARTIAL_COMPLETED'
        ELSE 'PENDING' END;
END $function$;

CREATE FUNCTION order_is_consistent(currency text, gross_minor bigint, total integer, trouble integer,
        delivered integer, canceling integer, canceled integer)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN currency ~ '^[A-Z]{3}$' AND gross_minor >= 0 AND total > 0
        AND trouble >= 0 AND delivered >= 0 AND canceling >= 0 AND canceled >= 0
        AND trouble + delivered + canceling + canceled <= total;
END $function$;

CREATE FUNCTION line_is_consistent(status text, quantity integer, gross_minor bigint, waiting_pool text,
        obtained_at timestamptz, delivered_at timestamptz, canceled_at timestamptz, license_id uuid,
        operation_no integer, blocked boolean)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN status IN
            ('PENDING', 'OBTAINED', 'RETRYING', 'WAITING_FOR_STOCK', 'HELD', 'DELIVERED', 'CANCELING', 'CANCELED')
        AND quantity > 0 AND gross_minor >= 0
        AND (status = 'WAITING_FOR_STOCK') = (waiting_pool IS NOT NULL)
        AND (status NOT IN ('OBTAINED', 'DELIVERED') OR obtained_at IS NOT NULL)
        AND (status <> 'DELIVERED' OR delivered_at IS NOT NULL)
        AND (status = 'CANCELED') = (canceled_at IS NOT NULL)
        AND (license_id IS NULL) = (operation_no IS NULL)
        AND (NOT blocked OR license_id IS NOT NULL);
END $function$;

CREATE FUNCTION line_may_become(from_status text, to_status text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'PENDING>OBTAINED', 'PENDING>RETRYING', 'PENDING>WAITING_FOR_STOCK', 'PENDING>HELD', 'PENDING>CANCELING',
        'OBTAINED>RETRYING', 'OBTAINED>HELD', 'OBTAINED>DELIVERED', 'OBTAINED>CANCELING',
        'RETRYING>WAITING_FOR_STOCK', 'RETRYING>HELD', 'RETRYING>DELIVERED', 'RETRYING>CANCELING',
        'WAITING_FOR_STOCK>RETRYING', 'WAITING_FOR_STOCK>HELD', 'WAITING_FOR_STOCK>CANCELING',
        'HELD>RETRYING', 'HELD>CANCELING', 'DELIVERED>CANCELING', 'CANCELING>CANCELED');
END $function$;

CREATE FUNCTION delivery_is_consistent(kind text, status text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN kind IN ('keys', 'canceled', 'addressChanged') AND status IN ('READY', 'SENDING', 'SENT');
END $function$;

CREATE FUNCTION key_is_consistent(state text, line_id uuid, unit_no integer)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN (line_id IS NULL) = (unit_no IS NULL) AND CASE
        WHEN state IN ('available', 'expired', 'withdrawn') THEN line_id IS NULL
        WHEN state IN ('claimed', 'delivered', 'recalled') THEN line_id IS NOT NULL
        ELSE state = 'quarantined' END;
END $function$;

CREATE FUNCTION partner_gate(p_integration text, p_source text, p_line uuid, p_created timestamptz, p_limit integer,
        p_hold double precision)
 RETURNS TABLE(now timestamptz, opened_at timestamptz, next_try_at timestamptz, probe_until timestamptz, troubled boolean, running integer, recent integer, older integer, queued boolean, at_once boolean)
 LANGUAGE plpgsql
AS $function$
DECLARE
    t timestamptz;
    held timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('partner/' || p_integration, 0));
    t := clock_timestamp();
    held := t - make_interval(secs => p_hold);
    RETURN QUERY
    SELECT t, g.opened_at, g.next_try_at, g.probe_until,
        coalesce(g.opened_at IS NOT NULL OR g.failing <> '{}' OR g.next_try_at IS NOT NULL, false), c.running,
        c.recent + CAST((SELECT count(*) FROM attempts a WHERE a.source = p_source AND a.ended_at > held) AS int),
        CAST((SELECT count(*) FROM (
            SELECT FROM partner_queue o
            WHERE o.integration = p_integration AND (o.created_at, o.line_id) < (p_created, p_line)
            LIMIT p_limit) o) AS int),
        q.line_id IS NOT NULL, coalesce(q.at_once, false)
    FROM (
        SELECT CAST(count(*) FILTER (WHERE a.deadline_at > t) AS int) AS running, CAST(count(*) AS int) AS recent
        FROM attempts a WHERE a.source = p_source AND a.outcome = 'running' AND a.deadline_at > held) c
    LEFT JOIN partner_gates g ON g.integration = p_integration
    LEFT JOIN partner_queue q ON q.line_id = p_line;
END $function$;

CREATE FUNCTION alert_subject(pool_id text, subject text, detail text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    -- the ID that an alert is about: of a pool, of the integration in "endpoint/acme", of the webhook in
    -- "webhook/shop", or of the order of a line or a payment
    RETURN CASE
        WHEN pool_id IS NOT NULL THEN pool_id
        WHEN subject LIKE 'endpoint/%' THEN substr(subject, 10)
        WHEN subject LIKE 'webhook/%' THEN substr(subject, 9)
        WHEN subject IS NULL OR subject LIKE 'payment/%' THEN coalesce(CAST(detail AS json) ->> 'orderId', '')
        ELSE '' END;
END $function$;

CREATE FUNCTION may_share_code(a_line uuid, a_license uuid, a_subscription text, a_customer text, a_product text,
        b_line uuid, b_license uuid, b_subscription text, b_customer text, b_product text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN a_line <> b_line AND a_customer = b_customer AND (a_license = b_license
        OR a_subscription <> '' AND a_subscription = b_subscription OR a_product = b_product);
END $function$;

CREATE FUNCTION known_codes(p_line uuid, p_units integer[], p_codes bytea[], p_volume boolean)
 RETURNS TABLE(code bytea, why text, refused boolean, of_pool boolean, of_order text)
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE FUNCTION link_may_become(from_status text, to_status text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'OPEN>PAYING', 'OPEN>USED', 'OPEN>EXPIRED', 'OPEN>CANCELED', 'PAYING>OPEN', 'PAYING>USED');
END $function$;

CREATE FUNCTION payment_may_become(from_status text, to_status text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$ BEGIN
    RETURN (from_status || '>' || to_status) IN (
        'CREATED>OPEN', 'CREATED>EXPIRED', 'CREATED>CAPTURED',
        'OPEN>PROCESSING', 'OPEN>EXPIRED', 'OPEN>MISMATCH', 'OPEN>AUTHORIZED', 'OPEN>CAPTURED', 'OPEN>VOIDING',
        'PROCESSING>FAILED', 'PROCESSING>MISMATCH', 'PROCESSING>AUTHORIZED', 'PROCESSING>CAPTURED',
        'PROCESSING>VOIDING',
        'FAILED>CAPTURED', 'FAILED>VOIDING', 'EXPIRED>CAPTURED', 'EXPIRED>VOIDING',
        'MISMATCH>AUTHORIZED', 'MISMATCH>CAPTURED', 'MISMATCH>VOIDING',
        'AUTHORIZED>CAPTURING', 'AUTHORIZED>VOIDING', 'AUTHORIZED>LOST',
        'CAPTURING>CAPTURED', 'CAPTURING>VOIDING', 'CAPTURING>LOST',
        'VOIDING>CAPTURED', 'VOIDING>VOIDED', 'VOIDED>CAPTURED', 'LOST>CAPTURED');
END $function$;

CREATE FUNCTION event_wanted(p_type text, p_about text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
AS $function$ BEGIN
    RETURN EXISTS (
        SELECT FROM webhook_types t
        WHERE t.pattern IN (p_type, split_part(p_type, '.', 1) || '.*', '*') AND starts_with(p_about, t.prefix));
END $function$;

CREATE FUNCTION line_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    what text := 'line.' || lower(NEW.to_status);
BEGIN
    INSERT INTO events (type, about, facts)
    SELECT what, l.order_id, json_build_object('line', l.id, 'lineStatus', NEW.to_status, 'version', NEW.version,
        'status', o.status, 'failure', CAST(l.failure AS json) ->> 'kind')
    FROM line_items l JOIN orders o ON o.id = l.order_id
    WHERE l.id = NEW.line_id AND EXISTS (SELECT FROM webhook_types t
        WHERE t.pattern IN (what, 'line.*', '*') AND starts_with(l.order_id, t.prefix));
    RETURN NULL;
END $function$;

CREATE FUNCTION order_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    what text := 'order.created';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        what := 'order.' || CASE NEW.status WHEN 'PARTIAL_COMPLETED' THEN 'partially_completed'
            WHEN 'PARTIAL_CANCELED' THEN 'partially_canceled' ELSE lower(NEW.status) END;
    END IF;
    -- the order's row is locked, so that the sum grows from each event to the next
    INSERT INTO events (type, about, facts)
    SELECT what, NEW.id, json_build_object('status', NEW.status,
        'version', (SELECT sum(version) FROM line_items WHERE order_id = NEW.id))
    WHERE EXISTS (SELECT FROM webhook_types t
        WHERE t.pattern IN (what, 'order.*', '*') AND starts_with(NEW.id, t.prefix));
    RETURN NULL;
END $function$;

CREATE FUNCTION note_event(p_type text, p_about text, p_facts json)
 RETURNS void
 LANGUAGE plpgsql
AS $function$ BEGIN
    IF p_type IS NOT NULL AND event_wanted(p_type, coalesce(p_about, '')) THEN
        INSERT INTO events (type, about, facts) VALUES (p_type, coalesce(p_about, ''), p_facts);
    END IF;
END $function$;

CREATE FUNCTION refund_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE WHEN NEW.failed_at IS NULL THEN 'refund.completed' ELSE 'refund.failed' END,
        NEW.order_id,
            json_build_object('line', NEW.line_id, 'amount', NEW.amount_minor, 'currency', NEW.currency));
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION payment_refund_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event(CASE WHEN NEW.failed_at IS NULL THEN 'refund.completed' ELSE 'refund.failed' END,
            p.link_order_id, json_build_object('payment', p.id, 'amount', NEW.amount_minor, 'currency', NEW.currency))
        FROM payments p WHERE p.id = NEW.payment_id;
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION license_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    what text := CASE TG_OP WHEN 'INSERT' THEN 'license.created' ELSE 'license.canceled' END;
BEGIN
    INSERT INTO events (type, about, facts)
    SELECT what, l.order_id, json_build_object('license', NEW.id, 'status', NEW.status, 'product', NEW.product_id,
        'expiresAt', NEW.expires_at, 'line', NEW.line_id)
    FROM line_items l
    WHERE l.id = NEW.line_id AND EXISTS (SELECT FROM webhook_types t
        WHERE t.pattern IN (what, 'license.*', '*') AND starts_with(l.order_id, t.prefix));
    RETURN NULL;
END $function$;

CREATE FUNCTION license_step_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event('license.' || CASE NEW.operation WHEN 'renew' THEN 'renewed' WHEN 'upgrade' THEN 'upgraded'
                WHEN 'pause' THEN 'paused' WHEN 'resume' THEN 'resumed' END, l.order_id,
            json_build_object('license', c.id, 'status', c.status, 'product', c.product_id, 'expiresAt', c.expires_at,
                'line', NEW.line_id))
        FROM licenses c, line_items l WHERE c.id = NEW.license_id AND l.id = NEW.line_id;
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION link_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE FUNCTION payment_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
    IF EXISTS (SELECT FROM webhook_types) THEN
        PERFORM note_event('payment.' || lower(NEW.status), NEW.link_order_id, CAST(payment_facts(NEW.id) AS json));
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION alert_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE FUNCTION pool_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
    -- with a threshold, the end of its alert is the news
    IF EXISTS (SELECT FROM webhook_types) AND (NEW.empty_since IS NOT NULL
            OR coalesce(CAST(NEW.spec AS json) ->> 'threshold', '0') = '0') THEN
        PERFORM note_event(CASE WHEN NEW.empty_since IS NULL THEN 'pool.refilled' ELSE 'pool.empty' END, NEW.id,
            json_build_object('pool', NEW.id, 'available',
                (SELECT coalesce(sum(available), 0) FROM pool_stock s WHERE s.pool_id = NEW.id)));
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION see_webhooks()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
    PERFORM setval('webhooks_seen', 1);
    RETURN NULL;
END $function$;

CREATE FUNCTION payment_facts(p_payment uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
AS $function$ BEGIN
    RETURN (
        SELECT jsonb_build_object('payment', p.id, 'link', p.link_id, 'status', p.status, 'version', p.version,
            'currency', p.currency, 'authorized', p.authorized_minor, 'captured', p.captured_minor,
            'captureBy', p.capture_by, 'refunded',
            coalesce((SELECT sum(r.amount_minor) FROM refunds r JOIN line_items l ON l.id = r.line_id
                WHERE l.order_id = p.order_id AND r.status = 'DONE'), 0)
            + coalesce((SELECT amount_minor FROM payment_refunds WHERE payment_id = p.id AND status = 'DONE'), 0))
        FROM payments p WHERE p.id = p_payment);
END $function$;

CREATE FUNCTION aftermath_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE FUNCTION bounce_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
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
END $function$;

CREATE FUNCTION paid_order_facts(p_order text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
AS $function$ BEGIN
    RETURN (
        SELECT jsonb_build_object('status', 'CAPTURED', 'currency', o.currency, 'authorized', o.gross_minor,
            'captured', o.gross_minor,
            'refunded', coalesce((SELECT sum(r.amount_minor) FROM refunds r JOIN line_items l ON l.id = r.line_id
                WHERE l.order_id = o.id AND r.status = 'DONE'), 0),
            'version', (SELECT sum(l.version) FROM line_items l WHERE l.order_id = o.id))
        FROM orders o WHERE o.id = p_order);
END $function$;

CREATE SEQUENCE integration_versions START 1000000;

CREATE SEQUENCE pool_key_position START 1;

CREATE SEQUENCE webhooks_seen START 1;

CREATE TABLE customers (
    id text NOT NULL,
    data_key bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz,
    bad_address_tag bytea,
    CONSTRAINT customers_pkey PRIMARY KEY (id)
);
CREATE INDEX customers_erased ON customers (erased_at) WHERE erased_at IS NOT NULL;

CREATE TABLE orders (
    id text NOT NULL,
    client text NOT NULL,
    customer_id text NOT NULL,
    customer bytea NOT NULL,
    currency text NOT NULL,
    gross_minor bigint NOT NULL,
    payment_provider text NOT NULL,
    payment_reference text NOT NULL,
    page_hash bytea NOT NULL,
    lines_total integer NOT NULL,
    lines_trouble integer NOT NULL DEFAULT 0,
    lines_delivered integer NOT NULL DEFAULT 0,
    lines_canceling integer NOT NULL DEFAULT 0,
    lines_canceled integer NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'PENDING',
    cancel_reason text,
    cancel_failure text,
    created_at timestamptz NOT NULL,
    payment_id uuid,
    email_tag bytea,
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_page_hash_key UNIQUE (page_hash),
    CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id),
    CONSTRAINT orders_consistent CHECK (order_is_consistent(currency, gross_minor, lines_total, lines_trouble,
        lines_delivered, lines_canceling, lines_canceled)),
    CONSTRAINT orders_status CHECK (status = order_status(lines_total, lines_trouble, lines_delivered, lines_canceling,
        lines_canceled))
);
ALTER TABLE orders ALTER COLUMN customer SET STORAGE EXTERNAL;
CREATE INDEX orders_by_any_status ON orders (status, created_at, id);
CREATE INDEX orders_by_email ON orders (email_tag, created_at, id) WHERE email_tag IS NOT NULL;
CREATE INDEX orders_by_merchant ON orders (split_part(id, ':', 1), created_at, id) WHERE strpos(id, ':') > 0;
CREATE INDEX orders_by_merchant_any_status ON orders (split_part(id, ':', 1), status, created_at, id) WHERE strpos(id,
        ':') > 0;
CREATE INDEX orders_by_payment ON orders (payment_provider, payment_reference);
CREATE INDEX orders_by_time ON orders (created_at, id);
CREATE INDEX orders_untagged ON orders (created_at, id) WHERE email_tag IS NULL AND customer <> '\x';

CREATE TABLE idempotency_keys (
    client text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    order_id text NOT NULL,
    response bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (client, key)
);
ALTER TABLE idempotency_keys ALTER COLUMN response SET STORAGE EXTERNAL;

CREATE TABLE line_items (
    id uuid NOT NULL,
    fulfillment_id uuid NOT NULL,
    order_id text NOT NULL,
    position integer NOT NULL,
    product_id text NOT NULL,
    quantity integer NOT NULL,
    gross_minor bigint NOT NULL,
    operation text NOT NULL,
    subscription_id text NOT NULL DEFAULT '',
    trial_context text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'PENDING',
    version integer NOT NULL DEFAULT 1,
    source_no integer NOT NULL DEFAULT 0,
    source_started_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    failure text,
    next_attempt_at timestamptz,
    give_up_at timestamptz NOT NULL,
    extended_until timestamptz,
    held_until timestamptz,
    waiting_pool text,
    license_id uuid,
    operation_no integer,
    license_source text,
    blocked boolean NOT NULL DEFAULT false,
    awaited boolean NOT NULL DEFAULT false,
    cancel_reason text,
    expires_at timestamptz,
    obtained_at timestamptz,
    delivered_at timestamptz,
    canceled_at timestamptz,
    wake_at timestamptz,
    created_at timestamptz NOT NULL,
    quantity_mode text,
    sold_as text,
    CONSTRAINT line_items_pkey PRIMARY KEY (id),
    CONSTRAINT line_items_fulfillment_id_key UNIQUE (fulfillment_id),
    CONSTRAINT line_items_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT line_items_consistent CHECK (line_is_consistent(status, quantity, gross_minor, waiting_pool,
        obtained_at, delivered_at, canceled_at, license_id, operation_no, blocked))
) WITH (fillfactor=70);
CREATE UNIQUE INDEX line_items_by_license ON line_items (license_id, operation_no) WHERE license_id IS NOT NULL;
CREATE INDEX line_items_by_order ON line_items (order_id, "position");
CREATE INDEX line_items_by_subscription ON line_items (subscription_id)
        WHERE subscription_id <> '' AND license_id IS NULL;
CREATE INDEX line_items_due ON line_items (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX line_items_waiting ON line_items (waiting_pool, created_at, id) WHERE waiting_pool IS NOT NULL;

CREATE TABLE line_log (
    line_id uuid NOT NULL,
    version integer NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT line_log_pkey PRIMARY KEY (line_id, version),
    CONSTRAINT line_transitions CHECK (line_may_become(from_status, to_status))
);

CREATE TABLE resolutions (
    line_id uuid NOT NULL,
    id text NOT NULL,
    action text NOT NULL,
    until timestamptz,
    reason text NOT NULL DEFAULT '',
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT resolutions_pkey PRIMARY KEY (line_id, id),
    CONSTRAINT resolutions_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id)
);

CREATE TABLE products (
    id text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    spec text NOT NULL,
    pool_currencies text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT products_pkey PRIMARY KEY (id)
);
CREATE INDEX products_by_merchant ON products (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;

CREATE TABLE integrations (
    id text NOT NULL,
    version bigint NOT NULL DEFAULT nextval('integration_versions'::regclass),
    spec text NOT NULL,
    secrets bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT integrations_pkey PRIMARY KEY (id)
);
CREATE INDEX integrations_by_merchant ON integrations (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;

CREATE TABLE pools (
    id text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    spec text NOT NULL,
    data_key bytea NOT NULL,
    serve_after timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    empty_since timestamptz,
    CONSTRAINT pools_pkey PRIMARY KEY (id)
);
CREATE INDEX pools_by_merchant ON pools (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;

CREATE TABLE deliverables (
    line_id uuid NOT NULL,
    unit_no integer NOT NULL,
    kind text NOT NULL,
    content bytea NOT NULL,
    fingerprint bytea,
    source text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    shared text,
    CONSTRAINT deliverables_pkey PRIMARY KEY (line_id, unit_no, kind),
    CONSTRAINT deliverables_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT deliverables_kind_check CHECK (kind IN ('code', 'link', 'file', 'additional')),
    CONSTRAINT deliverables_shared_check CHECK (shared IN ('volume', 'again', 'returned', 'found'))
);
ALTER TABLE deliverables ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX deliverables_by_time ON deliverables USING brin (created_at);
CREATE UNIQUE INDEX deliverables_once ON deliverables (fingerprint) WHERE fingerprint IS NOT NULL AND shared IS NULL;
CREATE INDEX deliverables_shared ON deliverables (fingerprint) WHERE fingerprint IS NOT NULL AND shared IS NOT NULL;

CREATE TABLE supplies (
    line_id uuid NOT NULL,
    unit_no integer NOT NULL,
    content bytea NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolution text NOT NULL DEFAULT '',
    CONSTRAINT supplies_pkey PRIMARY KEY (line_id, resolution, unit_no),
    CONSTRAINT supplies_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id)
);

CREATE TABLE deliveries (
    id uuid NOT NULL,
    line_id uuid NOT NULL,
    number integer NOT NULL,
    kind text NOT NULL,
    message bytea NOT NULL,
    status text NOT NULL,
    exposed boolean NOT NULL DEFAULT false,
    lease_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    by_page boolean NOT NULL DEFAULT false,
    change_id uuid,
    CONSTRAINT deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT deliveries_line_id_number_key UNIQUE (line_id, number),
    CONSTRAINT deliveries_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT deliveries_consistent CHECK (delivery_is_consistent(kind, status))
);
ALTER TABLE deliveries ALTER COLUMN message SET STORAGE EXTERNAL;
CREATE INDEX deliveries_follow_ups ON deliveries (created_at) WHERE number > 1 OR kind <> 'keys';
CREATE INDEX deliveries_kept ON deliveries (created_at) WHERE message <> '\x';

CREATE TABLE access_log (
    at timestamptz NOT NULL DEFAULT now(),
    line_id uuid,
    by text NOT NULL,
    what text NOT NULL,
    subject text,
    address bytea,
    CONSTRAINT access_log_about CHECK ((line_id IS NULL) = (subject IS NOT NULL))
);
CREATE INDEX access_log_by_line ON access_log (line_id, at);
CREATE INDEX access_log_ordered ON access_log (subject) WHERE what = 'ordered';

CREATE TABLE refunds (
    line_id uuid NOT NULL,
    order_id text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    provider text NOT NULL,
    reference text NOT NULL,
    reason text NOT NULL,
    failure_kind text,
    status text NOT NULL DEFAULT 'PENDING',
    attempts integer NOT NULL DEFAULT 0,
    error text,
    provider_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    confirmed_by text,
    confirm_reason text,
    key_no integer NOT NULL DEFAULT 1,
    key_since timestamptz,
    key_failed_at timestamptz,
    under_way_since timestamptz,
    failed_at timestamptz,
    CONSTRAINT refunds_pkey PRIMARY KEY (line_id),
    CONSTRAINT refunds_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT refunds_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT refunds_amount_minor_check CHECK (amount_minor >= 0),
    CONSTRAINT refunds_check CHECK ((status = 'DONE') = (done_at IS NOT NULL)),
    CONSTRAINT refunds_status_check CHECK (status IN ('PENDING', 'DONE'))
);
CREATE INDEX refunds_pending ON refunds (created_at) WHERE status = 'PENDING';

CREATE TABLE sandbox_payments (
    reference text NOT NULL,
    order_id text NOT NULL,
    captured_minor bigint NOT NULL,
    currency text NOT NULL,
    captured_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sandbox_payments_pkey PRIMARY KEY (reference, order_id)
);

CREATE TABLE sandbox_refunds (
    key text NOT NULL,
    id uuid NOT NULL,
    reference text NOT NULL,
    order_id text NOT NULL,
    amount_minor bigint NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    applied_at timestamptz,
    CONSTRAINT sandbox_refunds_pkey PRIMARY KEY (key),
    CONSTRAINT sandbox_refunds_id_key UNIQUE (id),
    CONSTRAINT sandbox_refunds_reference_order_id_fkey FOREIGN KEY (reference,
        order_id) REFERENCES sandbox_payments(reference, order_id),
    CONSTRAINT sandbox_refunds_amount_minor_check CHECK (amount_minor > 0)
);
CREATE INDEX sandbox_refunds_by_payment ON sandbox_refunds (reference, order_id);

CREATE TABLE batches (
    id uuid NOT NULL,
    pool_id text NOT NULL,
    accepted integer NOT NULL,
    rejected integer NOT NULL,
    first_key bigint,
    last_key bigint,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    undone_at timestamptz,
    undone_by text NOT NULL DEFAULT '',
    recalled_at timestamptz,
    recall text,
    replace_sold boolean NOT NULL DEFAULT false,
    recalled_to bigint,
    CONSTRAINT batches_pkey PRIMARY KEY (id),
    CONSTRAINT batches_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES pools(id)
);
CREATE INDEX batches_by_pool ON batches (pool_id, created_at);
CREATE INDEX batches_in_recall ON batches (pool_id) WHERE recalled_to IS NOT NULL;

CREATE TABLE pool_keys (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    pool_id text NOT NULL,
    batch_id uuid NOT NULL,
    position bigint NOT NULL DEFAULT nextval('pool_key_position'::regclass),
    fingerprint bytea NOT NULL,
    content bytea NOT NULL,
    state text NOT NULL DEFAULT 'available',
    line_id uuid,
    unit_no integer,
    expires_at timestamptz,
    give_until timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pool_keys_pkey PRIMARY KEY (id),
    CONSTRAINT pool_keys_consistent CHECK ((state IN ('available',
        'withdrawn')) AND line_id IS NULL AND unit_no IS NULL OR key_is_consistent(state, line_id, unit_no))
);
CREATE INDEX pool_keys_available ON pool_keys (pool_id, "position") WHERE state = 'available';
CREATE INDEX pool_keys_expiring ON pool_keys (give_until) WHERE state = 'available' AND give_until IS NOT NULL;
CREATE UNIQUE INDEX pool_keys_once ON pool_keys (fingerprint) WHERE state <> 'withdrawn';
CREATE UNIQUE INDEX pool_keys_owner_unit ON pool_keys (line_id, unit_no)
        WHERE line_id IS NOT NULL AND state <> 'recalled';
CREATE INDEX pool_keys_recalled ON pool_keys (line_id) WHERE state = 'recalled';

CREATE TABLE key_log (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    key_id bigint NOT NULL,
    pool_id text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    line_id uuid,
    unit_no integer,
    by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT key_log_pkey PRIMARY KEY (id),
    CONSTRAINT key_transitions CHECK (((from_state || '>') || to_state) IN ('available>claimed',
        'available>quarantined', 'available>expired', 'available>withdrawn', 'claimed>available', 'claimed>delivered',
        'claimed>quarantined', 'claimed>recalled', 'delivered>quarantined', 'delivered>recalled'))
);
CREATE INDEX key_log_by_key ON key_log (key_id, id);
CREATE INDEX key_log_by_line ON key_log (line_id) WHERE line_id IS NOT NULL;

CREATE TABLE replacements (
    key_id bigint NOT NULL,
    batch_id uuid NOT NULL,
    pool_id text NOT NULL,
    line_id uuid NOT NULL,
    unit_no integer NOT NULL,
    status text NOT NULL,
    new_key_id bigint,
    delivery_id uuid,
    reason text NOT NULL,
    by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    failed_at timestamptz,
    CONSTRAINT replacements_pkey PRIMARY KEY (key_id),
    CONSTRAINT replacements_delivery_id_fkey FOREIGN KEY (delivery_id) REFERENCES deliveries(id),
    CONSTRAINT replacements_key_id_fkey FOREIGN KEY (key_id) REFERENCES pool_keys(id),
    CONSTRAINT replacements_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT replacements_new_key_id_fkey FOREIGN KEY (new_key_id) REFERENCES pool_keys(id),
    CONSTRAINT replacements_check CHECK ((status = 'DONE') = (new_key_id IS NOT NULL)),
    CONSTRAINT replacements_check1 CHECK ((status = 'DONE') = (delivery_id IS NOT NULL)),
    CONSTRAINT replacements_status_check CHECK (status IN ('LISTED', 'OWED', 'DONE', 'VOID'))
);
CREATE INDEX replacements_by_batch ON replacements (batch_id, key_id);
CREATE INDEX replacements_by_line ON replacements (line_id);
CREATE INDEX replacements_owed ON replacements (created_at, key_id) WHERE status = 'OWED';
CREATE INDEX replacements_owed_by_pool ON replacements (pool_id) WHERE status = 'OWED';

CREATE TABLE pool_stock (
    pool_id text NOT NULL,
    slot integer NOT NULL,
    available bigint NOT NULL DEFAULT 0,
    claimed bigint NOT NULL DEFAULT 0,
    delivered bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    recalled bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    withdrawn bigint NOT NULL DEFAULT 0,
    taken bigint NOT NULL DEFAULT 0,
    CONSTRAINT pool_stock_pkey PRIMARY KEY (pool_id, slot),
    CONSTRAINT pool_stock_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES pools(id) ON DELETE CASCADE
) WITH (fillfactor=50);

CREATE TABLE pool_pace (
    pool_id text NOT NULL,
    at timestamptz NOT NULL,
    taken bigint NOT NULL,
    CONSTRAINT pool_pace_pkey PRIMARY KEY (pool_id, at),
    CONSTRAINT pool_pace_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES pools(id) ON DELETE CASCADE
);

CREATE TABLE partner_requests (
    line_id uuid NOT NULL,
    source text NOT NULL,
    operation text NOT NULL,
    unit_no integer NOT NULL,
    request bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT partner_requests_pkey PRIMARY KEY (line_id, source, operation, unit_no),
    CONSTRAINT partner_requests_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id)
);
ALTER TABLE partner_requests ALTER COLUMN request SET STORAGE EXTERNAL;

CREATE TABLE attempts (
    line_id uuid NOT NULL,
    no integer NOT NULL,
    source text NOT NULL,
    operation text NOT NULL,
    unit_no integer NOT NULL DEFAULT 0,
    outcome text NOT NULL,
    sent boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL,
    deadline_at timestamptz,
    ended_at timestamptz,
    duration_ms integer,
    http_status integer,
    error_kind text,
    error_code text,
    message text,
    reply bytea,
    CONSTRAINT attempts_pkey PRIMARY KEY (line_id, no),
    CONSTRAINT attempts_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT attempts_outcome_check CHECK (outcome IN ('running', 'success', 'failed', 'unknown', 'late'))
);
ALTER TABLE attempts ALTER COLUMN reply SET STORAGE EXTERNAL;
CREATE INDEX attempts_ended ON attempts (source, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX attempts_running ON attempts (source, deadline_at) WHERE outcome = 'running';

CREATE TABLE partner_gates (
    integration text NOT NULL,
    failing uuid[] NOT NULL DEFAULT '{}'::uuid[],
    opened_at timestamptz,
    probes integer NOT NULL DEFAULT 0,
    probe_until timestamptz,
    next_try_at timestamptz,
    failure text,
    gathered boolean NOT NULL DEFAULT false,
    CONSTRAINT partner_gates_pkey PRIMARY KEY (integration)
);

CREATE TABLE partner_queue (
    line_id uuid NOT NULL,
    integration text NOT NULL,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    called_at timestamptz,
    at_once boolean NOT NULL DEFAULT false,
    CONSTRAINT partner_queue_pkey PRIMARY KEY (line_id),
    CONSTRAINT partner_queue_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id) ON DELETE CASCADE
);
CREATE INDEX partner_queue_order ON partner_queue (integration, created_at, line_id);

CREATE TABLE revocations (
    line_id uuid NOT NULL,
    source text NOT NULL,
    status text NOT NULL DEFAULT 'OWED',
    not_before timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    CONSTRAINT revocations_pkey PRIMARY KEY (line_id, source),
    CONSTRAINT revocations_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT revocations_status_check CHECK (status IN ('OWED', 'DONE', 'IMPOSSIBLE'))
);
CREATE INDEX revocations_owed ON revocations (created_at) WHERE status = 'OWED';

CREATE TABLE licenses (
    id uuid NOT NULL,
    line_id uuid NOT NULL,
    customer_id text NOT NULL,
    product_id text NOT NULL,
    status text NOT NULL,
    source text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT licenses_pkey PRIMARY KEY (id),
    CONSTRAINT licenses_line_id_key UNIQUE (line_id),
    CONSTRAINT licenses_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT licenses_status_check CHECK (status IN ('Running', 'Paused', 'Canceled', 'Expired'))
);
CREATE INDEX licenses_expiring ON licenses (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX licenses_of_customer ON licenses (customer_id, created_at, id);

CREATE TABLE license_steps (
    license_id uuid NOT NULL,
    no integer NOT NULL,
    line_id uuid NOT NULL,
    operation text NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL,
    product_before text NOT NULL,
    source_before text,
    expires_before timestamptz,
    at timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz,
    CONSTRAINT license_steps_pkey PRIMARY KEY (license_id, no),
    CONSTRAINT license_steps_line_id_key UNIQUE (line_id),
    CONSTRAINT license_steps_license_id_fkey FOREIGN KEY (license_id) REFERENCES licenses(id),
    CONSTRAINT license_steps_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT license_transitions CHECK (((((from_status || '>') || operation) || '>') || to_status)
        IN ('Running>renew>Running', 'Running>upgrade>Running', 'Running>pause>Paused', 'Running>cancel>Canceled',
        'Paused>renew>Running', 'Paused>upgrade>Running', 'Paused>resume>Running', 'Paused>cancel>Canceled',
        'Expired>renew>Running', 'Expired>cancel>Canceled'))
);

CREATE TABLE alerts (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    cause text NOT NULL,
    line_id uuid,
    pool_id text,
    subject text,
    detail text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    mailed_at timestamptz,
    closed_at timestamptz,
    closed_by text,
    close_reason text,
    telling_until timestamptz,
    heard_at timestamptz,
    CONSTRAINT alerts_pkey PRIMARY KEY (id),
    CONSTRAINT alerts_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT alerts_cause_check CHECK (cause IN ('Unavailable', 'RateLimited', 'Rejected', 'BadReply',
        'Configuration', 'OutOfStock', 'Conflict', 'DuplicateKey', 'Internal', 'Manual', 'Refund', 'ManualRefund',
        'Revocation', 'Exposed', 'Undelivered', 'Bounced', 'Restored', 'PartnerAnsweredDifferently', 'PartnerMoved',
        'PartnerDown', 'PartnerBack', 'CertificateExpiring', 'ClockSkew', 'LowStock', 'RunsDry', 'Owed', 'Audit',
        'SearchAttributes', 'Capture', 'LatePayment', 'Mismatch', 'NotAccepted', 'ProcessorDown', 'ProcessorRefuses',
        'UnknownPayment', 'CardTesting', 'WebhookFailing', 'RefundPending', 'RefundFailed', 'ProcessorMode',
        'ExternalRefund', 'Dispute', 'FraudWarning'))
);
CREATE INDEX alerts_by_cause ON alerts (cause, id);
CREATE INDEX alerts_by_merchant ON alerts (split_part(alert_subject(pool_id, subject, detail), ':', 1), id)
        WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0;
CREATE INDEX alerts_by_merchant_cause ON alerts (split_part(alert_subject(pool_id, subject, detail), ':', 1), cause,
        id) WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0;
CREATE UNIQUE INDEX alerts_line ON alerts (line_id, cause) WHERE line_id IS NOT NULL;
CREATE INDEX alerts_open_by_cause ON alerts (cause, id) WHERE closed_at IS NULL;
CREATE INDEX alerts_open_by_merchant ON alerts (split_part(alert_subject(pool_id, subject, detail), ':', 1), id)
        WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0 AND closed_at IS NULL;
CREATE INDEX alerts_open_by_merchant_cause ON alerts (split_part(alert_subject(pool_id, subject, detail), ':', 1),
        cause, id) WHERE strpos(alert_subject(pool_id, subject, detail), ':') > 0 AND closed_at IS NULL;
CREATE UNIQUE INDEX alerts_pool ON alerts (pool_id, cause) WHERE pool_id IS NOT NULL AND closed_at IS NULL;
CREATE UNIQUE INDEX alerts_subject ON alerts (subject, cause) WHERE subject IS NOT NULL AND closed_at IS NULL;
CREATE INDEX alerts_to_mail ON alerts (id) WHERE mailed_at IS NULL;

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    workflow text NOT NULL,
    subject text NOT NULL,
    due_at timestamptz NOT NULL DEFAULT now(),
    tries integer NOT NULL DEFAULT 0,
    position integer NOT NULL DEFAULT 0,
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_workflow_subject_key UNIQUE (workflow, subject)
);
CREATE INDEX outbox_due ON outbox (due_at);

CREATE TABLE api_tokens (
    name text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    prefix text NOT NULL DEFAULT '',
    ignore_unknown_fields boolean NOT NULL DEFAULT false,
    last_used_at timestamptz,
    withdrawn_at timestamptz,
    CONSTRAINT api_tokens_pkey PRIMARY KEY (name),
    CONSTRAINT api_tokens_hash_key UNIQUE (hash)
);

CREATE TABLE audits (
    id uuid NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    ok boolean NOT NULL,
    report text NOT NULL,
    CONSTRAINT audits_pkey PRIMARY KEY (id)
);
CREATE INDEX audits_by_time ON audits (started_at, id);

CREATE TABLE erasures (
    id uuid NOT NULL,
    customer_hash bytea NOT NULL,
    erased_at timestamptz NOT NULL,
    orders integer NOT NULL,
    lines integer NOT NULL,
    by text NOT NULL,
    CONSTRAINT erasures_pkey PRIMARY KEY (id)
);
CREATE INDEX erasures_by_time ON erasures (erased_at, id);

CREATE TABLE lost_lines (
    fulfillment_id uuid NOT NULL,
    line_id uuid NOT NULL,
    order_id text NOT NULL,
    product_id text NOT NULL,
    source text NOT NULL,
    status text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    taken_at timestamptz,
    CONSTRAINT lost_lines_pkey PRIMARY KEY (fulfillment_id)
);
CREATE INDEX lost_lines_by_order ON lost_lines (order_id) WHERE taken_at IS NULL;

CREATE TABLE restores (
    since timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    last_key bigint NOT NULL,
    CONSTRAINT restores_pkey PRIMARY KEY (at)
);

CREATE TABLE installation (
    one boolean NOT NULL DEFAULT true,
    key_file bytea NOT NULL,
    bound_at timestamptz NOT NULL DEFAULT now(),
    name text,
    CONSTRAINT installation_pkey PRIMARY KEY (one),
    CONSTRAINT installation_name_check CHECK (name ~ '^[a-z0-9-]{3,32}$'),
    CONSTRAINT installation_one_check CHECK (one)
);

CREATE TABLE checkout_links (
    id text NOT NULL,
    client text NOT NULL,
    idempotency_key text NOT NULL,
    request_hash bytea NOT NULL,
    reference text,
    order_id text NOT NULL,
    status text NOT NULL DEFAULT 'OPEN',
    version integer NOT NULL DEFAULT 1,
    provider text NOT NULL,
    currency text NOT NULL,
    customer_id text NOT NULL,
    spec bytea NOT NULL,
    draft text NOT NULL DEFAULT '{}',
    page_hash bytea NOT NULL,
    payments_begun integer NOT NULL DEFAULT 0,
    payments_most integer NOT NULL DEFAULT 5,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    opened_at timestamptz,
    ended_at timestamptz,
    end_reason text,
    blanked_at timestamptz,
    CONSTRAINT checkout_links_pkey PRIMARY KEY (id),
    CONSTRAINT checkout_links_client_idempotency_key_key UNIQUE (client, idempotency_key),
    CONSTRAINT checkout_links_client_reference_key UNIQUE (client, reference),
    CONSTRAINT checkout_links_page_hash_key UNIQUE (page_hash),
    CONSTRAINT checkout_links_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id),
    CONSTRAINT checkout_links_check CHECK (payments_begun <= payments_most),
    CONSTRAINT checkout_links_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT checkout_links_end CHECK ((status IN ('USED', 'EXPIRED', 'CANCELED')) = (ended_at IS NOT NULL)),
    CONSTRAINT checkout_links_status CHECK (status IN ('OPEN', 'PAYING', 'USED', 'EXPIRED', 'CANCELED'))
);
ALTER TABLE checkout_links ALTER COLUMN spec SET STORAGE EXTERNAL;
CREATE INDEX checkout_links_by_merchant ON checkout_links (split_part(order_id, ':', 1), created_at, id)
        WHERE strpos(order_id, ':') > 0;
CREATE INDEX checkout_links_by_merchant_status ON checkout_links (split_part(order_id, ':', 1), status, created_at,
        id) WHERE strpos(order_id, ':') > 0;
CREATE INDEX checkout_links_by_reference ON checkout_links (reference, created_at, id) WHERE reference IS NOT NULL;
CREATE INDEX checkout_links_by_status ON checkout_links (status, created_at, id);
CREATE INDEX checkout_links_by_time ON checkout_links (created_at, id);
CREATE INDEX checkout_links_of_customer ON checkout_links (customer_id);
CREATE UNIQUE INDEX checkout_links_order ON checkout_links (order_id) WHERE status IN ('OPEN', 'PAYING', 'USED');
CREATE INDEX checkout_links_to_blank ON checkout_links (ended_at) WHERE (status IN ('EXPIRED',
        'CANCELED')) AND blanked_at IS NULL;
CREATE INDEX checkout_links_to_expire ON checkout_links (expires_at) WHERE status = 'OPEN';

CREATE TABLE link_log (
    link_id text NOT NULL,
    version integer NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT link_log_pkey PRIMARY KEY (link_id, version),
    CONSTRAINT link_log_link_id_fkey FOREIGN KEY (link_id) REFERENCES checkout_links(id),
    CONSTRAINT link_transitions CHECK (from_status = to_status OR link_may_become(from_status, to_status))
);

CREATE TABLE payments (
    id uuid NOT NULL,
    link_id text NOT NULL,
    number integer NOT NULL,
    status text NOT NULL DEFAULT 'CREATED',
    version integer NOT NULL DEFAULT 1,
    provider text NOT NULL,
    capture text NOT NULL,
    mixed text NOT NULL,
    customer_id text NOT NULL,
    snapshot bytea NOT NULL,
    currency text NOT NULL,
    total_minor bigint NOT NULL,
    pay_until timestamptz NOT NULL,
    open_no integer NOT NULL DEFAULT 1,
    session_reference text,
    session_url bytea,
    payment_reference text,
    order_id text,
    authorized_minor bigint NOT NULL DEFAULT 0,
    authorized_at timestamptz,
    capture_by timestamptz,
    chargeable_minor bigint NOT NULL DEFAULT 0,
    first_tries integer NOT NULL DEFAULT 0,
    give_up_failed boolean NOT NULL DEFAULT false,
    capture_minor bigint,
    capture_no integer NOT NULL DEFAULT 1,
    capture_tries integer NOT NULL DEFAULT 0,
    capture_until timestamptz,
    captured_minor bigint NOT NULL DEFAULT 0,
    captured_at timestamptz,
    failure text,
    looks integer NOT NULL DEFAULT 0,
    look_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    link_order_id text,
    told_at timestamptz,
    asked_at timestamptz,
    pressed_at timestamptz,
    keys_wait_until timestamptz,
    blanked_at timestamptz,
    open_failed_at timestamptz,
    opening_at timestamptz,
    CONSTRAINT payments_pkey PRIMARY KEY (id),
    CONSTRAINT payments_link_id_number_key UNIQUE (link_id, number),
    CONSTRAINT payments_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id),
    CONSTRAINT payments_link_id_fkey FOREIGN KEY (link_id) REFERENCES checkout_links(id),
    CONSTRAINT payments_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT payments_authorized_minor_check CHECK (authorized_minor >= 0),
    CONSTRAINT payments_blanked CHECK (blanked_at IS NULL OR snapshot = '\x' AND session_url IS NULL),
    CONSTRAINT payments_capture_check CHECK (capture IN ('whenObtained', 'whenPossible', 'atOnce')),
    CONSTRAINT payments_capture_minor_check CHECK (capture_minor > 0),
    CONSTRAINT payments_captured CHECK ((captured_minor > 0) <= (status = 'CAPTURED')),
    CONSTRAINT payments_captured_minor_check CHECK (captured_minor >= 0),
    CONSTRAINT payments_check CHECK (chargeable_minor >= 0 AND chargeable_minor <= total_minor),
    CONSTRAINT payments_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT payments_first_tries_check CHECK (first_tries >= 0),
    CONSTRAINT payments_mixed_check CHECK (mixed IN ('chargeAll', 'chargeReady')),
    CONSTRAINT payments_status CHECK (status IN ('CREATED', 'OPEN', 'PROCESSING', 'FAILED', 'EXPIRED', 'MISMATCH',
        'AUTHORIZED', 'CAPTURING', 'CAPTURED', 'VOIDING', 'VOIDED', 'LOST')),
    CONSTRAINT payments_total_minor_check CHECK (total_minor >= 0)
);
ALTER TABLE payments ALTER COLUMN snapshot SET STORAGE EXTERNAL;
CREATE INDEX payments_by_merchant ON payments (split_part(link_order_id, ':', 1), created_at, id)
        WHERE strpos(link_order_id, ':') > 0;
CREATE INDEX payments_by_merchant_status ON payments (split_part(link_order_id, ':', 1), status, created_at, id)
        WHERE strpos(link_order_id, ':') > 0;
CREATE INDEX payments_by_status ON payments (status, created_at, id);
CREATE INDEX payments_by_time ON payments (created_at, id);
CREATE INDEX payments_expired ON payments (ended_at) WHERE status = 'EXPIRED';
CREATE INDEX payments_of_customer ON payments (customer_id);
CREATE UNIQUE INDEX payments_order ON payments (order_id) WHERE order_id IS NOT NULL;
CREATE UNIQUE INDEX payments_payable ON payments (link_id) WHERE status IN ('CREATED', 'OPEN', 'PROCESSING');
CREATE UNIQUE INDEX payments_reference ON payments (provider, payment_reference) WHERE payment_reference IS NOT NULL;
CREATE UNIQUE INDEX payments_session ON payments (provider, session_reference) WHERE session_reference IS NOT NULL;
CREATE UNIQUE INDEX payments_sold ON payments (link_id) WHERE order_id IS NOT NULL;
CREATE INDEX payments_to_blank ON payments (ended_at)
        WHERE order_id IS NULL AND blanked_at IS NULL AND ended_at IS NOT NULL;
CREATE INDEX payments_to_look ON payments (look_at) WHERE look_at IS NOT NULL;

CREATE TABLE payment_log (
    payment_id uuid NOT NULL,
    version integer NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT payment_log_pkey PRIMARY KEY (payment_id, version),
    CONSTRAINT payment_log_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT payment_transitions CHECK (payment_may_become(from_status, to_status))
);

CREATE TABLE payment_refunds (
    payment_id uuid NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    attempts integer NOT NULL DEFAULT 0,
    error text,
    provider_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    key_no integer NOT NULL DEFAULT 1,
    key_since timestamptz,
    key_failed_at timestamptz,
    under_way_since timestamptz,
    failed_at timestamptz,
    CONSTRAINT payment_refunds_pkey PRIMARY KEY (payment_id),
    CONSTRAINT payment_refunds_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT payment_refunds_amount_minor_check CHECK (amount_minor > 0),
    CONSTRAINT payment_refunds_check CHECK ((status = 'DONE') = (done_at IS NOT NULL)),
    CONSTRAINT payment_refunds_status_check CHECK (status IN ('PENDING', 'DONE'))
);
CREATE INDEX payment_refunds_pending ON payment_refunds (created_at) WHERE status = 'PENDING';

CREATE TABLE provider_events (
    provider text NOT NULL,
    id text NOT NULL,
    type text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    payment_id uuid,
    outcome text NOT NULL DEFAULT '',
    CONSTRAINT provider_events_pkey PRIMARY KEY (provider, id),
    CONSTRAINT provider_events_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT provider_events_outcome_check CHECK (outcome IN ('', 'paid', 'refused'))
);
CREATE INDEX provider_events_by_time ON provider_events (received_at);

CREATE TABLE sandbox_sessions (
    id text NOT NULL,
    key text NOT NULL,
    payment_id uuid NOT NULL,
    order_id text NOT NULL,
    token_hash bytea NOT NULL,
    currency text NOT NULL,
    total_minor bigint NOT NULL,
    lines text NOT NULL,
    back_url text NOT NULL,
    return_url text NOT NULL,
    script text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'open',
    reference text,
    authorized_minor bigint NOT NULL DEFAULT 0,
    captured_minor bigint NOT NULL DEFAULT 0,
    capture_by timestamptz,
    settles_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    request bytea NOT NULL DEFAULT '\x',
    authorize text NOT NULL DEFAULT 'whenPossible',
    locale text NOT NULL DEFAULT '',
    method text NOT NULL DEFAULT '',
    capture_key text NOT NULL DEFAULT '',
    capture_tries integer NOT NULL DEFAULT 0,
    CONSTRAINT sandbox_sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sandbox_sessions_key_key UNIQUE (key),
    CONSTRAINT sandbox_sessions_reference_key UNIQUE (reference),
    CONSTRAINT sandbox_sessions_token_hash_key UNIQUE (token_hash),
    CONSTRAINT sandbox_sessions_authorize_check CHECK (authorize IN ('whenObtained', 'whenPossible', 'atOnce')),
    CONSTRAINT sandbox_sessions_check CHECK (captured_minor <= authorized_minor),
    CONSTRAINT sandbox_sessions_status_check CHECK (status IN ('open', 'processing', 'authorized', 'captured',
        'voided', 'expired', 'failed')),
    CONSTRAINT sandbox_sessions_total_minor_check CHECK (total_minor > 0)
);
CREATE INDEX sandbox_sessions_of_payment ON sandbox_sessions (payment_id, created_at);

CREATE TABLE merchant_payments (
    provider text NOT NULL,
    reference text NOT NULL,
    merchant text NOT NULL,
    CONSTRAINT merchant_payments_pkey PRIMARY KEY (provider, reference)
);

CREATE TABLE reservations (
    payment_id uuid NOT NULL,
    pool_id text NOT NULL,
    units bigint NOT NULL,
    CONSTRAINT reservations_pkey PRIMARY KEY (payment_id, pool_id),
    CONSTRAINT reservations_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT reservations_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES pools(id) ON DELETE CASCADE,
    CONSTRAINT reservations_units_check CHECK (units > 0)
);
CREATE INDEX reservations_of_pool ON reservations (pool_id) INCLUDE (units);

CREATE TABLE shop (
    id text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    spec text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT shop_pkey PRIMARY KEY (id),
    CONSTRAINT shop_id_check CHECK (id = 'shop')
);

CREATE TABLE processor_troubles (
    provider text NOT NULL,
    failing text[] NOT NULL,
    failure text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    opened_at timestamptz,
    CONSTRAINT processor_troubles_pkey PRIMARY KEY (provider)
);

CREATE TABLE images (
    owner text NOT NULL,
    sha256 text NOT NULL,
    type text NOT NULL,
    content bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT images_pkey PRIMARY KEY (owner),
    CONSTRAINT images_content_check CHECK (length(content) >= 1 AND length(content) <= 204800),
    CONSTRAINT images_type_check CHECK (type IN ('image/png', 'image/jpeg', 'image/webp'))
);
CREATE INDEX images_by_content ON images (sha256);

CREATE TABLE payment_mails (
    id uuid NOT NULL,
    payment_id uuid NOT NULL,
    kind text NOT NULL,
    message bytea,
    status text NOT NULL DEFAULT 'READY',
    due_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    change_id uuid,
    CONSTRAINT payment_mails_pkey PRIMARY KEY (id),
    CONSTRAINT payment_mails_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT payment_mails_change CHECK (kind <> 'addressChanged' OR change_id IS NOT NULL),
    CONSTRAINT payment_mails_due CHECK (status <> 'SENT' OR due_at IS NULL),
    CONSTRAINT payment_mails_kind CHECK (kind IN ('confirmation', 'refused', 'ended', 'corrected', 'orderPage',
        'withdrawal', 'addressChanged')),
    CONSTRAINT payment_mails_sent CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    CONSTRAINT payment_mails_status CHECK (status IN ('READY', 'SENDING', 'SENT'))
);
ALTER TABLE payment_mails ALTER COLUMN message SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX payment_mails_anew ON payment_mails (change_id, kind) WHERE change_id IS NOT NULL;
CREATE INDEX payment_mails_due_at ON payment_mails (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payment_mails_kept ON payment_mails (created_at) WHERE message <> '\x';
CREATE INDEX payment_mails_of_payment ON payment_mails (payment_id);
CREATE UNIQUE INDEX payment_mails_once ON payment_mails (payment_id, kind)
        WHERE kind <> 'orderPage' AND change_id IS NULL;

CREATE TABLE webhooks (
    id text NOT NULL,
    version bigint NOT NULL DEFAULT nextval('integration_versions'::regclass),
    spec text NOT NULL,
    secrets bytea NOT NULL,
    max_concurrent integer NOT NULL,
    called boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    failing bigint[] NOT NULL DEFAULT '{}'::bigint[],
    opened_at timestamptz,
    probes integer NOT NULL DEFAULT 0,
    probe_until timestamptz,
    next_try_at timestamptz,
    failing_since timestamptz,
    failing_days integer NOT NULL DEFAULT 0,
    failed_on date,
    off_at timestamptz,
    off_why text,
    CONSTRAINT webhooks_pkey PRIMARY KEY (id),
    CONSTRAINT webhooks_max_concurrent CHECK (max_concurrent >= 1 AND max_concurrent <= 100),
    CONSTRAINT webhooks_off CHECK ((off_at IS NULL) = (off_why IS NULL)),
    CONSTRAINT webhooks_off_why CHECK (off_why IN ('failing', 'gone'))
);
CREATE INDEX webhooks_by_merchant ON webhooks (split_part(id, ':', 1), id) WHERE strpos(id, ':') > 0;

CREATE TABLE webhook_types (
    pattern text NOT NULL,
    webhook text NOT NULL,
    prefix text NOT NULL,
    CONSTRAINT webhook_types_pkey PRIMARY KEY (pattern, webhook),
    CONSTRAINT webhook_types_webhook_fkey FOREIGN KEY (webhook) REFERENCES webhooks(id) ON DELETE CASCADE
);
CREATE INDEX webhook_types_of ON webhook_types (webhook);

CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    type text NOT NULL,
    about text NOT NULL,
    facts text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    number bigint,
    public_id uuid,
    body text,
    CONSTRAINT events_pkey PRIMARY KEY (id),
    CONSTRAINT events_numbered CHECK ((number IS NULL) = (body IS NULL) AND (number IS NULL) = (public_id IS NULL))
);
CREATE UNIQUE INDEX events_number ON events (number) WHERE number IS NOT NULL;
CREATE INDEX events_to_number ON events (id) WHERE number IS NULL;

CREATE TABLE event_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    event_id bigint NOT NULL,
    webhook text NOT NULL,
    replay bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'PENDING',
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz DEFAULT clock_timestamp(),
    lease_until timestamptz,
    digest bytea,
    tried_at timestamptz,
    http_status integer,
    error_kind text,
    reply text,
    duration_ms integer,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at timestamptz,
    CONSTRAINT event_deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT event_deliveries_once UNIQUE (event_id, webhook, replay),
    CONSTRAINT event_deliveries_event_id_fkey FOREIGN KEY (event_id) REFERENCES events(id),
    CONSTRAINT event_deliveries_done CHECK ((status = 'PENDING') = (done_at IS NULL)),
    CONSTRAINT event_deliveries_due CHECK ((status = 'PENDING') = (next_at IS NOT NULL)),
    CONSTRAINT event_deliveries_lease CHECK (status = 'PENDING' OR lease_until IS NULL),
    CONSTRAINT event_deliveries_status CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED'))
);
CREATE INDEX event_deliveries_by_status ON event_deliveries (webhook, status, id);
CREATE INDEX event_deliveries_due_at ON event_deliveries (webhook, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX event_deliveries_leased ON event_deliveries (webhook, lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE event_watch (
    what text NOT NULL,
    upto timestamptz NOT NULL,
    CONSTRAINT event_watch_pkey PRIMARY KEY (what),
    CONSTRAINT event_watch_what CHECK (what IN ('license.expired', 'checkout.abandoned'))
);

CREATE TABLE payment_aftermath (
    provider text NOT NULL,
    id text NOT NULL,
    payment_id uuid,
    kind text NOT NULL,
    amount_minor bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    status text NOT NULL,
    reason text NOT NULL DEFAULT '',
    due_at timestamptz,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    reference text NOT NULL DEFAULT '',
    CONSTRAINT payment_aftermath_pkey PRIMARY KEY (provider, id),
    CONSTRAINT payment_aftermath_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT payment_aftermath_kind_check CHECK (kind IN ('refund', 'dispute', 'warning')),
    CONSTRAINT payment_aftermath_of CHECK ((payment_id IS NULL) = (reference <> '')),
    CONSTRAINT payment_aftermath_status_check CHECK (status IN ('', 'open', 'won', 'lost', 'failed'))
);
CREATE INDEX payment_aftermath_of_payment ON payment_aftermath (payment_id);
CREATE INDEX payment_aftermath_of_reference ON payment_aftermath (provider, reference) WHERE payment_id IS NULL;

CREATE TABLE processor_reviews (
    provider text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT processor_reviews_pkey PRIMARY KEY (provider)
);

CREATE TABLE library_links (
    id uuid NOT NULL,
    email_tag bytea,
    day date NOT NULL,
    number integer NOT NULL,
    customer_id text,
    token_hash bytea,
    message bytea,
    status text NOT NULL DEFAULT 'READY',
    due_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    sent_at timestamptz,
    used_at timestamptz,
    session_hash bytea,
    session_until timestamptz,
    CONSTRAINT library_links_pkey PRIMARY KEY (id),
    CONSTRAINT library_links_once UNIQUE (email_tag, day, number),
    CONSTRAINT library_links_session_hash_key UNIQUE (session_hash),
    CONSTRAINT library_links_token_hash_key UNIQUE (token_hash),
    CONSTRAINT library_links_due CHECK (status <> 'SENT' OR due_at IS NULL),
    CONSTRAINT library_links_made CHECK ((token_hash IS NULL) = (customer_id IS NULL)),
    CONSTRAINT library_links_number CHECK (number >= 1 AND number <= 5),
    CONSTRAINT library_links_sent CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    CONSTRAINT library_links_session CHECK ((session_hash IS NULL) = (used_at IS NULL) AND (session_hash IS NULL) = (session_until IS NULL)),
    CONSTRAINT library_links_status CHECK (status IN ('READY', 'SENDING', 'SENT')),
    CONSTRAINT library_links_used CHECK (used_at IS NULL OR token_hash IS NOT NULL)
);
ALTER TABLE library_links ALTER COLUMN message SET STORAGE EXTERNAL;
CREATE INDEX library_links_due_at ON library_links (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX library_links_kept ON library_links (created_at) WHERE email_tag IS NOT NULL;
CREATE INDEX library_links_of_customer ON library_links (customer_id) WHERE customer_id IS NOT NULL;

CREATE TABLE bounces (
    id uuid NOT NULL,
    delivery_id uuid,
    kind text NOT NULL,
    status text NOT NULL DEFAULT '',
    diagnostic bytea NOT NULL DEFAULT '\x',
    via text NOT NULL,
    replaced boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    payment_mail_id uuid,
    library_link_id uuid,
    CONSTRAINT bounces_pkey PRIMARY KEY (id),
    CONSTRAINT bounces_once UNIQUE (delivery_id, kind),
    CONSTRAINT bounces_delivery_id_fkey FOREIGN KEY (delivery_id) REFERENCES deliveries(id),
    CONSTRAINT bounces_library_link_id_fkey FOREIGN KEY (library_link_id) REFERENCES library_links(id),
    CONSTRAINT bounces_payment_mail_id_fkey FOREIGN KEY (payment_mail_id) REFERENCES payment_mails(id),
    CONSTRAINT bounces_kind CHECK (kind IN ('bad_address', 'refused', 'undeliverable', 'complaint', 'delayed',
        'unknown')),
    CONSTRAINT bounces_of CHECK (num_nonnulls(delivery_id, payment_mail_id, library_link_id) = 1),
    CONSTRAINT bounces_via CHECK (via IN ('smtp', 'imap', 'ses', 'postmark', 'mailgun', 'sendgrid'))
);
CREATE INDEX bounces_kept ON bounces (at) WHERE diagnostic <> '\x';
CREATE UNIQUE INDEX bounces_of_library ON bounces (library_link_id, kind) WHERE library_link_id IS NOT NULL;
CREATE UNIQUE INDEX bounces_of_payment ON bounces (payment_mail_id, kind) WHERE payment_mail_id IS NOT NULL;

CREATE TABLE address_changes (
    id uuid NOT NULL,
    order_id text NOT NULL,
    number integer,
    line_id uuid,
    address bytea NOT NULL,
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at timestamptz,
    done_by text,
    carry_at timestamptz,
    CONSTRAINT address_changes_pkey PRIMARY KEY (id),
    CONSTRAINT address_changes_number UNIQUE (order_id, number),
    CONSTRAINT address_changes_line_id_fkey FOREIGN KEY (line_id) REFERENCES line_items(id),
    CONSTRAINT address_changes_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT address_changes_carried CHECK (carry_at IS NULL OR done_at IS NOT NULL),
    CONSTRAINT address_changes_done CHECK ((done_at IS NULL) = (done_by IS NULL)),
    CONSTRAINT address_changes_most CHECK (number >= 1 AND number <= 3)
);
CREATE INDEX address_changes_of_line ON address_changes (line_id);
CREATE INDEX address_changes_to_carry ON address_changes (carry_at) WHERE carry_at IS NOT NULL;

CREATE TABLE mail_probes (
    id uuid NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    returned_at timestamptz,
    kind text,
    via text,
    CONSTRAINT mail_probes_pkey PRIMARY KEY (id),
    CONSTRAINT mail_probes_returned CHECK ((returned_at IS NULL) = (kind IS NULL) AND (kind IS NULL) = (via IS NULL))
);

CREATE TRIGGER license_canceled AFTER UPDATE OF status ON licenses FOR EACH ROW WHEN (new.status = 'Canceled' AND old.status <> 'Canceled') EXECUTE FUNCTION license_events();

CREATE TRIGGER license_step_events AFTER INSERT ON license_steps FOR EACH ROW WHEN (new.operation <> 'cancel') EXECUTE FUNCTION license_step_events();

CREATE TRIGGER link_created AFTER INSERT ON checkout_links FOR EACH ROW EXECUTE FUNCTION link_events();

CREATE TRIGGER link_events AFTER UPDATE OF status,
        opened_at ON checkout_links FOR EACH ROW WHEN (old.opened_at IS NULL AND new.opened_at IS NOT NULL OR old.status <> new.status AND (new.status IN ('USED', 'EXPIRED', 'CANCELED'))) EXECUTE FUNCTION link_events();

CREATE TRIGGER payment_events AFTER UPDATE OF status ON payments FOR EACH ROW WHEN (old.status <> new.status AND (new.status IN ('PROCESSING', 'AUTHORIZED', 'CAPTURED', 'VOIDED', 'LOST', 'FAILED', 'MISMATCH'))) EXECUTE FUNCTION payment_events();

CREATE TRIGGER alert_opened AFTER INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION alert_events();

CREATE TRIGGER alert_events AFTER UPDATE OF closed_at ON alerts FOR EACH ROW WHEN ((old.closed_at IS NULL) <> (new.closed_at IS NULL)) EXECUTE FUNCTION alert_events();

CREATE TRIGGER pool_events AFTER UPDATE OF empty_since ON pools FOR EACH ROW WHEN ((old.empty_since IS NULL) <> (new.empty_since IS NULL)) EXECUTE FUNCTION pool_events();

CREATE TRIGGER see_webhooks BEFORE INSERT ON webhook_types FOR EACH STATEMENT EXECUTE FUNCTION see_webhooks();

CREATE TRIGGER line_events AFTER INSERT ON line_log FOR EACH ROW WHEN ((new.to_status IN ('OBTAINED', 'RETRYING',
        'WAITING_FOR_STOCK', 'HELD', 'DELIVERED',
        'CANCELED')) AND pg_sequence_last_value('webhooks_seen'::regclass) IS NOT NULL) EXECUTE FUNCTION line_events();

CREATE TRIGGER order_created AFTER INSERT ON orders FOR EACH ROW WHEN (pg_sequence_last_value('webhooks_seen'::regclass) IS NOT NULL) EXECUTE FUNCTION order_events();

CREATE TRIGGER order_events AFTER UPDATE OF status ON orders FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status AND new.status <> 'PENDING' AND pg_sequence_last_value('webhooks_seen'::regclass) IS NOT NULL) EXECUTE FUNCTION order_events();

CREATE TRIGGER license_created AFTER INSERT ON licenses FOR EACH ROW WHEN (pg_sequence_last_value('webhooks_seen'::regclass) IS NOT NULL) EXECUTE FUNCTION license_events();

CREATE TRIGGER aftermath_events AFTER INSERT OR UPDATE OF status ON payment_aftermath FOR EACH ROW EXECUTE FUNCTION aftermath_events();

CREATE TRIGGER refund_events AFTER UPDATE OF status,
        failed_at ON refunds FOR EACH ROW WHEN (old.failed_at IS NULL AND new.failed_at IS NOT NULL OR old.status <> 'DONE' AND new.status = 'DONE' AND new.failed_at IS NULL AND new.amount_minor > 0) EXECUTE FUNCTION refund_events();

CREATE TRIGGER payment_refund_events AFTER UPDATE OF status,
        failed_at ON payment_refunds FOR EACH ROW WHEN (old.failed_at IS NULL AND new.failed_at IS NOT NULL OR old.status <> 'DONE' AND new.status = 'DONE' AND new.failed_at IS NULL AND new.amount_minor > 0) EXECUTE FUNCTION payment_refund_events();

CREATE TRIGGER bounce_events AFTER INSERT ON bounces FOR EACH ROW WHEN (NOT new.replaced AND (new.kind
        IN ('bad_address', 'refused', 'undeliverable',
        'complaint')) AND pg_sequence_last_value('webhooks_seen'::regclass) IS NOT NULL) EXECUTE FUNCTION bounce_events();
