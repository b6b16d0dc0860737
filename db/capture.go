package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// captureLease is how long one process may be busy capturing: nobody else captures or lets go meanwhile. It is longer
// than the call's own deadline.
const captureLease = 45 * time.Second

// captureAgain is how soon a line comes back whose capture waits for something else.
const captureAgain = 2 * time.Second

// firstTriesWithin is how long a payment's capture waits for lines that are on their first attempt.
const firstTriesWithin = 30 * time.Second

// CaptureDue is the money that a line is to have taken, for all lines of its order that are not given up.
type CaptureDue struct {
	PaymentID        string
	Provider         string
	SessionReference string
	PaymentReference string
	Sum              keyturn.Money
	No               int  // of the key under which it is taken
	Look             bool // an earlier attempt may have taken it: ask first
	Now              time.Time
	try              int
}

// BeginCapture books what is to be captured and takes the lease on it. A nil CaptureDue with a Next: there is nothing
// to capture, because it was done, or because the line ends uncharged; with a wait, that the line comes back then.
func (d *DB) BeginCapture(ctx context.Context, fulfillmentID string) (due *CaptureDue, next keyturn.Next,
	wait time.Duration, err error,
) {
	next, err = d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		due, wait = nil, 0
		stopped, err := d.stop(ctx, tx, l, keyturn.DoCapture)
		if stopped || err != nil {
			return err
		}
		p, err := lockPayment(ctx, tx, *l.PaymentID)
		if err != nil {
			return err
		}
		l.PaymentStatus = &p.Status
		switch {
		case p.Status == keyturn.PaymentCaptured:
			return nil
		case p.Status.Uncharged():
			return d.giveUp(ctx, tx, l, byWorkflow, whyUncharged, "")
		case p.captureLeased():
			wait = captureAgain
			return nil
		case l.Status == keyturn.LineRetrying && p.CaptureMinor == nil && !l.Now.Before(l.GiveUpAt):
			return d.giveUp(ctx, tx, l, byWorkflow, whyUncharged, keyturn.KindUnavailable)
		case p.Status == keyturn.PaymentAuthorized:
			if wait, err = waitForOthers(ctx, tx, p); wait > 0 || err != nil {
				return err
			}
			p.move(keyturn.PaymentCapturing)
		}
		if p.CaptureMinor == nil {
			p.CaptureMinor, p.CaptureTries = &p.ChargeableMinor, 0
		}
		due = &CaptureDue{
			PaymentID: p.ID, Provider: p.Provider, Sum: keyturn.Money{Minor: *p.CaptureMinor, Currency: p.Currency},
			No: p.CaptureNo, Look: p.CaptureTries > 0, Now: p.Now, try: p.CaptureTries + 1,
		}
		if p.SessionReference != nil {
			due.SessionReference = *p.SessionReference
		}
		if p.PaymentReference != nil {
			due.PaymentReference = *p.PaymentReference
		}
		p.CaptureTries++
		p.CaptureUntil = ptr(p.Now.Add(captureLease))
		p.LookAt = p.CaptureUntil // should this process die, the payment's workflow asks what became of it
		return p.save(ctx, tx, byWorkflow, "")
	})
	return due, next, wait, err
}

func (p *payment) captureLeased() bool { return p.CaptureUntil != nil && p.CaptureUntil.After(p.Now) }

// waitForOthers says how long a capture waits for the order's other lines. There is one capture a payment: lines on
// their first attempt may be ready in a moment, and lines that have failed may be given up first.
func waitForOthers(ctx context.Context, tx *sqlx.Tx, p *payment) (time.Duration, error) {
	if p.FirstTries > 0 && p.AuthorizedAt != nil && p.Now.Sub(*p.AuthorizedAt) < firstTriesWithin {
		return captureAgain, nil
	}
	if p.Mixed != keyturn.MixedChargeReady {
		return 0, nil
	}
	var failed bool
	if err := tx.GetContext(ctx, &failed, `
		SELECT EXISTS (SELECT FROM line_items WHERE order_id = $1 AND obtained_at IS NULL
			AND status IN ('RETRYING', 'WAITING_FOR_STOCK', 'HELD'))`, *p.OrderID); err != nil || !failed {
		return 0, err
	}
	if !p.GiveUpFailed {
		p.GiveUpFailed = true
		if err := p.save(ctx, tx, byWorkflow, ""); err != nil {
			return 0, err
		}
		if err := enqueue(ctx, tx, WorkflowTurn, *p.OrderID); err != nil { // wakes its lines, no more
			return 0, err
		}
	}
	return captureAgain, nil
}

