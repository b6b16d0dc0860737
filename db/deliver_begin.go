package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Delivery is one e-mail that is about to be sent.
type Delivery struct {
	ID      string
	Message []byte

	try  int   // whose lease it is: the number of this attempt
	line *line // as it was when the lease was taken; nil if this is not its first attempt
}

// sendLease is how long one process may be busy sending an e-mail: nobody else sends or cancels meanwhile. It is longer
// than the sender's own deadline, so that a frozen process wakes up to a dead connection.
const sendLease = 45 * time.Second

// ConfirmationFirst is the error of an e-mail with keys that waits for its order's confirmation, which comes first.
type ConfirmationFirst struct{ PaymentID string }

func (e *ConfirmationFirst) Error() string { return errConfirmationFirst.Error() }

// Unwrap gives it its kind.
func (e *ConfirmationFirst) Unwrap() error { return errConfirmationFirst }

var errConfirmationFirst = keyturn.Errorf(keyturn.KindConflict, "the order's confirmation is sent first")

// BeginDelivery takes the lease on sending the line's keys, and returns the e-mail that is stored with them, or that
// render makes if none is. Every later attempt returns the same bytes. A nil Delivery with a Next means that there is
// nothing to send. KindConflict while another process sends, also a *ConfirmationFirst; wait is for how long at most.
func (d *DB) BeginDelivery(
	ctx context.Context, fulfillmentID string, render RenderMail,
) (out *Delivery, next keyturn.Next, wait time.Duration, err error) {
	if out, next, ok := d.leaseFast(ctx, fulfillmentID); ok {
		return out, next, 0, nil
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out, wait = nil, 0
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		next = l.next()
		stopped, err := d.stop(ctx, tx, l, keyturn.DoDeliver)
		if stopped || err != nil {
			next = l.next()
			return err
		}
		if l.KeysWaitUntil != nil && l.KeysWaitUntil.After(l.Now) {
			wait = l.KeysWaitUntil.Sub(l.Now)
			return &ConfirmationFirst{PaymentID: *l.PaymentID}
		}
		var last []deliveryRow
		err = tx.SelectContext(ctx, &last,
			deliveryColumns+`WHERE line_id = $1 AND kind = 'keys' ORDER BY number DESC LIMIT 1`, l.ID)
		if err != nil {
			return err
		}
		if len(last) == 1 && last[0].Status == keyturn.DeliverySending && last[0].LeaseUntil.After(l.Now) {
			wait = last[0].LeaseUntil.Sub(l.Now)
			return keyturn.Errorf(keyturn.KindConflict, "another process is sending this e-mail")
		}
		if len(last) == 1 {
			out, err = d.lease(ctx, tx, l, last[0])
			return err
		}
		out, err = d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, render: render})
		if err == nil {
			return takeLease(ctx, tx, out.ID, l.Now)
		}
		if cannotBeMade(err) {
			out = nil
			l.Attempts++
			err = d.fail(ctx, tx, l, StepFailure{Failure: keyturn.Failure{
				Kind:    keyturn.KindConfiguration,
				Message: "the e-mail cannot be made: " + err.Error(),
			}})
			next = l.next()
		}
		return err
	})
	return out, next, wait, err
}

type deliveryRow struct {
	ID         string                 `db:"id"`
	LineID     string                 `db:"line_id"`
	Kind       keyturn.DeliveryKind   `db:"kind"`
	Message    []byte                 `db:"message"`
	Status     keyturn.DeliveryStatus `db:"status"`
	LeaseUntil *time.Time             `db:"lease_until"`
	Attempts   int                    `db:"attempts"`
}

const deliveryColumns = `SELECT id, line_id, kind, message, status, lease_until, attempts FROM deliveries `

// lease gives the stored e-mail to this process. One that still says SENDING belonged to a process that died, perhaps
// after the mail server had taken it: its keys count as seen.
func (d *DB) lease(ctx context.Context, tx *sqlx.Tx, l *line, row deliveryRow) (*Delivery, error) {
	dk, err := d.keyOfCustomer(ctx, tx, l.CustomerID)
	if err != nil {
		return nil, err
	}
	message, err := dk.Open(row.Message, "deliveries/"+row.ID)
	if err != nil {
		return nil, err
	}
	return &Delivery{ID: row.ID, Message: message, try: row.Attempts + 1}, takeLease(ctx, tx, row.ID, l.Now)
}

func takeLease(ctx context.Context, tx *sqlx.Tx, deliveryID string, now time.Time) error {
	return pg.ExpectOne(tx.ExecContext(ctx, setLeaseSQL+`$2 WHERE id = $1`, deliveryID, now.Add(sendLease)))
}

// setLeaseSQL gives the lease on an e-mail to this process. The time at which it ends follows, and the condition.
const setLeaseSQL = `
	UPDATE deliveries y SET status = 'SENDING', attempts = y.attempts + 1, exposed = y.exposed OR y.status = 'SENDING',
		lease_until = `

// leaseFast is BeginDelivery on the fast path, for the first attempt of a stored e-mail. Its one statement reads the
// line, too, under the line's lock, so that nobody gives the line up meanwhile.
func (d *DB) leaseFast(ctx context.Context, fulfillmentID string) (*Delivery, keyturn.Next, bool) {
	var rows []struct {
		line
		DeliveryID string `db:"delivery_id"`
		Message    []byte `db:"message"`
	}
	readAt := time.Now()
	err := d.pg.Implicit().SelectContext(ctx, &rows, leaseFastSQL, fulfillmentID, sendLease.Seconds())
	if err != nil || len(rows) != 1 {
		return nil, keyturn.Next{}, false
	}
	row := &rows[0]
	l := &row.line
	l.readAt = readAt
	if l.derive() != nil {
		return nil, keyturn.Next{}, false
	}
	dk, err := d.keys.OpenDataKey(l.CustomerKey, "customer/"+l.CustomerID)
	if err != nil {
		return nil, keyturn.Next{}, false
	}
	message, err := dk.Open(row.Message, "deliveries/"+row.DeliveryID)
	if err != nil {
		return nil, keyturn.Next{}, false
	}
	return &Delivery{ID: row.DeliveryID, Message: message, try: 1, line: l}, l.next(), true
}

const leaseFastSQL = `
	WITH l AS MATERIALIZED (SELECT` + lineColumns + `, c.data_key AS customer_key` + lineTables + `
		JOIN customers c ON c.id = o.customer_id
		WHERE l.fulfillment_id = $1
			AND l.status = 'OBTAINED' AND l.next_attempt_at IS NULL AND l.license_id IS NULL AND NOT l.blocked AND NOT l.awaited
			AND l.cancel_reason IS NULL AND o.cancel_reason IS NULL
			AND (pay.status IS NULL OR pay.status = 'CAPTURED')
			AND (pay.keys_wait_until IS NULL OR pay.keys_wait_until <= clock_timestamp())
		FOR UPDATE OF l
	), leased AS (` + setLeaseSQL + `l.now + make_interval(secs => $2)
		FROM l
		WHERE y.line_id = l.id AND y.number = 1 AND y.kind = 'keys' AND y.status = 'READY' AND y.attempts = 0
			AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = l.id AND n.number > 1)
		RETURNING y.id, y.message
	)
	SELECT l.*, leased.id AS delivery_id, leased.message FROM l, leased`
