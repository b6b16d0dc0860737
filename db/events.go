package db

import (
	"context"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Progress is how far somebody has followed an order: the version of each of its lines, by position. It is exact where
// a time or a counter would not be: transactions commit in another order than they write, but a line's versions only
// grow.
type Progress []int

// OrderStep is one step of one line; Line is the line's place in the order and in a Progress.
type OrderStep struct {
	keyturn.StatusEvent
	Line int
}

// OrderEvents gives the steps of an order's lines that were committed since seen (nil: all), in the order in which they
// were made, how far that goes, and the order's status at that moment. KindNotFound.
func (d *DB) OrderEvents(ctx context.Context, orderID string, seen Progress) ([]OrderStep, Progress,
	keyturn.OrderStatus, error,
) {
	if !keyturn.CleanText(orderID, 1, 100) {
		return nil, nil, "", keyturn.Errorf(keyturn.KindNotFound, "there is no such order")
	}
	var lines []struct {
		Status        keyturn.OrderStatus `db:"status"`
		ID            string              `db:"id"`
		FulfillmentID string              `db:"fulfillment_id"`
		Version       int                 `db:"version"`
	}
	// One statement, one snapshot: what the status counts is in the versions.
	if err := d.pg.SelectContext(ctx, &lines, `
		SELECT o.status, l.id, l.fulfillment_id, l.version FROM orders o JOIN line_items l ON l.order_id = o.id
			WHERE o.id = $1 ORDER BY l.position`, orderID); err != nil {
		return nil, nil, "", pg.AsKind(err)
	}
	if len(lines) == 0 {
		return nil, nil, "", keyturn.Errorf(keyturn.KindNotFound, "there is no order %s", orderID)
	}
	now := make(Progress, len(lines))
	var changed []string
	var from, to []int64
	for i, l := range lines {
		now[i] = l.Version
		was := 0
		if i < len(seen) {
			was = seen[i]
		}
		if l.Version > was && l.Version > 1 { // the first version is the acceptance, which is no step
			changed, from, to = append(changed, l.ID), append(from, int64(was)), append(to, int64(l.Version))
		}
	}
	if len(changed) == 0 {
		return nil, now, lines[0].Status, nil
	}
	steps, err := d.stepsOf(ctx, changed, from, to)
	place := make(map[string]int, len(lines))
	for i, l := range lines {
		place[l.FulfillmentID] = i
	}
	for i := range steps {
		steps[i].OrderStatus, steps[i].Line = lines[0].Status, place[steps[i].FulfillmentID]
	}
	return steps, now, lines[0].Status, err
}

// OrderFinal says whether an order that is decided stays so: one that is to be cancelled does not while it has a
// delivered line.
func (d *DB) OrderFinal(ctx context.Context, orderID string) (bool, error) {
	var yes bool
	err := d.pg.GetContext(ctx, &yes, `
		SELECT lines_delivered + lines_canceled = lines_total AND (cancel_reason IS NULL OR lines_delivered = 0) FROM orders
			WHERE id = $1`, orderID)
	return yes, pg.NotFound(err, "there is no order %s", orderID)
}

func (d *DB) stepsOf(ctx context.Context, lines []string, from, to []int64) ([]OrderStep, error) {
	var rows []struct {
		FulfillmentID string             `db:"fulfillment_id"`
		Version       int                `db:"version"`
		From          keyturn.LineStatus `db:"from_status"`
		To            keyturn.LineStatus `db:"to_status"`
		By            string             `db:"by"`
		Reason        string             `db:"reason"`
		At            time.Time          `db:"at"`
	}
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT l.fulfillment_id, g.version, g.from_status, g.to_status, g.by, g.reason, g.at
		FROM unnest(CAST($1 AS uuid[]), CAST($2 AS bigint[]), CAST($3 AS bigint[])) AS t (line_id, seen, upto)
		JOIN line_log g ON g.line_id = t.line_id AND g.version > t.seen AND g.version <= t.upto
		JOIN line_items l ON l.id = t.line_id
		ORDER BY g.at, l.fulfillment_id, g.version`, pq.Array(lines), pq.Array(from), pq.Array(to))
	steps := make([]OrderStep, len(rows))
	for i, r := range rows {
		steps[i].StatusEvent = keyturn.StatusEvent{
			FulfillmentID: r.FulfillmentID, Version: r.Version, From: r.From, To: r.To,
			By: r.By, Reason: r.Reason, At: r.At.UTC(),
		}
	}
	return steps, pg.AsKind(err)
}
