package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// Repetition is what is known of the idempotency key that a write at a payment provider is under.
type Repetition struct {
	No     int
	Since  time.Duration // how long ago it was first used
	Failed time.Duration // how long ago the provider first answered under it that it has failed; 0: it never did
}

// repetition are the columns of a Repetition.
type repetition struct {
	KeyNo     int      `db:"key_no"`
	KeySince  float64  `db:"key_since"`
	KeyFailed *float64 `db:"key_failed"`
}

const repetitionColumns = `key_no, extract(epoch FROM clock_timestamp() - key_since) AS key_since,
	extract(epoch FROM clock_timestamp() - key_failed_at) AS key_failed`

// Repetition is what the columns say.
func (u repetition) Repetition() Repetition {
	out := Repetition{No: u.KeyNo, Since: seconds(u.KeySince)}
	if u.KeyFailed != nil {
		out.Failed = max(seconds(*u.KeyFailed), time.Nanosecond)
	}
	return out
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// NextRefundKey books that a line's refund is asked for under another key than used, and gives its number. KindConflict
// when it is under another one already.
func (d *DB) NextRefundKey(ctx context.Context, lineID string, used int) (no int, err error) {
	return d.nextKey(ctx, `
		UPDATE refunds SET key_no = key_no + 1, key_since = clock_timestamp(), key_failed_at = NULL
		WHERE line_id = $1 AND key_no = $2 AND status = 'PENDING' RETURNING key_no`, lineID, used)
}

// NextPaymentRefundKey is NextRefundKey for what a payment without an order is owed.
func (d *DB) NextPaymentRefundKey(ctx context.Context, paymentID string, used int) (no int, err error) {
	return d.nextKey(ctx, `
		UPDATE payment_refunds SET key_no = key_no + 1, key_since = clock_timestamp(), key_failed_at = NULL
		WHERE payment_id = $1 AND key_no = $2 AND status = 'PENDING' RETURNING key_no`, paymentID, used)
}

func (d *DB) nextKey(ctx context.Context, query, id string, used int) (no int, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var moved []int
		if err := tx.SelectContext(ctx, &moved, query, id, used); err != nil {
			return err
		}
		if len(moved) == 0 {
			return keyturn.Errorf(keyturn.KindConflict, "the refund is asked for under another key already")
		}
		no = moved[0]
		return nil
	})
	return no, err
}
