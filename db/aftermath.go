package db

import (
	"context"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// Kinds of what comes after a payment was taken.
const (
	afterRefund  = "refund"
	afterDispute = "dispute"
	afterWarning = "warning"
)

// Why an order is cancelled of which the processor gave the money back.
const (
	whyRefundedThere = "it was refunded at the payment provider"
	whyDisputeLost   = "the customer's bank has taken the money back"
	whyDisputed      = "the customer disputes the payment"
	whyFraudWarning  = "the customer's bank has warned of fraud"
)

// sale is what was taken of a customer: the payment of a checkout link, or one that orders came in paid with.
type sale struct {
	Provider  string
	PaymentID *string       // of a checkout link
	Reference string        // the provider's, of one that orders came in paid with
	Orders    []string      // that it pays
	About     string        // the order that alerts are about
	Captured  keyturn.Money // what was taken
}

func (p *payment) sale() sale {
	s := sale{
		Provider: p.Provider, PaymentID: &p.ID, About: p.LinkOrderID,
		Captured: keyturn.Money{Minor: p.CapturedMinor, Currency: p.Currency},
	}
	if p.OrderID != nil {
		s.Orders = []string{*p.OrderID}
	}
	return s
}

// subject is what alerts of the sale are about.
func (s sale) subject() string {
	if s.PaymentID != nil {
		return "payment/" + *s.PaymentID
	}
	return "payment/" + s.Reference
}

func (s sale) alert(ctx context.Context, tx *sqlx.Tx, cause keyturn.AlertCause, happened string) error {
	return openAlertOf(ctx, tx, s.subject(), cause, AlertDetail{OrderID: s.About, Happened: happened})
}

// cancel has the orders that the sale pays cancelled.
func (s sale) cancel(ctx context.Context, tx *sqlx.Tx, reason string) error {
	for _, order := range s.Orders {
		if err := cancelOrder(ctx, tx, order, reason, ""); err != nil {
			return err
		}
	}
	return nil
}

// BookAftermath books what a processor lists of a payment after it was taken, each thing once, and tells operations. An
// order whose whole payment somebody refunded at the processor is cancelled, and so is one whose dispute is lost. What
// a dispute and a fraud warning do beside that is a setting of the shop.
func (d *DB) BookAftermath(ctx context.Context, id string, a keyturn.Aftermath) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		p, err := lockPayment(ctx, tx, id)
		if err != nil {
			return err
		}
		return p.sale().book(ctx, tx, a)
	})
}

func (s sale) book(ctx context.Context, tx *sqlx.Tx, a keyturn.Aftermath) error {
	shop, err := shopIn(ctx, tx)
	if err != nil {
		return err
	}
	for _, w := range a.Warnings {
		fresh, err := s.note(ctx, tx, noted{ID: w, Kind: afterWarning})
		if err == nil && fresh {
			err = s.alert(ctx, tx, keyturn.AlertFraudWarning,
				"the customer's bank has warned that the payment may be fraudulent")
		}
		if err == nil && fresh && shop.Checkout.OnFraudWarning == keyturn.OnFraudWarningRefund {
			err = s.cancel(ctx, tx, whyFraudWarning)
		}
		if err != nil {
			return err
		}
	}
	if err := s.bookDisputes(ctx, tx, a.Disputes, shop.Checkout.OnDispute); err != nil {
		return err
	}
	return s.bookRefunds(ctx, tx, a.Refunds)
}

type noted struct {
	ID, Kind       string
	Amount         keyturn.Money
	Status, Reason string
	DueAt          time.Time
}

// note books one thing, and says whether it is new or has another status than before.
func (s sale) note(ctx context.Context, tx *sqlx.Tx, n noted) (changed bool, err error) {
	var due *time.Time
	if !n.DueAt.IsZero() {
		due = &n.DueAt
	}
	var ids []string
	err = tx.SelectContext(ctx, &ids, `
		INSERT INTO payment_aftermath AS a (provider, id, payment_id, reference, kind, amount_minor, currency, status, reason,
			due_at, closed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $8 IN ('won', 'lost') THEN clock_timestamp() END)
		ON CONFLICT (provider, id) DO UPDATE SET status = excluded.status, due_at = coalesce(excluded.due_at, a.due_at),
			closed_at = excluded.closed_at
		WHERE a.status <> excluded.status RETURNING id`,
		s.Provider, n.ID, s.PaymentID, s.Reference, n.Kind, n.Amount.Minor, n.Amount.Currency, n.Status, n.Reason, due)
	return len(ids) > 0, err
}

