package db

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// line is a line item's row, locked for one step, with what the step needs of its order and product.
type line struct {
	ID               string             `db:"id"`
	FulfillmentID    string             `db:"fulfillment_id"`
	OrderID          string             `db:"order_id"`
	ProductID        string             `db:"product_id"`
	Quantity         int                `db:"quantity"`
	GrossMinor       int64              `db:"gross_minor"`
	Operation        string             `db:"operation"`
	SubscriptionID   string             `db:"subscription_id"`
	TrialContext     string             `db:"trial_context"`
	Status           keyturn.LineStatus `db:"status"`
	Version          int                `db:"version"`
	SourceNo         int                `db:"source_no"`
	SourceStartedAt  time.Time          `db:"source_started_at"`
	Attempts         int                `db:"attempts"`
	Failures         int                `db:"failures"`
	FailureJSON      *string            `db:"failure"`
	NextAttemptAt    *time.Time         `db:"next_attempt_at"`
	GiveUpAt         time.Time          `db:"give_up_at"`
	ExtendedUntil    *time.Time         `db:"extended_until"`
	HeldUntil        *time.Time         `db:"held_until"`
	WaitingPool      *string            `db:"waiting_pool"`
	ObtainedAt       *time.Time         `db:"obtained_at"`
	DeliveredAt      *time.Time         `db:"delivered_at"`
	CanceledAt       *time.Time         `db:"canceled_at"`
	WakeAt           *time.Time         `db:"wake_at"`
	CreatedAt        time.Time          `db:"created_at"`
	LicenseID        *string            `db:"license_id"` // what an operation acts on; nil of a create
	OperationNo      *int               `db:"operation_no"`
	LicenseSource    *string            `db:"license_source"`
	Blocked          bool               `db:"blocked"`
	Awaited          bool               `db:"awaited"`
	ExpiresAt        *time.Time         `db:"expires_at"`
	Currency         string             `db:"currency"`
	OrderMinor       int64              `db:"order_minor"`
	CustomerID       string             `db:"customer_id"`
	PaymentProvider  string             `db:"payment_provider"`
	PaymentReference string             `db:"payment_reference"`
	CancelReason     *string            `db:"cancel_reason"` // of its order, or of a cancel of its licence
	// the product's when the line was sold; nil of a line from before that was noted
	QuantityMode *keyturn.QuantityMode `db:"quantity_mode"`
	// what failed, if its order is cancelled because another line failed
	CancelFailure keyturn.Kind `db:"cancel_failure"`
	ProductSpec   string       `db:"product_spec"`
	SoldAs        *string      `db:"sold_as"` // what a checkout link says in place of the product
	// Of an order that a checkout link made: its payment.
	PaymentID        *string                `db:"payment_id"`
	PaymentStatus    *keyturn.PaymentStatus `db:"payment_status"`
	PaymentCaptureBy *time.Time             `db:"payment_capture_by"`
	KeysWaitUntil    *time.Time             `db:"keys_wait_until"` // for the confirmation of its order
	GiveUpFailed     bool                   `db:"give_up_failed"`  // a line without its key gives itself up, uncharged
	Currencies       *string                `db:"pool_currencies"` // of the product's pools that sell in one currency only
	Now              time.Time              `db:"now"`             // the database's clock, the only one that decides

	// Only of a line that a step is for: what its order's customer is decrypted from, and what its e-mails look like.
	CustomerSealed []byte `db:"customer_sealed"`
	CustomerKey    []byte `db:"customer_key"`
	// ShopSpec are the settings of the shop, whose face e-mails have; nil: there are none.
	ShopSpec *string `db:"shop_spec"`

	product keyturn.Product
	sold    *keyturn.SoldAs // nil: as the product says
	// by this process's monotonic clock, before Now was read: never compare it with a time of the database
	readAt time.Time

	// What is in the database.
	saved       keyturn.LineStatus
	savedWakeAt *time.Time
}

