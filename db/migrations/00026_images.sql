-- +goose Up
-- Pictures that merchants give us for pages. Each belongs to an entry of the catalog and goes with it.
CREATE TABLE images (
    owner      text PRIMARY KEY,          -- 'shop', or 'product/' and its ID
    sha256     text NOT NULL,             -- of the content: its address
    type       text NOT NULL CHECK (type IN ('image/png', 'image/jpeg', 'image/webp')),
    content    bytea NOT NULL CHECK (length(content) BETWEEN 1 AND 204800),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX images_by_content ON images (sha256);

-- +goose Down
SELECT 'there is no way back' WHERE false;
