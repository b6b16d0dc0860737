package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// line is a line item's row, locked for one step, with what the step needs of its order and product.
type line struct {
	ID              string             `db:"id"`
	FulfillmentID   string             `db:"fulfillment_id"`
	OrderID         string             `db:"order_id"`
	ProductID       string             `db:"product_id"`
	Quantity        int                `db:"quantity"`
	GrossMinor      int64              `db:"gross_minor"`
	Operation       string             `db:"operation"`
	SubscriptionID  string             `db:"subscription_id"`
	TrialContext    string             `db:"trial_context"`
	Status          keyturn.LineStatus `db:"status"`
	Version         int                `db:"version"`
	SourceNo        int                `db:"source_no"`
	SourceStartedAt time.Time          `db:"source_started_at"`
	Attempts        int                `db:"attempts"`
	Failures        int                `db:"failures"`
	FailureJSON     *string            `db:"failure"`
	NextAttemptAt   *time.Time         `db:"next_attempt_at"`
	GiveUpAt        time.Time          `db:"give_up_at"`
	ExtendedUntil   *time.Time         `db:"extended_until"`
	HeldUntil       *time.Time         `db:"held_until"`
	WaitingPool     *string            `db:"waiting_pool"`
	ObtainedAt      *time.Time         `db:"obtained_at"`
	DeliveredAt     *time.Time         `db:"delivered_at"`
	CanceledAt      *time.Time         `db:"canceled_at"`
	WakeAt          *time.Time         `db:"wake_at"`
	CreatedAt       time.Time          `db:"created_at"`
	Currency        string             `db:"currency"`
	CustomerID      string             `db:"customer_id"`
	CancelReason    *string            `db:"cancel_reason"`
	ProductSpec     string             `db:"product_spec"`
	Now             time.Time          `db:"now"` // the database's clock, the only one that decides

	// Only of a locked line: what its order's customer is decrypted from.
	CustomerSealed []byte `db:"customer_sealed"`
	CustomerKey    []byte `db:"customer_key"`

	product keyturn.Product
	saved   keyturn.LineStatus // the status in the database
}

const lineColumns = `
	l.id, l.fulfillment_id, l.order_id, l.product_id, l.quantity, l.gross_minor, l.operation, l.subscription_id,
	l.trial_context, l.status, l.version, l.source_no, l.source_started_at, l.attempts, l.failures, l.failure,
	l.next_attempt_at, l.give_up_at, l.extended_until, l.held_until, l.waiting_pool, l.obtained_at, l.delivered_at,
	l.canceled_at, l.wake_at, l.created_at, o.currency, o.customer_id, o.cancel_reason, p.spec AS product_spec,
	clock_timestamp() AS now`

const lineTables = `
	FROM line_items l
	JOIN orders o ON o.id = l.order_id
	JOIN products p ON p.id = l.product_id`

const lockLineSQL = `SELECT` + lineColumns + `, o.customer AS customer_sealed, c.data_key AS customer_key` + lineTables + `
	JOIN customers c ON c.id = o.customer_id
	WHERE l.fulfillment_id = $1
	FOR UPDATE OF l`

// lockLine takes the row lock under which every change of a line happens.
func lockLine(ctx context.Context, tx *sqlx.Tx, fulfillmentID string) (*line, error) {
	var l line
	if err := tx.GetContext(ctx, &l, lockLineSQL, fulfillmentID); err != nil {
		return nil, notFound(err, "there is no fulfillment %s", fulfillmentID)
	}
	return &l, l.init()
}

func (l *line) init() error {
	l.saved = l.Status
	if err := json.Unmarshal([]byte(l.ProductSpec), &l.product); err != nil {
		return keyturn.Errorf(keyturn.KindInternal, "the stored product %s cannot be read: %w", l.ProductID, err)
	}
	l.product = l.product.WithDefaults()
	if l.SourceNo >= len(l.product.Sources) { // the merchant took sources away while the line was on its way
		l.SourceNo = len(l.product.Sources) - 1
	}
	l.GiveUpAt = l.deadline()
	return nil
}

// deadline is when the customer has keys or money: a person's decision, else the product's policy of today.
func (l *line) deadline() time.Time {
	if l.ExtendedUntil != nil {
		return *l.ExtendedUntil
	}
	return l.CreatedAt.Add(time.Duration(l.product.Retry.GiveUpAfter))
}

// sourceDeadline is when the current source gives up and the next one starts; the last one has the line's deadline. A
// source that partners or people serve and that names no time of its own gets its equal share of the line's.
func (l *line) sourceDeadline() time.Time {
	s, last := l.source(), l.SourceNo == len(l.product.Sources)-1
	switch {
	case s.GiveUpAfter > 0:
		return minTime(l.SourceStartedAt.Add(time.Duration(s.GiveUpAfter)), l.GiveUpAt)
	case last:
		return l.GiveUpAt
	case s.Type == keyturn.SourcePool: // an empty pool with another source behind it
		return l.SourceStartedAt
	}
	return minTime(l.SourceStartedAt.Add(time.Duration(l.product.Retry.GiveUpAfter)/time.Duration(len(l.product.Sources))), l.GiveUpAt)
}