const lineColumns = `
	l.id, l.fulfillment_id, l.order_id, l.product_id, l.quantity, l.gross_minor, l.operation, l.subscription_id,
	l.trial_context, l.status, l.version, l.source_no, l.source_started_at, l.attempts, l.failures, l.failure,
	l.next_attempt_at, l.give_up_at, l.extended_until, l.held_until, l.waiting_pool, l.obtained_at, l.delivered_at,
	l.canceled_at, l.wake_at, l.created_at, l.license_id, l.operation_no, l.license_source, l.blocked, l.awaited,
	l.expires_at, l.quantity_mode,
	o.currency, o.gross_minor AS order_minor, o.customer_id, o.payment_provider, o.payment_reference,
	coalesce(l.cancel_reason, o.cancel_reason) AS cancel_reason,
	CASE WHEN l.cancel_reason IS NULL THEN coalesce(o.cancel_failure, '') ELSE '' END AS cancel_failure,
	p.spec AS product_spec, p.pool_currencies, l.sold_as, o.payment_id, pay.status AS payment_status,
	pay.capture_by AS payment_capture_by, pay.keys_wait_until, coalesce(pay.give_up_failed, false) AS give_up_failed,
	clock_timestamp() AS now`

const lineTables = `
	FROM line_items l
	JOIN orders o ON o.id = l.order_id
	JOIN products p ON p.id = l.product_id` + joinPayment

// joinPayment joins the payment of an order that a checkout link made.
const joinPayment = `
	LEFT JOIN payments pay ON pay.id = o.payment_id`

const (
	readLineSQL = `SELECT` + lineColumns + `, o.customer AS customer_sealed, c.data_key AS customer_key,
	(SELECT spec FROM shop WHERE id = '` + theShop + `') AS shop_spec` + lineTables + `
	JOIN customers c ON c.id = o.customer_id
	WHERE l.fulfillment_id = $1`
	lockLineSQL = readLineSQL + ` FOR UPDATE OF l`
)

// lockLine takes the row lock under which a line is changed.
func lockLine(ctx context.Context, tx *sqlx.Tx, fulfillmentID string) (*line, error) {
	return scanLine(ctx, tx, lockLineSQL, fulfillmentID)
}

// readLine reads a line without a lock, for the fast path: what is written for this version changes nothing once the
// line has another one.
func (d *DB) readLine(ctx context.Context, fulfillmentID string) (*line, error) {
	return scanLine(ctx, d.pg, readLineSQL, fulfillmentID)
}

func scanLine(ctx context.Context, q sqlx.QueryerContext, query, fulfillmentID string) (*line, error) {
	l := line{readAt: time.Now()}
	if err := sqlx.GetContext(ctx, q, &l, query, fulfillmentID); err != nil {
		return nil, pg.NotFound(err, "there is no fulfillment %s", fulfillmentID)
	}
	return &l, l.derive()
}

func (l *line) derive() (err error) {
	l.saved, l.savedWakeAt = l.Status, l.WakeAt
	if l.product, err = readStored(l.ProductID, l.ProductSpec); err != nil {
		return err
	}
	if l.SoldAs != nil {
		var sold keyturn.SoldAs
		if err := json.Unmarshal([]byte(*l.SoldAs), &sold); err != nil {
			return err
		}
		l.product, l.sold = sold.Apply(l.product), &sold
	}
	if l.QuantityMode != nil { // what was paid is what is delivered
		l.product.QuantityMode = *l.QuantityMode
	}
	l.fromIssuer()
	if l.SourceNo >= len(l.product.Sources) { // the merchant took sources away while the line was on its way
		l.SourceNo = len(l.product.Sources) - 1
	}
	if l.ObtainedAt == nil { // a pool of another currency is passed over
		if no := l.sourceFrom(l.SourceNo); no >= 0 {
			l.SourceNo = no
		}
	}
	l.GiveUpAt = l.deadline()
	return nil
}

func (l *line) source() keyturn.Source { return l.product.Sources[l.SourceNo] }

// turnTo makes a source the line's current one, also one that its product has no more. The line must not be saved then.
func (l *line) turnTo(source string) {
	for i, s := range l.product.Sources {
		if s.Name() == source {
			l.SourceNo = i
			return
		}
	}
	l.product.Sources = append(slices.Clone(l.product.Sources), keyturn.ParseSource(source))
	l.SourceNo = len(l.product.Sources) - 1
}

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

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func ptr[T any](v T) *T { return &v }
