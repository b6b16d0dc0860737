-- +goose Up
-- A keyed hash of the address that an order's e-mails go to: by it a customer finds all orders of that address. NULL: the
-- customer was erased, or housekeeping has not come to it yet.
ALTER TABLE orders ADD COLUMN email_tag bytea;

-- Links to a customer's library: each was asked for with an address, and is sent to it if it has orders.
CREATE TABLE library_links (
    id            uuid PRIMARY KEY,
    email_tag     bytea,           -- of the address that was asked for; NULL once nothing needs it
    day           date NOT NULL,
    number        int NOT NULL,    -- among those of that address on that day
    customer_id   text,            -- whose order's address it was sent to; NULL: to nobody
    token_hash    bytea UNIQUE,    -- of the link; NULL until its e-mail is made
    message       bytea,           -- encrypted; NULL until it is made, empty once nothing needs it
    status        text NOT NULL DEFAULT 'READY',
    due_at        timestamptz,     -- when it may be tried next; while one process sends it, the end of its lease; NULL: never
    attempts      int NOT NULL DEFAULT 0,
    error         text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz NOT NULL,
    sent_at       timestamptz,
    used_at       timestamptz,
    session_hash  bytea UNIQUE,    -- of the browser's cookie
    session_until timestamptz,
    CONSTRAINT library_links_number CHECK (number BETWEEN 1 AND 5),
    CONSTRAINT library_links_once UNIQUE (email_tag, day, number),
    CONSTRAINT library_links_status CHECK (status IN ('READY', 'SENDING', 'SENT')),
    CONSTRAINT library_links_sent CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    CONSTRAINT library_links_made CHECK ((token_hash IS NULL) = (customer_id IS NULL)),
    CONSTRAINT library_links_due CHECK (status <> 'SENT' OR due_at IS NULL),
    CONSTRAINT library_links_used CHECK (used_at IS NULL OR token_hash IS NOT NULL),
    CONSTRAINT library_links_session CHECK ((session_hash IS NULL) = (used_at IS NULL)
        AND (session_hash IS NULL) = (session_until IS NULL))
);
ALTER TABLE library_links ALTER COLUMN message SET STORAGE EXTERNAL;
CREATE INDEX library_links_due_at ON library_links (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX library_links_kept ON library_links (created_at) WHERE email_tag IS NOT NULL;
CREATE INDEX library_links_of_customer ON library_links (customer_id) WHERE customer_id IS NOT NULL;

-- +goose Down
SELECT 'there is no way back' WHERE false;
