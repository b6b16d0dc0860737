-- +goose Up
-- What was done after each restore of a backup, so that it can be repeated: keys with greater IDs were imported since.
CREATE TABLE restores (
    since timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    last_key bigint NOT NULL,
    CONSTRAINT restores_pkey PRIMARY KEY (at)
);
