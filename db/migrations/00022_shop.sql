-- +goose Up
-- How the merchant appears on pages and in e-mails. There is one at most.
CREATE TABLE shop (
    id         text PRIMARY KEY CHECK (id = 'shop'),
    version    bigint NOT NULL DEFAULT 1,
    spec       text NOT NULL,             -- keyturn.Shop as JSON
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
SELECT 'there is no way back' WHERE false;
