package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// giveBack gives back all of a payment of which no order may come: it came after the end of its link, or the order
// cannot be accepted.
func (p *payment) giveBack(ctx context.Context, tx *sqlx.Tx, link *linkRow, s keyturn.ProcessorState, by string,
	refused error,
) error {
	late := p.Status == keyturn.PaymentExpired || p.Status == keyturn.PaymentFailed
	cause, happened := keyturn.AlertLatePayment, "a payment came after the end of its checkout link"
	if refused != nil && !late {
		cause, happened = keyturn.AlertNotAccepted, "a paid checkout link could not become an order: "+
			string(keyturn.KindOf(refused))
	}
	if err := p.alert(ctx, tx, cause, happened+". All of it goes back to the customer"); err != nil {
		return err
	}
	if err := p.returnAll(ctx, tx, s, by, string(cause)); err != nil {
		return err
	}
	if late || link.Status != keyturn.LinkPaying {
		return nil
	}
	return moveLink(ctx, tx, link, keyturn.LinkOpen, by, string(cause))
}

// returnAll lets go of what is authorized, or books that all that was taken is owed back, and has the workflow do it.
func (p *payment) returnAll(ctx context.Context, tx *sqlx.Tx, s keyturn.ProcessorState, by, reason string) error {
	if s.Status == keyturn.AtProcessorCaptured {
		p.CapturedMinor, p.CapturedAt = s.Captured.Minor, &p.Now
		p.move(keyturn.PaymentCaptured)
		if err := p.oweAll(ctx, tx); err != nil {
			return err
		}
		if err := p.addMail(ctx, tx, keyturn.MailEnded); err != nil {
			return err
		}
	} else {
		p.move(keyturn.PaymentVoiding)
	}
	if err := p.save(ctx, tx, by, reason); err != nil {
		return err
	}
	return p.wake(ctx, tx)
}

// oweAll books that all that was taken is owed back.
func (p *payment) oweAll(ctx context.Context, tx *sqlx.Tx) error {
	return p.owe(ctx, tx, p.CapturedMinor)
}

// oweWhatWasGivenUp books that what was taken for lines is owed back that were given up as not charged. The others of
// the cancelled order are yet to give themselves up, and are refunded one by one.
func (p *payment) oweWhatWasGivenUp(ctx context.Context, tx *sqlx.Tx) error {
	if p.OrderID == nil {
		return p.oweAll(ctx, tx)
	}
	var others int64
	if err := tx.GetContext(ctx, &others, `
		SELECT coalesce(sum(l.gross_minor), 0) FROM line_items l
		WHERE l.order_id = $1 AND NOT EXISTS (SELECT FROM refunds r WHERE r.line_id = l.id)`, *p.OrderID); err != nil {
		return err
	}
	return p.owe(ctx, tx, p.CapturedMinor-others)
}

func (p *payment) owe(ctx context.Context, tx *sqlx.Tx, minor int64) error {
	if minor <= 0 {
		return nil
	}
	p.Owed = true
	_, err := tx.ExecContext(ctx, `
		INSERT INTO payment_refunds (payment_id, amount_minor, currency) VALUES ($1, $2, $3)
		ON CONFLICT (payment_id) DO NOTHING`, p.ID, minor, p.Currency)
	return err
}

// PaymentRefundDue is what a payment without an order is owed back.
type PaymentRefundDue struct {
	Amount    keyturn.Money
	Provider  string
	Reference string
	OrderID   string
	Known     Repetition
}

// BeginPaymentRefund counts an attempt and says what to give back; nil: nothing is owed.
func (d *DB) BeginPaymentRefund(ctx context.Context, id string) (due *PaymentRefundDue, next keyturn.PaymentNext,
	err error,
) {
	next, err = d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error {
		due = nil
		var owed []struct {
			Minor int64 `db:"amount_minor"`
			repetition
		}
		if err := tx.SelectContext(ctx, &owed, `
			UPDATE payment_refunds SET attempts = attempts + 1, key_since = coalesce(key_since, clock_timestamp())
			WHERE payment_id = $1 AND status = 'PENDING' RETURNING amount_minor, `+repetitionColumns, p.ID,
		); err != nil || len(owed) == 0 {
			p.Owed = false
			return err
		}
		due = &PaymentRefundDue{
			Amount: keyturn.Money{Minor: owed[0].Minor, Currency: p.Currency}, Provider: p.Provider, Known: owed[0].Repetition(),
		}
		if p.PaymentReference != nil {
			due.Reference = *p.PaymentReference
		}
		return tx.GetContext(ctx, &due.OrderID, `SELECT order_id FROM checkout_links WHERE id = $1`, p.LinkID)
	})
	return due, next, err
}

// FinishPaymentRefund books that the payment's money is back.
func (d *DB) FinishPaymentRefund(ctx context.Context, id, providerID string) (keyturn.PaymentNext, error) {
	return d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error {
		if _, err := tx.ExecContext(ctx, `
			UPDATE payment_refunds SET status = 'DONE', done_at = now(), provider_id = $2, error = NULL
			WHERE payment_id = $1 AND status = 'PENDING'`, p.ID, providerID); err != nil {
			return err
		}
		p.Owed = false
		return closeAlertOf(ctx, tx, "payment/"+p.ID, keyturn.AlertRefund)
	})
}
