package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// followAuthorized is follow for a payment whose order waits for its capture.
func (d *DB) followAuthorized(ctx context.Context, tx *sqlx.Tx, p *payment, s keyturn.ProcessorState, by string) error {
	switch s.Status {
	case keyturn.AtProcessorCaptured:
		return p.captured(ctx, tx, s.Captured, by)
	case keyturn.AtProcessorVoided, keyturn.AtProcessorExpired, keyturn.AtProcessorFailed:
		return p.lose(ctx, tx, by, "the authorization ended at the processor")
	case keyturn.AtProcessorAuthorized:
		if p.CaptureUntil != nil && p.askedAt(s).Before(*p.CaptureUntil) { // the answer is older than the capture's end
			break
		}
		if p.CaptureMinor != nil { // it is proved: nothing was taken
			p.CaptureMinor, p.CaptureTries = nil, 0
			p.CaptureNo++
		}
		if p.CaptureBy != nil && !p.Now.Before(*p.CaptureBy) {
			return p.letGo(ctx, tx, by, "its time is over")
		}
	case keyturn.AtProcessorOpen, keyturn.AtProcessorProcessing: // never backwards
	}
	p.lookNext()
	if p.captureLeased() { // should whoever captures have died, it is asked then what became of it
		p.LookAt = ptr(minTime(*p.LookAt, *p.CaptureUntil))
	}
	return p.save(ctx, tx, by, "")
}

// captured books a capture with what was taken.
func (p *payment) captured(ctx context.Context, tx *sqlx.Tx, sum keyturn.Money, by string) error {
	if p.Status == keyturn.PaymentAuthorized { // captured by somebody else than us
		p.move(keyturn.PaymentCapturing)
		if err := p.save(ctx, tx, by, "captured at the processor"); err != nil {
			return err
		}
	}
	p.CapturedMinor, p.CapturedAt, p.CaptureMinor, p.Failure = sum.Minor, &p.Now, nil, nil
	if sum.Minor != p.ChargeableMinor || sum.Currency != p.Currency {
		if err := p.capturedOtherwise(ctx, tx, sum); err != nil {
			return err
		}
	}
	late := p.Looks > 1 || p.Owed // its workflow waits for longer than a moment
	p.move(keyturn.PaymentCaptured)
	if err := p.save(ctx, tx, by, ""); err != nil || !late {
		return err
	}
	return p.wake(ctx, tx)
}

// capturedOtherwise alerts that another sum was taken than was due. What is more goes back, and the customer is told.
func (p *payment) capturedOtherwise(ctx context.Context, tx *sqlx.Tx, sum keyturn.Money) error {
	happened := "the processor has taken " + sum.String() + " " + sum.Currency + " instead of " +
		keyturn.Money{Minor: p.ChargeableMinor, Currency: p.Currency}.String() + " " + p.Currency
	if sum.Currency != p.Currency || sum.Minor < p.ChargeableMinor {
		return p.alert(ctx, tx, keyturn.AlertMismatch, happened)
	}
	if err := p.alert(ctx, tx, keyturn.AlertMismatch, happened+". What is more goes back to the customer"); err != nil {
		return err
	}
	if err := p.owe(ctx, tx, sum.Minor-p.ChargeableMinor); err != nil {
		return err
	}
	return p.addMail(ctx, tx, keyturn.MailCorrected)
}

// capturedAfterEnd books that a payment was taken after it had ended uncharged, and owes all of it back. Whoever was
// told that nothing was charged is told the truth.
func (p *payment) capturedAfterEnd(ctx context.Context, tx *sqlx.Tx, sum keyturn.Money, by string) error {
	p.CapturedMinor, p.CapturedAt = sum.Minor, &p.Now
	p.move(keyturn.PaymentCaptured)
	if err := p.alert(ctx, tx, keyturn.AlertLatePayment,
		"a payment was taken after it had ended uncharged. All of it goes back to the customer"); err != nil {
		return err
	}
	if err := p.oweWhatWasGivenUp(ctx, tx); err != nil {
		return err
	}
	if err := p.save(ctx, tx, by, "captured at the processor"); err != nil {
		return err
	}
	if p.Owed { // else its lines are yet to be given up, and tell of their own refunds
		if err := p.addMail(ctx, tx, keyturn.MailCorrected); err != nil {
			return err
		}
	}
	return p.wake(ctx, tx)
}

// lose ends a payment whose authorization is gone. Its order ends uncharged.
func (p *payment) lose(ctx context.Context, tx *sqlx.Tx, by, reason string) error {
	p.CaptureMinor, p.CaptureUntil = nil, nil
	p.move(keyturn.PaymentLost)
	if err := p.save(ctx, tx, by, reason); err != nil {
		return err
	}
	if err := p.tell(ctx, tx, keyturn.MailEnded, ""); err != nil {
		return err
	}
	return cancelOrder(ctx, tx, *p.OrderID, whyUncharged, "")
}

// letGo has the payment's authorization let go, which ends its order uncharged.
func (p *payment) letGo(ctx context.Context, tx *sqlx.Tx, by, reason string) error {
	p.CaptureMinor, p.CaptureUntil = nil, nil
	p.move(keyturn.PaymentVoiding)
	if err := p.save(ctx, tx, by, reason); err != nil {
		return err
	}
	if err := p.wake(ctx, tx); err != nil {
		return err
	}
	return cancelOrder(ctx, tx, *p.OrderID, whyUncharged, "")
}

// whyUncharged is why lines end whose payment was let go or lost.
const whyUncharged = "nothing was charged: the payment was not taken in time"

// followVoiding is follow for a payment that is to be let go.
func (d *DB) followVoiding(ctx context.Context, tx *sqlx.Tx, p *payment, s keyturn.ProcessorState, by string) error {
	switch s.Status {
	case keyturn.AtProcessorVoided, keyturn.AtProcessorExpired, keyturn.AtProcessorFailed:
		p.move(keyturn.PaymentVoided)
	case keyturn.AtProcessorCaptured: // it was captured all the same: late, or by somebody else than us
		p.CapturedMinor, p.CapturedAt = s.Captured.Minor, &p.Now
		p.move(keyturn.PaymentCaptured)
		if err := p.oweWhatWasGivenUp(ctx, tx); err != nil {
			return err
		}
	case keyturn.AtProcessorAuthorized, keyturn.AtProcessorOpen, keyturn.AtProcessorProcessing:
		p.LookAt = ptr(p.Now.Add(min(captureFirst<<min(p.Looks, 20), captureMost))) // until then the money is blocked
		p.Looks++
		return p.save(ctx, tx, by, "")
	}
	if err := p.save(ctx, tx, by, ""); err != nil || p.Status == keyturn.PaymentCaptured && !p.Owed {
		return err // what is yet to be given up tells of its own refund
	}
	return p.tell(ctx, tx, keyturn.MailEnded, by)
}
