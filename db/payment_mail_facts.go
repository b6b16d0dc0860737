package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// PaymentMailFacts is everything an e-mail about a payment is made of. It holds personal data.
type PaymentMailFacts struct {
	ID       string // of the e-mail
	Kind     keyturn.PaymentMailKind
	AskedAt  time.Time // when what it tells of has happened
	Now      time.Time
	Snapshot PaymentSnapshot
	Status   keyturn.PaymentStatus
	Mixed    keyturn.MixedCapture
	Total    keyturn.Money
	Paid     keyturn.Money // what was authorized, or taken
	AtOnce   bool          // it was taken when it was paid, before a key was in hand
	Returned bool          // it was taken, and all of it goes back

	OrderID    string // empty: the payment made no order
	OrderedAt  time.Time
	PageToken  string    // of the order's page
	DeliverBy  time.Time // keys or money by then
	Items      []string  // names of the lines that this e-mail is the first to say are not delivered
	EndedBy    CancelCause
	FailedBy   keyturn.Kind // of CancelFailed
	AgainUntil *time.Time   // until when the same can be ordered once more; nil: it cannot
	// WithdrawBefore is when the right of withdrawal ends that the shop offers; nil: it offers none
	WithdrawBefore *time.Time

	Shop keyturn.Shop

	LinkToken string
	OpenUntil *time.Time // until when the link can be paid; nil: it cannot be paid any more
}

// CancelCause says why what was bought is not delivered, as far as its customer is told.
type CancelCause string

// The causes of a cancellation.
const (
	CancelFailed    CancelCause = "failed"    // it could not be obtained; a kind of failure says why
	CancelAsked     CancelCause = "asked"     // somebody decided it
	CancelWithdrawn CancelCause = "withdrawn" // the customer withdrew from the contract
	CancelPayment   CancelCause = "payment"   // its authorization could not be captured in time
	CancelOthers    CancelCause = "others"    // the order's other lines were ready to be charged first
)

// whyWithdrawn is why lines end whose customer withdrew from the contract.
const whyWithdrawn = "the customer withdrew from the contract"

// causeOf reads why a line is given up from the reason and the kind of failure that are booked with its refund.
func causeOf(reason string, failure keyturn.Kind) CancelCause {
	switch {
	case reason == whyWithdrawn:
		return CancelWithdrawn
	case reason == whyNotReady:
		return CancelOthers
	case failure != "":
		return CancelFailed
	case reason == whyUncharged:
		return CancelPayment
	}
	return CancelAsked
}

// paymentMailFacts reads what an e-mail about a locked payment is made of.
func (d *DB) paymentMailFacts(ctx context.Context, tx *sqlx.Tx, p *payment, snapshot PaymentSnapshot) (PaymentMailFacts,
	error,
) {
	f := PaymentMailFacts{
		Now: p.Now.UTC(), Snapshot: snapshot, Status: p.Status, Mixed: p.Mixed,
		Total:  keyturn.Money{Minor: p.TotalMinor, Currency: p.Currency},
		Paid:   keyturn.Money{Minor: max(p.AuthorizedMinor, p.CapturedMinor), Currency: p.Currency},
		AtOnce: p.Status == keyturn.PaymentCaptured && p.CaptureBy == nil, Returned: p.CapturedMinor > 0,
		LinkToken: d.LinkToken(p.LinkID),
	}
	link, err := d.linkWhere(ctx, tx, `k.id = $1`, p.LinkID)
	if err != nil {
		return f, err
	}
	if link.statusNow() == keyturn.LinkOpen && link.PaymentsBegun < link.PaymentsMost {
		f.OpenUntil = utc(&link.ExpiresAt)
	}
	if f.Shop, err = specOf[keyturn.Shop](ctx, tx, "shop", "entry", theShop); err != nil &&
		keyturn.KindOf(err) != keyturn.KindNotFound {
		return f, err
	}
	if p.OrderID == nil {
		return f, nil
	}
	return f, d.orderMailFacts(ctx, tx, p, &f)
}

// orderMailFacts adds what there is to say of the order that the payment made.
func (d *DB) orderMailFacts(ctx context.Context, tx *sqlx.Tx, p *payment, f *PaymentMailFacts) error {
	f.OrderID, f.PageToken = *p.OrderID, d.PageToken(*p.OrderID)
	var o struct {
		CreatedAt    time.Time `db:"created_at"`
		CancelReason *string   `db:"cancel_reason"`
		DeliverBy    time.Time `db:"deliver_by"`
	}
	if err := tx.GetContext(ctx, &o, `
		SELECT o.created_at, o.cancel_reason,
			(SELECT max(l.give_up_at) FROM line_items l WHERE l.order_id = o.id) AS deliver_by
		FROM orders o WHERE o.id = $1`, f.OrderID); err != nil {
		return err
	}
	f.OrderedAt, f.DeliverBy = o.CreatedAt.UTC(), o.DeliverBy.UTC()
	var lines []struct {
		Position int          `db:"position"`
		Reason   string       `db:"reason"`
		Failure  keyturn.Kind `db:"failure"`
	}
	if err := tx.SelectContext(ctx, &lines, `
		SELECT l.position, coalesce(r.reason, '') AS reason, coalesce(r.failure_kind, '') AS failure
		FROM line_items l LEFT JOIN refunds r ON r.line_id = l.id
		WHERE l.order_id = $1 AND l.status <> 'DELIVERED'
			AND NOT EXISTS (SELECT FROM deliveries y WHERE y.line_id = l.id AND y.kind = 'canceled')
		ORDER BY l.position`, f.OrderID); err != nil {
		return err
	}
	f.EndedBy = causeOf(value(o.CancelReason), "")
	for _, l := range lines {
		f.Items = append(f.Items, f.Snapshot.Lines[l.Position-1].SoldAs.Name)
		// the first cause counts, and not what followed from it
		switch cause := causeOf(l.Reason, l.Failure); {
		case f.EndedBy == CancelWithdrawn || l.Reason == "":
		case cause == CancelFailed && (f.EndedBy != CancelFailed || f.FailedBy == keyturn.KindInternal):
			f.EndedBy, f.FailedBy = CancelFailed, l.Failure
		case cause == CancelAsked && f.EndedBy != CancelFailed:
			f.EndedBy = CancelAsked
		}
	}
	return nil
}
