package db

import (
	"context"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// giveUp ends the attempts to fulfil a line: its partner is owed a cancel, its keys go back or into quarantine, and the
// refund is booked. From here on nothing can deliver it. failure is what it is given up for; empty: somebody decided.
// While an e-mail with its keys is being sent, it fails with KindConflict: the outcome of the sending comes first.
func (d *DB) giveUp(ctx context.Context, tx *sqlx.Tx, l *line, by, reason string, failure keyturn.Kind) error {
	var mail struct {
		Sending bool `db:"sending"`
		Exposed bool `db:"exposed"`
	}
	if err := tx.GetContext(ctx, &mail, `
		SELECT coalesce(bool_or(status = 'SENDING' AND lease_until > $2), false) AS sending,
			coalesce(bool_or(exposed OR status = 'SENDING'), false) AS exposed
		FROM deliveries WHERE line_id = $1 AND kind = 'keys'`, l.ID, l.Now); err != nil {
		return err
	}
	if mail.Sending {
		return keyturn.Errorf(keyturn.KindConflict,
			"the e-mail with the keys is being sent at this moment: try again in a minute")
	}
	if mail.Exposed && l.Status != keyturn.LineDelivered {
		if err := openLineAlert(ctx, tx, l, keyturn.AlertExposed,
			"the line is refunded although its e-mail may have arrived: block the keys at the publisher"); err != nil {
			return err
		}
	}
	owed, err := d.charge(ctx, tx, l)
	if err != nil {
		return err
	}
	if err := scheduleRevocation(ctx, tx, l); err != nil {
		return err
	}
	if err := d.freeKeys(ctx, tx, l, by, reason); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		WITH license AS (UPDATE licenses SET status = 'Canceled', updated_at = now() WHERE line_id = $1),
		unused AS (DELETE FROM supplies WHERE line_id = $1)
		INSERT INTO refunds (line_id, order_id, amount_minor, currency, provider, reference, reason, failure_kind)
		SELECT $1, id, $2, currency, payment_provider, payment_reference, $3, nullif($5, '') FROM orders WHERE id = $4
		ON CONFLICT (line_id) DO NOTHING`, l.ID, owed, reason, l.OrderID, failure)
	if err != nil {
		return err
	}
	delivered := l.Status == keyturn.LineDelivered
	if delivered && l.LicenseID != nil {
		if err := d.withdraw(ctx, tx, l); err != nil {
			return err
		}
	}
	l.Status = keyturn.LineCanceling
	l.WaitingPool, l.HeldUntil, l.NextAttemptAt, l.WakeAt = nil, nil, &l.Now, nil
	if l.awaitsRefund() {
		l.NextAttemptAt = nil
		if err := askForRefund(ctx, tx, l); err != nil {
			return err
		}
	}
	if delivered { // its workflow has ended: another one cancels it
		if err := enqueue(ctx, tx, WorkflowCancel, l.FulfillmentID); err != nil {
			return err
		}
	}
	if err := l.save(ctx, tx, by, reason); err != nil {
		return err
	}
	if l.product.OnGiveUp == keyturn.CancelOrder && l.CancelReason == nil {
		return cancelOrder(ctx, tx, l.OrderID, whyOrder, keyturn.KindInternal)
	}
	return nil
}

// Why a line is given up when nobody decided it, as the log shows it; the first two go on with the kind of its last
// failure.
const (
	whyDeadline = "the deadline passed"
	whyNever    = "it can never be fulfilled"
	whyOrder    = "a line of the order could not be fulfilled"
)

// WorkflowCancel is the workflow that the outbox starts to refund a line that was delivered; its subject is the
// fulfillmentId.
const WorkflowCancel = "CancelLineItem"

// cancelOrder marks the order; its lines see the mark at their next step, to which the relay wakes them in turns. Lines
// are not touched here, because a transaction that holds the order's row must not wait for another line's.
func cancelOrder(ctx context.Context, tx *sqlx.Tx, orderID, reason string, failure keyturn.Kind) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE orders SET cancel_reason = $2, cancel_failure = nullif($3, '') WHERE id = $1
			AND cancel_reason IS NULL`, orderID, reason, failure)
	if err != nil {
		return err
	}
	return enqueue(ctx, tx, WorkflowTurn, orderID)
}