func (s sale) bookDisputes(ctx context.Context, tx *sqlx.Tx, disputes []keyturn.Dispute, then keyturn.OnDispute) error {
	for _, x := range disputes {
		changed, err := s.note(ctx, tx, noted{
			ID: x.ID, Kind: afterDispute, Amount: x.Amount, Status: string(x.Status), Reason: x.Reason, DueAt: x.DueAt,
		})
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		if x.Status == keyturn.DisputeOpen {
			err = s.disputed(ctx, tx, x, then)
		} else {
			err = s.disputeEnded(ctx, tx, x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s sale) disputed(ctx context.Context, tx *sqlx.Tx, x keyturn.Dispute, then keyturn.OnDispute) error {
	happened := "the customer disputes " + x.Amount.String() + " " + x.Amount.Currency + " (" + x.Reason + ")"
	if !x.DueAt.IsZero() {
		happened += ": evidence is due by " + x.DueAt.UTC().Format(time.RFC3339)
	}
	if len(s.Orders) > 1 {
		happened += ". The payment is of the orders " + strings.Join(s.Orders, ", ")
	}
	if err := s.alert(ctx, tx, keyturn.AlertDispute, happened); err != nil || then != keyturn.OnDisputeRevoke {
		return err
	}
	return s.cancel(ctx, tx, whyDisputed)
}

func (s sale) disputeEnded(ctx context.Context, tx *sqlx.Tx, x keyturn.Dispute) error {
	if err := closeAlertOf(ctx, tx, s.subject(), keyturn.AlertDispute); err != nil || x.Status != keyturn.DisputeLost {
		return err
	}
	return s.cancel(ctx, tx, whyDisputeLost)
}

// bookRefunds books refunds that others made, and of ours those that failed after they counted as done.
func (s sale) bookRefunds(ctx context.Context, tx *sqlx.Tx, refunds []keyturn.MadeRefund) error {
	var all, foreign int64 // what has gone back, and what of it others gave back
	fresh := false
	for _, r := range refunds {
		if _, ours := canonicalID(r.OurID); ours {
			if !r.Failed {
				all += r.Amount.Minor
				continue
			}
			if err := s.bookFailed(ctx, tx, r); err != nil {
				return err
			}
			continue
		}
		status := ""
		if r.Failed {
			status = "failed"
		} else {
			all += r.Amount.Minor
			foreign += r.Amount.Minor
		}
		changed, err := s.note(ctx, tx, noted{ID: r.ID, Kind: afterRefund, Amount: r.Amount, Status: status})
		if err != nil {
			return err
		}
		fresh = fresh || changed
	}
	switch {
	case !fresh || foreign == 0:
		return nil
	case all >= s.Captured.Minor && foreign == all && len(s.Orders) > 0:
		return s.cancel(ctx, tx, whyRefundedThere)
	}
	given := keyturn.Money{Minor: foreign, Currency: s.Captured.Currency}
	return s.alert(ctx, tx, keyturn.AlertExternalRefund, "somebody has refunded "+given.String()+" "+given.Currency+
		" of the payment at the payment provider")
}

// bookFailed books a refund of ours that failed after it counted as done. The line stays CANCELED.
func (s sale) bookFailed(ctx context.Context, tx *sqlx.Tx, r keyturn.MadeRefund) error {
	var failed []string
	if err := tx.SelectContext(ctx, &failed, `
		WITH line AS (
			UPDATE refunds SET failed_at = clock_timestamp() WHERE line_id = $1 AND order_id = ANY($3) AND provider_id = $2
				AND status = 'DONE' AND failed_at IS NULL RETURNING provider_id
		), whole AS (
			UPDATE payment_refunds SET failed_at = clock_timestamp() WHERE payment_id = $1 AND payment_id = $4
				AND provider_id = $2 AND status = 'DONE' AND failed_at IS NULL RETURNING provider_id
		) SELECT provider_id FROM line UNION ALL SELECT provider_id FROM whole`,
		r.OurID, r.ID, pq.Array(s.Orders), s.PaymentID); err != nil || len(failed) == 0 {
		return err
	}
	return s.alert(ctx, tx, keyturn.AlertRefundFailed, "the refund "+r.ID+" of "+r.Amount.String()+" "+r.Amount.Currency+
		" failed at the payment provider: the customer has not got the money")
}

// afterOrderSQL are the rows (a) of what came after the payment of an order (o).
const afterOrderSQL = `orders o CROSS JOIN LATERAL (
		SELECT * FROM payment_aftermath WHERE payment_id = o.payment_id
		UNION ALL
		SELECT * FROM payment_aftermath WHERE o.payment_id IS NULL AND payment_id IS NULL AND provider = o.payment_provider
			AND reference = o.payment_reference
	) a`

// disputeOf says what a dispute of the payment does to its refunds: while one is open they wait, and what was lost is
// back already. lost is the processor's ID of it.
func disputeOf(ctx context.Context, tx *sqlx.Tx, orderID string) (open bool, lost string, err error) {
	var rows []struct {
		ID     string `db:"id"`
		Status string `db:"status"`
	}
	err = tx.SelectContext(ctx, &rows, `
		SELECT a.id, a.status FROM `+afterOrderSQL+` WHERE o.id = $1 AND a.kind = '`+afterDispute+`'`, orderID)
	for _, r := range rows {
		open = open || r.Status == string(keyturn.DisputeOpen)
		if r.Status == string(keyturn.DisputeLost) {
			lost = r.ID
		}
	}
	return open, lost, err
}
