-- +goose Up
-- What is sold, and where it comes from.

CREATE TABLE products (
    id              text PRIMARY KEY,
    version         bigint NOT NULL DEFAULT 1,
    spec            text NOT NULL,        -- keyturn.Product as JSON
    pool_currencies text,                 -- pool -> currency, of its pools that have one, as JSON
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- A version stands for one content of an integration for ever: processes cache its secrets and connections under its
-- version, and an integration that is deleted and made again must not meet what was cached of the old one.
CREATE SEQUENCE integration_versions AS bigint START 1000000;

CREATE TABLE integrations (
    id         text PRIMARY KEY,
    version    bigint NOT NULL DEFAULT nextval('integration_versions'),
    spec       text NOT NULL,             -- keyturn.Integration as JSON, without secrets
    secrets    bytea NOT NULL,            -- path -> secret, encrypted
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pools (
    id          text PRIMARY KEY,
    version     bigint NOT NULL DEFAULT 1,
    spec        text NOT NULL,            -- keyturn.Pool as JSON
    data_key    bytea NOT NULL,           -- wrapped by the key-encryption key
    serve_after timestamptz,              -- with a pace: nobody serves waiting lines before
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
SELECT 'there is no way back from the first version' WHERE false;
