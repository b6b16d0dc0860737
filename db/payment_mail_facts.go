package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// PaymentMailFacts is everything an e-mail about a payment is made of. It holds personal data.
type PaymentMailFacts struct {
	ID      string // of the e-mail
	Ref     string // what it is called in its envelope
	Kind    keyturn.PaymentMailKind
	AskedAt time.Time // when what it tells of has happened
	Now     time.Time
	To      string // the order's present address, or whom the payment was made by
	// NewAddress is the order's present one, in the news of it to the old one
	NewAddress string
	Snapshot   PaymentSnapshot
	Status     keyturn.PaymentStatus
	Mixed      keyturn.MixedCapture
	Total      keyturn.Money
	Paid       keyturn.Money // what was authorized, or taken
	AtOnce     bool          // it was taken when it was paid, before a key was in hand
	Returned   bool          // it was taken, and all of it goes back

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
	case reason == whyUncharged:
		return CancelPayment
	case failure != "":
		return CancelFailed
	}
	return CancelAsked
}

// paymentMailFacts reads what an e-mail about a locked payment is made of.
func (d *DB) paymentMailFacts(ctx context.Context, tx *sqlx.Tx, p *payment, snapshot PaymentSnapshot) (PaymentMailFacts,
	error,
) {
	f := PaymentMailFacts{
		Now: p.Now.UTC(), To: snapshot.Customer.Email, Snapshot: snapshot, Status: p.Status, Mixed: p.Mixed,
		Total:     keyturn.Money{Minor: p.TotalMinor, Currency: p.Currency},
		Paid:      keyturn.Money{Minor: max(p.AuthorizedMinor, p.CapturedMinor), Currency: p.Currency},
		AtOnce:    p.Status == keyturn.PaymentCaptured && p.CaptureBy == nil,
		LinkToken: d.LinkToken(p.LinkID),
	}
	var back []int64
	if err := tx.SelectContext(ctx, &back, `SELECT amount_minor FROM payment_refunds WHERE payment_id = $1`,
		p.ID); err != nil {
		return f, err
	}
	if len(back) > 0 {
		f.Returned, f.Paid.Minor = true, back[0]
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
	if f.To, err = d.presentAddress(ctx, tx, p, f.To); err != nil {
		return f, err
	}
	o, err := readSold(ctx, tx, p, snapshot)
	if err != nil {
		return f, err
	}
	f.OrderID, f.PageToken, f.OrderedAt, f.DeliverBy = *p.OrderID, d.PageToken(*p.OrderID), o.CreatedAt, o.DeliverBy
	f.EndedBy, f.FailedBy, f.AgainUntil, f.WithdrawBefore = o.EndedBy, o.FailedBy, o.AgainUntil, o.WithdrawBefore
	for _, l := range o.lines {
		if l.Status != keyturn.LineDelivered && !l.Told && (!f.Returned || l.Refund != nil && *l.Refund == 0) {
			f.Items = append(f.Items, snapshot.Lines[l.Position-1].SoldAs.Name)
		}
	}
	return f, nil
}

// presentAddress is the address of the payment's order, where another one was given after it had been paid.
func (d *DB) presentAddress(ctx context.Context, tx *sqlx.Tx, p *payment, otherwise string) (string, error) {
	var sealed [][]byte
	if err := tx.SelectContext(ctx, &sealed, `
		SELECT customer FROM orders o WHERE id = $1 AND customer <> '' AND EXISTS (
			SELECT FROM address_changes h WHERE h.order_id = o.id AND h.done_at IS NOT NULL)`, *p.OrderID); err != nil ||
		len(sealed) == 0 {
		return otherwise, err
	}
	dk, err := d.keyOfCustomer(ctx, tx, p.CustomerID)
	if err != nil {
		return "", err
	}
	plain, err := dk.Open(sealed[0], "orders/"+*p.OrderID)
	if err != nil {
		return "", err
	}
	var c storedCustomer
	err = json.Unmarshal(plain, &c)
	return c.Email, err
}

// addressBefore is the address that an order had before a change.
func (d *DB) addressBefore(ctx context.Context, tx *sqlx.Tx, p *payment, changeID, first string) (string, error) {
	var before []asked
	if err := tx.SelectContext(ctx, &before, `
		SELECT h.id, h.address, h.at FROM address_changes h JOIN address_changes c ON c.order_id = h.order_id
		WHERE c.id = $1 AND h.done_at < c.done_at ORDER BY h.done_at DESC LIMIT 1`, changeID); err != nil ||
		len(before) == 0 {
		return first, err
	}
	return d.openAsked(ctx, tx, p.CustomerID, &before[0])
}