// FinishCapture books what the processor says after a capture, and says what the line needs next.
func (d *DB) FinishCapture(ctx context.Context, fulfillmentID string, s keyturn.ProcessorState) (keyturn.Next, error) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		if l.PaymentID == nil {
			return keyturn.Errorf(keyturn.KindConflict, "the line's order came in paid")
		}
		p, err := lockPayment(ctx, tx, *l.PaymentID)
		if err != nil {
			return err
		}
		if p.Status == keyturn.PaymentAuthorized || p.Status == keyturn.PaymentCapturing {
			if err := p.answered(ctx, tx, s); err != nil {
				return err
			}
			if err := d.followAuthorized(ctx, tx, p, s, byWorkflow); err != nil {
				return err
			}
		}
		l.PaymentStatus = &p.Status
		if p.Status.Uncharged() && l.Status.Open() && l.Status != keyturn.LineCanceling {
			return d.giveUp(ctx, tx, l, byWorkflow, whyUncharged, "")
		}
		if p.Status != keyturn.PaymentCaptured || l.Status != keyturn.LineRetrying {
			return nil
		}
		if err := closeLineAlert(ctx, tx, l, keyturn.AlertCapture); err != nil {
			return err
		}
		l.NextAttemptAt, l.Failures, l.Attempts = nil, 0, 0
		l.GiveUpAt = l.deadline()
		return l.save(ctx, tx, byWorkflow, "captured")
	})
}

// Times of repeated captures.
const (
	captureFirst = 2 * time.Second
	captureMost  = 15 * time.Minute
)

// FailCapture books a capture that did not come through. With refused for good, the authorization is lost and the order
// ends uncharged; otherwise it is tried again, later each time, until the authorization ends. The failure of a try that
// another one has overtaken changes nothing.
func (d *DB) FailCapture(ctx context.Context, fulfillmentID string, due *CaptureDue, failed error) (keyturn.Next,
	error,
) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		p, err := lockPayment(ctx, tx, due.PaymentID)
		if err != nil {
			return err
		}
		if p.Status != keyturn.PaymentCapturing || p.CaptureNo != due.No || p.CaptureTries != due.try {
			return nil
		}
		kind := keyturn.KindOf(failed)
		p.CaptureUntil, p.Failure = &p.Now, ptr(string(kind)) // what was said before proves nothing
		if kind == keyturn.KindRejected && keyturn.IsPermanent(failed) {
			if err := p.lose(ctx, tx, byWorkflow, "the processor refuses the capture for good"); err != nil {
				return err
			}
			l.PaymentStatus = &p.Status
			return d.giveUp(ctx, tx, l, byWorkflow, whyUncharged, kind)
		}
		if kind == keyturn.KindRejected { // it was answered: nothing was taken under this key, nor will be
			p.CaptureNo++
			p.CaptureMinor, p.CaptureTries = nil, 0
		}
		p.LookAt = &p.Now
		if err := p.save(ctx, tx, byWorkflow, string(kind)); err != nil {
			return err
		}
		if err := p.wake(ctx, tx); err != nil {
			return err
		}
		l.PaymentStatus = &p.Status
		if l.Status != keyturn.LineObtained && l.Status != keyturn.LineRetrying {
			return nil
		}
		l.Failures++
		l.Attempts++
		l.setFailure(keyturn.Failure{Kind: kind, Message: "the money could not be taken yet", At: l.Now})
		if err := openLineAlert(ctx, tx, l, keyturn.AlertCapture, "the money of an order could not be taken yet: "+
			string(kind)); err != nil {
			return err
		}
		l.Status = keyturn.LineRetrying
		over := !l.Now.Before(l.GiveUpAt)
		if over && p.CaptureMinor == nil {
			return d.giveUp(ctx, tx, l, byWorkflow, whyUncharged, kind)
		}
		l.NextAttemptAt = ptr(l.Now.Add(min(captureFirst<<min(l.Failures-1, 20), captureMost)))
		if !over { // past its time it must be known first whether the money was taken
			l.NextAttemptAt = ptr(minTime(*l.NextAttemptAt, l.GiveUpAt))
		}
		return l.save(ctx, tx, byWorkflow, string(kind))
	})
}

// charge says what a line that is given up is owed, and takes its price out of what is to be captured if nothing was
// captured yet. KindConflict while a capture is under way: its outcome comes first.
func (d *DB) charge(ctx context.Context, tx *sqlx.Tx, l *line) (owed int64, err error) {
	if l.PaymentID == nil {
		return l.GrossMinor, nil
	}
	p, err := lockPayment(ctx, tx, *l.PaymentID)
	if err != nil {
		return 0, err
	}
	l.PaymentStatus = &p.Status
	switch {
	case p.Status == keyturn.PaymentCaptured:
		return p.owedBack(ctx, tx, l.GrossMinor)
	case p.Status.Uncharged():
		return 0, nil
	case p.captureLeased():
		return 0, keyturn.Errorf(keyturn.KindConflict,
			"the money is being taken at this moment: try again in a minute")
	case p.CaptureMinor != nil: // nobody knows whether it was taken: the payment's workflow asks
		return 0, keyturn.Errorf(keyturn.KindConflict,
			"it is not known yet whether the money was taken: try again in a minute")
	}
	p.ChargeableMinor = max(p.ChargeableMinor-l.GrossMinor, 0)
	if p.ChargeableMinor > 0 || l.GrossMinor == 0 {
		return 0, p.save(ctx, tx, byWorkflow, "")
	}
	return 0, p.letGo(ctx, tx, byWorkflow, "no line with a price is left")
}
