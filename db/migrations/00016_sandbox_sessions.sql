-- +goose Up
-- What the sandbox processor needs to answer a repetition as the first time.
ALTER TABLE sandbox_sessions ADD COLUMN request bytea NOT NULL DEFAULT '';      -- a hash of what it was opened with
ALTER TABLE sandbox_sessions ADD COLUMN authorize text NOT NULL DEFAULT 'whenPossible'
    CHECK (authorize IN ('whenObtained', 'whenPossible', 'atOnce'));
ALTER TABLE sandbox_sessions ADD COLUMN locale text NOT NULL DEFAULT '';
ALTER TABLE sandbox_sessions ADD COLUMN method text NOT NULL DEFAULT '';        -- by which it was paid
ALTER TABLE sandbox_sessions ADD COLUMN capture_key text NOT NULL DEFAULT '';   -- under which it was captured
ALTER TABLE sandbox_sessions ADD COLUMN capture_tries int NOT NULL DEFAULT 0;   -- for scripted trouble
ALTER TABLE sandbox_sessions DROP COLUMN calls;
ALTER TABLE sandbox_sessions DROP COLUMN authorize_first;
CREATE INDEX sandbox_sessions_of_payment ON sandbox_sessions (payment_id, created_at);

-- +goose Down
SELECT 'there is no way back' WHERE false;