func (l *line) source() keyturn.Source { return l.product.Sources[l.SourceNo] }

func (l *line) units() int { return l.product.Units(l.Quantity) }

func (l *line) failure() *keyturn.Failure {
	if l.FailureJSON == nil {
		return nil
	}
	var f keyturn.Failure
	if json.Unmarshal([]byte(*l.FailureJSON), &f) != nil {
		return nil
	}
	return &f
}

func (l *line) setFailure(f keyturn.Failure) {
	text, _ := json.Marshal(f) //nolint:errchkjson // a Failure always marshals
	s := string(text)
	l.FailureJSON = &s
}

// next says what the line needs now.
func (l *line) next() keyturn.Next {
	n := keyturn.Next{Status: l.Status, Source: l.source().Name(), Until: l.GiveUpAt, Attempts: l.Attempts, Version: l.Version, Failure: l.failure()}
	if l.NextAttemptAt != nil {
		n.At = *l.NextAttemptAt
	}
	switch {
	case !l.Status.Open():
		n.Do, n.At = keyturn.DoNothing, time.Time{}
	case l.Status == keyturn.LineCanceling:
		n.Do = keyturn.DoRefund
	case l.Status == keyturn.LineHeld:
		n.Do, n.At = keyturn.DoAwait, l.GiveUpAt
		if l.HeldUntil != nil {
			n.At = minTime(*l.HeldUntil, l.GiveUpAt)
		}
	case l.ObtainedAt != nil:
		n.Do = keyturn.DoDeliver
	case l.source().Type == keyturn.SourcePool:
		n.Do = keyturn.DoClaim
	case l.source().CallsPartner():
		n.Do = keyturn.DoCall
	default:
		n.Do, n.At = keyturn.DoAwait, l.sourceDeadline()
	}
	return n
}

// What saving a line consists of: the row always, a line in the log when the status changes, the order's counts when the
// change matters to them. They make three statements, so that a step does no more than it has to.
const (
	moveSQL = `
	WITH moved AS (
		UPDATE line_items SET
			status = $3, version = version + 1, source_no = $4, source_started_at = $5, attempts = $6, failures = $7,
			failure = $8, next_attempt_at = $9, give_up_at = $10, extended_until = $11, held_until = $12, waiting_pool = $13,
			obtained_at = $14, delivered_at = $15, canceled_at = $16, wake_at = $17
		WHERE id = $1 AND version = $2
		RETURNING id, order_id, version
	)`
	logSQL = `, logged AS (
		INSERT INTO line_log (line_id, version, from_status, to_status, by, reason)
		SELECT id, version, $18, $3, $19, $20 FROM moved
	)`
	countSQL = `, counted AS (
		UPDATE orders o SET
			lines_trouble = lines_trouble + $21, lines_delivered = lines_delivered + $22,
			lines_canceling = lines_canceling + $23, lines_canceled = lines_canceled + $24,
			status = order_status(lines_total, lines_trouble + $21, lines_delivered + $22, lines_canceling + $23, lines_canceled + $24)
		FROM moved WHERE o.id = moved.order_id
	)`
	movedSQL = ` SELECT count(*) FROM moved`

	saveSQL         = moveSQL + movedSQL
	saveLogSQL      = moveSQL + logSQL + movedSQL
	saveLogCountSQL = moveSQL + logSQL + countSQL + movedSQL
)

// save writes the line, its step in the log and its order's counts in one statement. by says who made the step. It is
// the last statement of a transaction, because it locks the order's row, which all lines of the order share.
func (l *line) save(ctx context.Context, tx *sqlx.Tx, by, reason string) error {
	if l.saved != l.Status && !l.saved.CanBecome(l.Status) {
		return keyturn.Errorf(keyturn.KindConflict, "a line that is %s cannot become %s", l.saved, l.Status)
	}
	query, args := saveSQL, []any{
		l.ID, l.Version, l.Status, l.SourceNo, l.SourceStartedAt, l.Attempts, l.Failures, l.FailureJSON, l.NextAttemptAt, l.GiveUpAt,
		l.ExtendedUntil, l.HeldUntil, l.WaitingPool, l.ObtainedAt, l.DeliveredAt, l.CanceledAt, l.WakeAt,
	}
	if l.saved != l.Status {
		query, args = saveLogSQL, append(args, l.saved, by, reason)
	}
	var d keyturn.LineCounts
	d.Move(l.saved, l.Status)
	if d != (keyturn.LineCounts{}) {
		query, args = saveLogCountSQL, append(args, d.Trouble, d.Delivered, d.Canceling, d.Canceled)
	}
	var n int
	if err := tx.GetContext(ctx, &n, query, args...); err != nil {
		return err
	}
	if n != 1 {
		return keyturn.Errorf(keyturn.KindConflict, "somebody else changed the line at the same time")
	}
	l.saved = l.Status
	l.Version++
	return nil
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// micro is now as the database keeps it: to the microsecond.
func ptr[T any](v T) *T { return &v }
