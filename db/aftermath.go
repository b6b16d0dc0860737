package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

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

// BookAftermath books what a processor lists of a payment after it was taken, each thing once, and tells operations. An
// order whose whole payment somebody refunded at the processor is cancelled, and so is one whose dispute is lost. What
// a dispute and a fraud warning do beside that is a setting of the shop.
func (d *DB) BookAftermath(ctx context.Context, id string, a keyturn.Aftermath) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		p, err := lockPayment(ctx, tx, id)
		if err != nil {
			return err
		}
		shop, err := shopIn(ctx, tx)
		if err != nil {
			return err
		}
		refund := shop.Checkout.OnFraudWarning == keyturn.OnFraudWarningRefund
		for _, w := range a.Warnings {
			fresh, err := p.note(ctx, tx, noted{ID: w, Kind: afterWarning})
			if err == nil && fresh {
				err = p.alert(ctx, tx, keyturn.AlertFraudWarning,
					"the customer's bank has warned that the payment may be fraudulent")
			}
			if err == nil && fresh && refund && p.OrderID != nil {
				err = cancelOrder(ctx, tx, *p.OrderID, whyFraudWarning, "")
			}
			if err != nil {
				return err
			}
		}
		if err := p.bookDisputes(ctx, tx, a.Disputes, shop.Checkout.OnDispute); err != nil {
			return err
		}
		return p.bookRefunds(ctx, tx, a.Refunds)
	})
}

type noted struct {
	ID, Kind       string
	Amount         keyturn.Money
	Status, Reason string
	DueAt          time.Time
}

// note books one thing, and says whether it is new or has another status than before.
func (p *payment) note(ctx context.Context, tx *sqlx.Tx, n noted) (changed bool, err error) {
	var due *time.Time
	if !n.DueAt.IsZero() {
		due = &n.DueAt
	}
	var ids []string
	err = tx.SelectContext(ctx, &ids, `
		INSERT INTO payment_aftermath AS a (provider, id, payment_id, kind, amount_minor, currency, status, reason, due_at,
			closed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $7 IN ('won', 'lost') THEN clock_timestamp() END)
		ON CONFLICT (provider, id) DO UPDATE SET status = excluded.status, due_at = coalesce(excluded.due_at, a.due_at),
			closed_at = excluded.closed_at
		WHERE a.status <> excluded.status RETURNING id`,
		p.Provider, n.ID, p.ID, n.Kind, n.Amount.Minor, n.Amount.Currency, n.Status, n.Reason, due)
	return len(ids) > 0, err
}

