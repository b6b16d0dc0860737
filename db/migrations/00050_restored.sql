-- +goose Up
-- What Temporal knew after a restore of lines that this database does not have: whoever sent their orders sends them
-- again, and they take their IDs back, so that partners and payment providers see one request and not two.
CREATE TABLE lost_lines (
    fulfillment_id uuid PRIMARY KEY,
    line_id        uuid NOT NULL,
    order_id       text NOT NULL,
    product_id     text NOT NULL,
    source         text NOT NULL,         -- who was asked first
    status         text NOT NULL,         -- how it ended; empty: it was under way
    noted_at       timestamptz NOT NULL DEFAULT now(),
    taken_at       timestamptz            -- its order was accepted again
);
CREATE INDEX lost_lines_by_order ON lost_lines (order_id) WHERE taken_at IS NULL;

-- +goose Down
SELECT 'there is no way back: the table holds what is still to be accepted' WHERE false;
