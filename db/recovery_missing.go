package db

import (
	"context"
	"slices"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// missingLine is a line that a restore lost, as its workflow knew it.
type missingLine struct {
	FulfillmentID string             `db:"fulfillment_id"`
	LineID        string             `db:"line_id"`
	OrderID       string             `db:"order_id"`
	ProductID     string             `db:"product_id"`
	Source        string             `db:"source"`
	Status        keyturn.LineStatus `db:"status"`
}

// recordMissing keeps what a workflow knows of a line that is missing. One that does not know its line's ID is of no
// use: the ID is what the payment provider knows its refund by.
func recordMissing(ctx context.Context, tx *sqlx.Tx, h WorkflowOutcome) error {
	if h.LineID == "" || h.OrderID == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO lost_lines (fulfillment_id, line_id, order_id, product_id, source, status) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (fulfillment_id) DO UPDATE SET status = excluded.status, source = excluded.source
			WHERE lost_lines.taken_at IS NULL`,
		h.FulfillmentID, h.LineID, h.OrderID, h.ProductID, h.Source, h.Status)
	return err
}

// takeMissing gives the lines of an order that was accepted before the restore, by their place in the order that is
// accepted now: those with the same ID, otherwise those of the same product in turn.
func (d *DB) takeMissing(ctx context.Context, tx *sqlx.Tx, o keyturn.Order) (map[int]missingLine, error) {
	var lost []missingLine
	if err := tx.SelectContext(ctx, &lost, `
		UPDATE lost_lines SET taken_at = now() WHERE order_id = $1 AND taken_at IS NULL
		RETURNING fulfillment_id, line_id, order_id, product_id, source, status`, o.ID); err != nil {
		return nil, err
	}
	slices.SortFunc(lost, func(a, b missingLine) int { // IDs are minted in the order of the lines
		return slices.Compare([]byte(a.FulfillmentID), []byte(b.FulfillmentID))
	})
	out := map[int]missingLine{}
	for i, l := range o.LineItems {
		at := slices.IndexFunc(lost, func(x missingLine) bool {
			return x.ProductID == l.ProductID &&
				(l.ID == "" || l.ID == x.LineID)
		})
		if at >= 0 {
			out[i] = lost[at]
			lost = slices.Delete(lost, at, at+1)
		}
	}
	return out, nil
}

// reconcileMissing brings lines that were lost to where their workflows had them. Whatever becomes of them, the relay
// starts their workflows if nobody else does: the one that a line had may be about to end at this moment.
func (d *DB) reconcileMissing(ctx context.Context, tx *sqlx.Tx, a *Accepted, lost map[int]missingLine) error {
	if len(lost) == 0 {
		return nil
	}
	var ids []string
	for i, was := range lost {
		l, err := lockLine(ctx, tx, was.FulfillmentID)
		if err != nil {
			return err
		}
		if err := d.reapply(ctx, tx, l, WorkflowOutcome{
			FulfillmentID: was.FulfillmentID, OrderID: was.OrderID, Source: was.Source,
			Status: was.Status,
		}); err != nil {
			return err
		}
		if i < len(a.Starts) {
			a.Starts[i].Next = l.next()
		}
		ids = append(ids, l.ID)
	}
	_, err := tx.ExecContext(ctx,
		`UPDATE line_items SET wake_at = now() + make_interval(secs => $2) + `+unlessTurnSQL("position")+`
			WHERE id = ANY(CAST($1 AS uuid[]))`, pq.Array(ids),
		relayAfter.Seconds())
	return err
}