func (p *payment) bookDisputes(ctx context.Context, tx *sqlx.Tx, disputes []keyturn.Dispute,
	then keyturn.OnDispute,
) error {
	for _, x := range disputes {
		changed, err := p.note(ctx, tx, noted{
			ID: x.ID, Kind: afterDispute, Amount: x.Amount, Status: string(x.Status), Reason: x.Reason, DueAt: x.DueAt,
		})
		if err != nil || !changed {
			if err != nil {
				return err
			}
			continue
		}
		if x.Status == keyturn.DisputeOpen {
			happened := "the customer disputes " + x.Amount.String() + " " + x.Amount.Currency + " (" + x.Reason + ")"
			if !x.DueAt.IsZero() {
				happened += ": evidence is due by " + x.DueAt.UTC().Format(time.RFC3339)
			}
			err := p.alert(ctx, tx, keyturn.AlertDispute, happened)
			if err == nil && then == keyturn.OnDisputeRevoke && p.OrderID != nil {
				err = cancelOrder(ctx, tx, *p.OrderID, whyDisputed, "")
			}
			if err != nil {
				return err
			}
			continue
		}
		if err := closeAlertOf(ctx, tx, "payment/"+p.ID, keyturn.AlertDispute); err != nil {
			return err
		}
		if x.Status == keyturn.DisputeLost && p.OrderID != nil {
			if err := cancelOrder(ctx, tx, *p.OrderID, whyDisputeLost, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// bookRefunds books refunds that others made, and of ours those that failed after they counted as done.
func (p *payment) bookRefunds(ctx context.Context, tx *sqlx.Tx, refunds []keyturn.MadeRefund) error {
	var all, foreign int64 // what has gone back, and what of it others gave back
	fresh := false
	for _, r := range refunds {
		if _, ours := canonicalID(r.OurID); ours {
			if !r.Failed {
				all += r.Amount.Minor
				continue
			}
			if err := p.bookFailed(ctx, tx, r); err != nil {
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
		changed, err := p.note(ctx, tx, noted{ID: r.ID, Kind: afterRefund, Amount: r.Amount, Status: status})
		if err != nil {
			return err
		}
		fresh = fresh || changed
	}
	switch {
	case !fresh || foreign == 0:
		return nil
	case all >= p.CapturedMinor && foreign == all && p.OrderID != nil:
		return cancelOrder(ctx, tx, *p.OrderID, whyRefundedThere, "")
	}
	given := keyturn.Money{Minor: foreign, Currency: p.Currency}
	return p.alert(ctx, tx, keyturn.AlertExternalRefund, "somebody has refunded "+given.String()+" "+given.Currency+
		" of the payment at the payment provider")
}

// bookFailed books a refund of ours that failed after it counted as done. The line stays CANCELED.
func (p *payment) bookFailed(ctx context.Context, tx *sqlx.Tx, r keyturn.MadeRefund) error {
	var failed []string
	if err := tx.SelectContext(ctx, &failed, `
		WITH line AS (
			UPDATE refunds SET failed_at = clock_timestamp() WHERE line_id = $1 AND order_id = $3 AND provider_id = $2
				AND status = 'DONE' AND failed_at IS NULL RETURNING provider_id
		), whole AS (
			UPDATE payment_refunds SET failed_at = clock_timestamp() WHERE payment_id = $1 AND payment_id = $4
				AND provider_id = $2 AND status = 'DONE' AND failed_at IS NULL RETURNING provider_id
		) SELECT provider_id FROM line UNION ALL SELECT provider_id FROM whole`,
		r.OurID, r.ID, p.OrderID, p.ID); err != nil || len(failed) == 0 {
		return err
	}
	return p.alert(ctx, tx, keyturn.AlertRefundFailed, "the refund "+r.ID+" of "+r.Amount.String()+" "+r.Amount.Currency+
		" failed at the payment provider: the customer has not got the money")
}

// disputeOf says what a dispute of the payment does to its refunds: while one is open they wait, and what was lost is
// back already. lost is the processor's ID of it.
func disputeOf(ctx context.Context, tx *sqlx.Tx, orderID string) (open bool, lost string, err error) {
	var rows []struct {
		ID     string `db:"id"`
		Status string `db:"status"`
	}
	err = tx.SelectContext(ctx, &rows, `
		SELECT a.id, a.status FROM payments p JOIN payment_aftermath a ON a.payment_id = p.id
		WHERE p.order_id = $1 AND a.kind = '`+afterDispute+`'`, orderID)
	for _, r := range rows {
		open = open || r.Status == string(keyturn.DisputeOpen)
		if r.Status == string(keyturn.DisputeLost) {
			lost = r.ID
		}
	}
	return open, lost, err
}

// reviewEvery is how often a processor is asked for what came of payments.
const reviewEvery = 20 * time.Hour

// TakeReview says whether a processor is to be asked now for what came of payments, and books that it is.
func (d *DB) TakeReview(ctx context.Context, provider string) (now time.Time, due bool, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var at []time.Time
		err := tx.SelectContext(ctx, &at, `
			INSERT INTO processor_reviews AS r (provider, at) VALUES ($1, clock_timestamp())
			ON CONFLICT (provider) DO UPDATE SET at = clock_timestamp()
			WHERE r.at < clock_timestamp() - make_interval(secs => $2) RETURNING at`, provider, reviewEvery.Seconds())
		if due = len(at) > 0; due {
			now = at[0]
		}
		return err
	})
	return now, due, err
}
