package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

const (
	// withdrawDays is how many days after that of the order a customer may withdraw where the shop offers it.
	withdrawDays = 14
	// againFor is how long after the day on which nothing came of an order the same can be ordered once more.
	againFor = 7 * day
	// againAtLeast is how long a link lives at least that is made so.
	againAtLeast = time.Hour
)

// sold is an order that a checkout link made, as far as its customer may do something about it.
type sold struct {
	CreatedAt time.Time
	DeliverBy time.Time // keys or money by then
	Canceling bool      // the whole order is to be cancelled, or was

	WithdrawnAt    *time.Time
	WithdrawBefore *time.Time // when the right of withdrawal ends that the shop offers; nil: it offers none
	MayWithdraw    bool
	WholeOrder     bool // a withdrawal is from all of it, and not only from what is not delivered

	EndedBy    CancelCause  // of an order of which nothing is delivered
	FailedBy   keyturn.Kind // of CancelFailed
	AgainUntil *time.Time   // until when the same can be ordered once more; nil: it cannot

	lines []soldLine
}

type soldLine struct {
	ID       string             `db:"id"`
	Position int                `db:"position"`
	Status   keyturn.LineStatus `db:"status"`
	Leaving  bool               `db:"leaving"` // it is to be cancelled
	Reason   string             `db:"reason"`  // of its refund; empty: there is none
	Failure  keyturn.Kind       `db:"failure"`
	Refund   *int64             `db:"refund"`
	Told     bool               `db:"told"` // it has told of its own end
}

// readSold reads the order that a payment made.
func readSold(ctx context.Context, q sqlx.QueryerContext, p *payment, snapshot PaymentSnapshot) (sold, error) {
	var row struct {
		CreatedAt    time.Time  `db:"created_at"`
		DeliverBy    time.Time  `db:"deliver_by"`
		CancelReason *string    `db:"cancel_reason"`
		WithdrawnAt  *time.Time `db:"withdrawn_at"`
	}
	if err := sqlx.GetContext(ctx, q, &row, `
		SELECT o.created_at, o.cancel_reason,
			(SELECT max(l.give_up_at) FROM line_items l WHERE l.order_id = o.id) AS deliver_by,
			(SELECT m.created_at FROM payment_mails m WHERE m.payment_id = $2 AND m.kind = 'withdrawal') AS withdrawn_at
		FROM orders o WHERE o.id = $1`, *p.OrderID, p.ID); err != nil {
		return sold{}, err
	}
	o := sold{
		CreatedAt: row.CreatedAt.UTC(), DeliverBy: row.DeliverBy.UTC(), Canceling: row.CancelReason != nil,
		WithdrawnAt: utc(row.WithdrawnAt),
	}
	if err := sqlx.SelectContext(ctx, q, &o.lines, `
		SELECT l.id, l.position, l.status, l.cancel_reason IS NOT NULL AS leaving, coalesce(r.reason, '') AS reason,
			coalesce(r.failure_kind, '') AS failure, r.amount_minor AS refund,
			EXISTS (SELECT FROM deliveries y WHERE y.line_id = l.id AND y.kind = 'canceled') AS told
		FROM line_items l LEFT JOIN refunds r ON r.line_id = l.id
		WHERE l.order_id = $1 ORDER BY l.position`, *p.OrderID); err != nil {
		return o, err
	}
	if snapshot.Withdrawal == keyturn.WithdrawalOffered {
		o.WithdrawBefore = ptr(o.CreatedAt.Truncate(day).Add((withdrawDays + 1) * day))
	}
	o.deriveWithdrawal(p.Now)
	o.deriveEnd(value(row.CancelReason))
	if o.EndedBy == CancelFailed || o.EndedBy == CancelPayment {
		o.deriveAgain(p)
	}
	return o, nil
}

// deriveWithdrawal says whether the customer may withdraw: from what is not delivered yet in any case, and from all of
// the order within the time that the shop offers.
func (o *sold) deriveWithdrawal(now time.Time) {
	kept, open := 0, 0
	for _, l := range o.lines {
		switch {
		case l.Leaving || l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled:
		case l.Status == keyturn.LineDelivered:
			kept++
		default:
			open++
		}
	}
	offered := o.WithdrawBefore != nil && now.Before(*o.WithdrawBefore)
	o.WholeOrder = offered || kept == 0
	o.MayWithdraw = o.WithdrawnAt == nil && !o.Canceling && (open > 0 || offered && kept > 0)
}

// deriveEnd says why nothing is delivered: the first cause counts, and not what followed from it.
func (o *sold) deriveEnd(cancelReason string) {
	o.EndedBy = causeOf(cancelReason, "")
	for _, l := range o.lines {
		switch cause := causeOf(l.Reason, l.Failure); {
		case o.EndedBy == CancelWithdrawn || l.Reason == "":
		case cause == CancelFailed && (o.EndedBy != CancelFailed || o.FailedBy == keyturn.KindInternal):
			o.EndedBy, o.FailedBy = CancelFailed, l.Failure
		case cause == CancelAsked && o.EndedBy != CancelFailed:
			o.EndedBy = CancelAsked
		}
	}
}

// deriveAgain says until when the same can be ordered once more: nothing was charged, and nobody wanted it so.
func (o *sold) deriveAgain(p *payment) {
	if p.Status != keyturn.PaymentVoided && p.Status != keyturn.PaymentLost || p.EndedAt == nil {
		return
	}
	if until := p.EndedAt.UTC().Truncate(day).Add(againFor + day); p.Now.Before(until.Add(-againAtLeast)) {
		o.AgainUntil = &until
	}
}