// CancelOrder has every line of an order cancelled and refunded: what is not final is given up, what was delivered is
// revoked. Idempotent. KindNotFound; KindConflict when everything is refunded already.
func (d *DB) CancelOrder(ctx context.Context, orderID, reason string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var o struct {
			Status keyturn.OrderStatus `db:"status"`
			Erased bool                `db:"erased"`
		}
		if err := tx.GetContext(ctx, &o, `SELECT status, customer = '' AS erased FROM orders WHERE id = $1 FOR UPDATE`,
			orderID); err != nil {
			return pg.NotFound(err, "there is no order %s", orderID)
		}
		if o.Status == keyturn.OrderCanceled {
			return keyturn.Errorf(keyturn.KindConflict, "order %s is cancelled and refunded already", orderID)
		}
		if o.Erased { // as erasing would have left it
			reason, _, _ = strings.Cut(reason, ": ")
		}
		return cancelOrder(ctx, tx, orderID, reason, "")
	})
}

// RefundDue is the money that a line is owed back.
type RefundDue struct {
	LineID    string    `db:"line_id"`
	OrderID   string    `db:"order_id"`
	Minor     int64     `db:"amount_minor"`
	Currency  string    `db:"currency"`
	Provider  string    `db:"provider"`
	Reference string    `db:"reference"`
	CreatedAt time.Time `db:"created_at"`
	Attempts  int       `db:"attempts"` // with this one: whose failure it is
	repetition

	Disputed bool   // the customer's bank is to decide first
	Lost     string // the dispute by which the customer has the money already
}

// slowRefund is when a refund that does not come through is worth an alert.
const slowRefund = 5 * time.Minute

// BeginRefund counts an attempt and says what to pay back. A nil RefundDue with a Next: nothing is owed any more,
// or a person gives it back.
func (d *DB) BeginRefund(ctx context.Context, fulfillmentID string) (*RefundDue, keyturn.Next, error) {
	var due *RefundDue
	next, err := d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		due = nil
		if l.Status != keyturn.LineCanceling || l.awaitsRefund() {
			return nil
		}
		var r RefundDue
		if err := tx.GetContext(ctx, &r, `
			UPDATE refunds SET attempts = attempts + 1, key_since = coalesce(key_since, clock_timestamp()) WHERE line_id = $1
			RETURNING line_id, order_id, amount_minor, currency, provider, reference, created_at, attempts, `+repetitionColumns,
			l.ID); err != nil {
			return err
		}
		var err error
		r.Disputed, r.Lost, err = disputeOf(ctx, tx, l.OrderID)
		due = &r
		return err
	})
	return due, next, err
}

// FailRefund books a refund that the payment provider did not carry out and that is tried again after a while; a slow
// or refused one alerts operations. The failure of a try that another one has overtaken changes nothing: a process that
// wakes up late does not know what became of the refund.
func (d *DB) FailRefund(ctx context.Context, fulfillmentID string, due *RefundDue, refused error,
	again time.Duration,
) error {
	_, err := d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		kind := keyturn.KindOf(refused)
		var ours []time.Time
		if err := tx.SelectContext(ctx, &ours, `
			UPDATE refunds SET error = $2,
				key_failed_at = CASE WHEN $4 THEN coalesce(key_failed_at, clock_timestamp()) ELSE key_failed_at END
			WHERE line_id = $1 AND status = 'PENDING' AND attempts = $3 RETURNING created_at`,
			l.ID, string(kind), due.Attempts, keyturn.WasAnswered(refused)); err != nil || len(ours) == 0 || l.Status != keyturn.LineCanceling {
			return err
		}
		l.setFailure(keyturn.Failure{Kind: kind, Message: "the refund did not come through: " + refused.Error(), At: l.Now})
		if kind != keyturn.KindUnavailable || l.Now.Sub(ours[0]) > slowRefund {
			detail := "the payment provider has not refunded the line yet: " + string(kind)
			if due.Disputed {
				detail = "the refund waits: the customer disputes the payment, and the bank decides first"
			}
			if err := openLineAlert(ctx, tx, l, keyturn.AlertRefund, detail); err != nil {
				return err
			}
		}
		l.NextAttemptAt = ptr(l.Now.Add(again))
		return l.save(ctx, tx, byWorkflow, "")
	})
	return err
}

