package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// Alert is something that operations should know: opened once per line and cause, or per pool and cause, closed when it
// is over. It holds no personal data and no text of a partner.
type Alert struct {
	ID       int64      `db:"id" json:"id"`
	Cause    string     `db:"cause" json:"cause"`
	LineID   *string    `db:"line_id" json:"lineId,omitempty"`
	PoolID   *string    `db:"pool_id" json:"poolId,omitempty"`
	Detail   string     `db:"detail" json:"-"`
	OpenedAt time.Time  `db:"opened_at" json:"openedAt"`
	ClosedAt *time.Time `db:"closed_at" json:"closedAt,omitempty"`
}

// AlertDetail says what happened and what happens next.
type AlertDetail struct {
	OrderID       string    `json:"orderId,omitempty"`
	FulfillmentID string    `json:"fulfillmentId,omitempty"`
	ProductID     string    `json:"productId,omitempty"`
	Source        string    `json:"source,omitempty"`
	Happened      string    `json:"happened"`
	GiveUpAt      time.Time `json:"giveUpAt,omitzero"`
}

// openLineAlert opens the alert of this line and cause unless there is one.
func openLineAlert(ctx context.Context, tx *sqlx.Tx, l *line, f keyturn.Failure) error {
	detail, err := json.Marshal(AlertDetail{
		OrderID: l.OrderID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Source: l.source().Name(), Happened: f.Message, GiveUpAt: l.GiveUpAt,
	})
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO alerts (cause, line_id, detail) VALUES ($1, $2, $3)
		ON CONFLICT (line_id, cause) WHERE line_id IS NOT NULL DO NOTHING`, string(f.Kind), l.ID, string(detail))
	return err
}

// causeExposed: keys may have been seen although the line is refunded. Only a person can end that, so nothing closes it.
const causeExposed = "Exposed"

// closeLineAlerts closes a line's alerts: those of one cause, or all but the revocation's, which has a life of its own.
func closeLineAlerts(ctx context.Context, tx *sqlx.Tx, l *line, cause string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE alerts SET closed_at = now()
		WHERE line_id = $1 AND closed_at IS NULL AND CASE WHEN $2 = '' THEN cause NOT IN ('Revocation', 'Exposed') ELSE cause = $2 END`, l.ID, cause)
	return err
}

// TakeAlerts gives the alerts that nobody was told of yet to send, and books them as told if it returns nil. Another
// process that asks at the same time gets other alerts.
func (d *DB) TakeAlerts(ctx context.Context, limit int, send func([]Alert) error) (int, error) {
	n := 0
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		var alerts []Alert
		if err := tx.SelectContext(ctx, &alerts, `
			SELECT id, cause, line_id, pool_id, detail, opened_at, closed_at FROM alerts
			WHERE mailed_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`, limit); err != nil {
			return err
		}
		if n = len(alerts); n == 0 {
			return nil
		}
		if err := send(alerts); err != nil {
			return err
		}
		ids := make([]int64, n)
		for i, a := range alerts {
			ids[i] = a.ID
		}
		_, err := tx.ExecContext(ctx, `UPDATE alerts SET mailed_at = now() WHERE id = ANY($1)`, pq.Array(ids))
		return err
	})
	return n, err
}

// WatchPools opens the alert of each pool that fell below its threshold and closes those of refilled ones: once per
// crossing.
func (d *DB) WatchPools(ctx context.Context) error {
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			WITH stock AS (
				SELECT p.id, CAST(coalesce(CAST(p.spec AS json) ->> 'threshold', '0') AS bigint) AS threshold, sum(s.available) AS available
				FROM pools p JOIN pool_stock s ON s.pool_id = p.id GROUP BY p.id, p.spec
			), closed AS (
				UPDATE alerts a SET closed_at = now() FROM stock
				WHERE a.pool_id = stock.id AND a.cause = 'LowStock' AND a.closed_at IS NULL AND available >= threshold
			)
			INSERT INTO alerts (cause, pool_id, detail)
			SELECT 'LowStock', id, CAST(json_build_object('happened', 'pool ' || id || ' has ' || available || ' keys left, fewer than ' || threshold) AS text)
			FROM stock WHERE available < threshold
			ON CONFLICT (pool_id, cause) WHERE pool_id IS NOT NULL AND closed_at IS NULL DO NOTHING`)
		return err
	})
}
