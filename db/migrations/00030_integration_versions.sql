-- +goose Up
-- A version stands for one content of an integration for ever: processes keep what they made of it (read secrets,
-- connections) under its version, and one that is deleted and made again must not meet what was kept of the old one.
CREATE SEQUENCE integration_versions AS bigint START 1000000;
ALTER TABLE integrations ALTER COLUMN version SET DEFAULT nextval('integration_versions');

-- +goose Down
SELECT 'there is no way back: versions are never used twice' WHERE false;