// FinishRefund books the refund, cancels the line, stores the e-mail that tells the customer and closes the alerts. A
// customer who was erased is told nothing.
func (d *DB) FinishRefund(ctx context.Context, fulfillmentID, providerID string, render RenderMail) (keyturn.Next,
	error,
) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		return d.finishRefund(ctx, tx, l, refunded{id: providerID}, render)
	})
}

// refunded is how a line's money went back.
type refunded struct {
	id         string // what the provider calls the refund, or the person who made it
	by, reason string // of a person
}

func (d *DB) finishRefund(ctx context.Context, tx *sqlx.Tx, l *line, r refunded, render RenderMail) error {
	if l.Status != keyturn.LineCanceling {
		return nil
	}
	// The line's last failure is not why it was given up: it may be the refund's, or one that a decision made irrelevant.
	var why struct {
		Kind   keyturn.Kind `db:"kind"`
		Reason string       `db:"reason"`
		Minor  int64        `db:"amount_minor"`
	}
	if err := tx.GetContext(ctx, &why, `
			UPDATE refunds SET status = 'DONE', done_at = now(), provider_id = $2, error = NULL,
				confirmed_by = nullif($3, ''), confirm_reason = nullif($4, '')
			WHERE line_id = $1
			RETURNING coalesce(failure_kind, '') AS kind, reason, amount_minor`, l.ID, r.id, r.by, r.reason); err != nil {
		return err
	}
	uncharged := l.PaymentID != nil && why.Minor == 0 && l.GrossMinor > 0
	if err := d.tellCanceled(ctx, tx, l, why.Kind, why.Reason, uncharged, render); err != nil {
		return err
	}
	if err := closeLineAlerts(ctx, tx, l); err != nil {
		return err
	}
	l.Status, l.CanceledAt, l.NextAttemptAt = keyturn.LineCanceled, &l.Now, nil
	by := r.by
	if by == "" {
		by = byWorkflow
	}
	if uncharged {
		return l.save(ctx, tx, by, "not charged")
	}
	return l.save(ctx, tx, by, "refunded")
}

// tellCanceled stores the e-mail that a line is cancelled. Of a payment of which nothing comes, one e-mail tells of all
// lines.
func (d *DB) tellCanceled(ctx context.Context, tx *sqlx.Tx, l *line, kind keyturn.Kind, reason string, uncharged bool,
	render RenderMail,
) error {
	if uncharged {
		told := l.PaymentStatus.Uncharged()
		if !told {
			if err := tx.GetContext(ctx, &told,
				`SELECT EXISTS (SELECT FROM payment_refunds WHERE payment_id = $1)`, *l.PaymentID); err != nil {
				return err
			}
		}
		if told {
			return nil
		}
	}
	notice, err := d.newDelivery(ctx, tx, l, newMail{
		kind: keyturn.DeliveryCanceled, cause: causeOf(reason, kind), why: kind, render: render,
		uncharged: uncharged,
	})
	if err == nil {
		err = enqueue(ctx, tx, WorkflowSend, notice.ID)
	}
	if cannotBeMade(err) || keyturn.KindOf(err) == keyturn.KindErased { // that undoes no refund
		return nil
	}
	return err
}
