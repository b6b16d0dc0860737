-- +goose Up
-- What each run of the audit found. report is audit.Report as JSON; it names orders and lines, and holds no secret.
CREATE TABLE audits (
    id          uuid PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    ok          boolean NOT NULL,
    report      text NOT NULL
);
CREATE INDEX audits_by_time ON audits (started_at, id);

-- +goose Down
DROP TABLE audits;
