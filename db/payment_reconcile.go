package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Reconciled is what became of a payment after its processor was asked.
type Reconciled struct {
	Next     keyturn.PaymentNext
	Accepted *Accepted // the order that the payment has made just now
}

// Who has a payment reconciled.
const (
	ByProcessor = "processor" // who was asked because somebody wanted to know
	ByWorkflow  = byWorkflow  // the payment's own, which goes on by itself
)

// Reconcile moves a payment to where its processor says that it stands, never backwards, and accepts the order in the
// same transaction once the customer has paid. It may run in any process and any number of times. respond makes the
// answer that is stored with the order.
func (d *DB) Reconcile(ctx context.Context, id string, s keyturn.ProcessorState, by string,
	respond func(Accepted) ([]byte, error),
) (Reconciled, error) {
	p, err := scanPayment(ctx, d.pg, `p.id = $1`, id)
	if err != nil {
		return Reconciled{}, err
	}
	var accept acceptance
	var refused error // why no order can come of it
	if p.OrderID == nil && (s.Status == keyturn.AtProcessorAuthorized || s.Status == keyturn.AtProcessorCaptured) {
		snapshot, _, err := d.snapshot(p)
		if err == nil {
			var link linkRow
			if link, err = d.linkWhere(ctx, d.pg, `k.id = $1`, p.LinkID); err == nil {
				accept, err = d.prepareAcceptance(ctx, p, snapshot, link, respond)
			}
		}
		if refused = err; err != nil && keyturn.KindOf(err) != keyturn.KindErased {
			return Reconciled{}, err
		}
	}
	for try := 1; ; try++ {
		out, err := d.reconcilePayment(ctx, id, s, by, accept, refused)
		switch kind := keyturn.KindOf(err); {
		case err == nil:
			return out, nil
		case refused == nil && (kind == keyturn.KindInvalid || kind == keyturn.KindConflict || kind == keyturn.KindNotFound ||
			pg.SQLState(err) == pg.UniqueViolation) && try == 1:
			refused = err // the order cannot be accepted: its money goes back
		default:
			return out, err
		}
	}
}

func (d *DB) reconcilePayment(ctx context.Context, id string, s keyturn.ProcessorState, by string, accept acceptance,
	refused error,
) (Reconciled, error) {
	var out Reconciled
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = Reconciled{}
		p, err := lockPayment(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := d.noteReferences(p, s); err != nil {
			return err
		}
		if err := p.answered(ctx, tx, s); err != nil {
			return err
		}
		if out.Accepted, err = d.follow(ctx, tx, p, s, by, accept, refused); err != nil {
			return err
		}
		out.Next = p.next()
		return nil
	})
	return out, err
}

// noteReferences takes over what the processor calls the payment.
func (d *DB) noteReferences(p *payment, s keyturn.ProcessorState) error {
	if s.SessionReference != "" && p.SessionReference == nil {
		p.SessionReference = &s.SessionReference
	}
	if s.PaymentReference != "" && p.PaymentReference == nil {
		p.PaymentReference = &s.PaymentReference
	}
	if s.URL == "" || len(p.SessionURL) > 0 || len(p.DataKey) == 0 || len(p.Snapshot) == 0 {
		return nil
	}
	dk, err := d.keys.OpenDataKey(p.DataKey, "customer/"+p.CustomerID)
	if err != nil {
		return err
	}
	p.SessionURL, err = dk.Seal([]byte(s.URL), "payments/"+p.ID+"/url")
	return err
}

// follow moves the payment after its processor.
func (d *DB) follow(ctx context.Context, tx *sqlx.Tx, p *payment, s keyturn.ProcessorState, by string,
	accept acceptance, refused error,
) (*Accepted, error) {
	if p.Status == keyturn.PaymentCreated && s.SessionReference != "" { // its session is known now
		p.move(keyturn.PaymentOpen)
		if err := p.save(ctx, tx, by, ""); err != nil {
			return nil, err
		}
		if err := closeAlertOf(ctx, tx, processorSubject(p.Provider), keyturn.AlertProcessorRefuses); err != nil {
			return nil, err
		}
	}
	switch p.Status {
	case keyturn.PaymentOpen, keyturn.PaymentProcessing, keyturn.PaymentExpired, keyturn.PaymentFailed:
		return d.followUnpaid(ctx, tx, p, s, by, accept, refused)
	case keyturn.PaymentAuthorized, keyturn.PaymentCapturing:
		return nil, d.followAuthorized(ctx, tx, p, s, by)
	case keyturn.PaymentVoiding:
		return nil, d.followVoiding(ctx, tx, p, s, by)
	case keyturn.PaymentVoided, keyturn.PaymentLost:
		if s.Status == keyturn.AtProcessorCaptured {
			return nil, p.capturedAfterEnd(ctx, tx, s.Captured, by)
		}
	case keyturn.PaymentCreated, keyturn.PaymentCaptured, keyturn.PaymentMismatch:
	}
	p.lookNext()
	return nil, p.save(ctx, tx, by, "")
}

// followUnpaid is follow for a payment that has made no order.
func (d *DB) followUnpaid(ctx context.Context, tx *sqlx.Tx, p *payment, s keyturn.ProcessorState, by string,
	accept acceptance, refused error,
) (*Accepted, error) {
	link, err := lockLink(ctx, tx, p.LinkID)
	if err != nil {
		return nil, err
	}
	switch s.Status {
	case keyturn.AtProcessorOpen:
		p.lookNext()
		return nil, p.save(ctx, tx, by, "")
	case keyturn.AtProcessorProcessing:
		if p.Status == keyturn.PaymentOpen {
			p.move(keyturn.PaymentProcessing)
		} else {
			p.lookNext()
		}
		return nil, p.save(ctx, tx, by, "")
	case keyturn.AtProcessorExpired, keyturn.AtProcessorVoided, keyturn.AtProcessorFailed:
		return nil, p.endUnpaid(ctx, tx, &link, s.Status, by)
	case keyturn.AtProcessorAuthorized, keyturn.AtProcessorCaptured:
	}
	late := link.Status != keyturn.LinkPaying || p.Status == keyturn.PaymentExpired || p.Status == keyturn.PaymentFailed
	paid := s.Authorized
	if s.Status == keyturn.AtProcessorCaptured {
		paid = s.Captured
	}
	p.AuthorizedMinor, p.AuthorizedAt = paid.Minor, &p.Now
	switch {
	case late || refused != nil:
		return nil, p.giveBack(ctx, tx, &link, s, by, refused)
	case paid != (keyturn.Money{Minor: p.TotalMinor, Currency: p.Currency}):
		p.move(keyturn.PaymentMismatch)
		if err := p.alert(ctx, tx, keyturn.AlertMismatch, "the customer has paid "+paid.String()+" "+paid.Currency+
			" instead of "+keyturn.Money{Minor: p.TotalMinor, Currency: p.Currency}.String()+" "+p.Currency); err != nil {
			return nil, err
		}
		return nil, p.save(ctx, tx, by, "")
	}
	p.paid(s)
	return d.acceptPayment(ctx, tx, p, &link, accept, by)
}

// paid moves the payment to where the processor has the customer's money.
func (p *payment) paid(s keyturn.ProcessorState) {
	if s.Status == keyturn.AtProcessorCaptured {
		p.CapturedMinor, p.CapturedAt = s.Captured.Minor, &p.Now
		p.move(keyturn.PaymentCaptured)
		return
	}
	p.CaptureBy = ptr(p.Now.Add(captureUnknown))
	if s.CaptureWithin > 0 {
		p.CaptureBy = ptr(p.Now.Add(max(s.CaptureWithin-CaptureMargin, s.CaptureWithin/2)))
	}
	p.move(keyturn.PaymentAuthorized)
}

// endUnpaid ends a payment by which nothing was paid, and opens its link again.
func (p *payment) endUnpaid(ctx context.Context, tx *sqlx.Tx, link *linkRow, s keyturn.ProcessorStatus, by string,
) error {
	switch {
	case p.Status == keyturn.PaymentExpired || p.Status == keyturn.PaymentFailed:
		p.lookNext()
		return p.save(ctx, tx, by, "")
	case p.Status == keyturn.PaymentProcessing:
		p.move(keyturn.PaymentFailed)
	case s == keyturn.AtProcessorFailed: // it was processing in between
		p.move(keyturn.PaymentProcessing)
		if err := p.save(ctx, tx, by, ""); err != nil {
			return err
		}
		p.move(keyturn.PaymentFailed)
	default:
		p.move(keyturn.PaymentExpired)
	}
	if err := p.save(ctx, tx, by, ""); err != nil {
		return err
	}
	if p.Status == keyturn.PaymentFailed {
		if err := p.tell(ctx, tx, keyturn.MailRefused, by); err != nil {
			return err
		}
	}
	if link.Status != keyturn.LinkPaying {
		return nil
	}
	return moveLink(ctx, tx, link, keyturn.LinkOpen, by, "")
}

// alert opens an alert about the payment. It names the order that the link makes, whether there is one or not: whose
// order it is sees the alert.
func (p *payment) alert(ctx context.Context, tx *sqlx.Tx, cause keyturn.AlertCause, happened string) error {
	return openAlertOf(ctx, tx, "payment/"+p.ID, cause, AlertDetail{OrderID: p.LinkOrderID, Happened: happened})
}

// RefusedByProcessor ends a payment whose session its processor refuses to open, and that can therefore not be paid,
// and alerts until it opens one. The link is open again. KindConflict for a payment whose session is known.
func (d *DB) RefusedByProcessor(ctx context.Context, id string, kind keyturn.Kind) (keyturn.PaymentNext, error) {
	return d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error {
		if p.Status != keyturn.PaymentCreated {
			return keyturn.Errorf(keyturn.KindConflict, "the payment is %s", p.Status)
		}
		if err := p.answered(ctx, tx, keyturn.ProcessorState{}); err != nil {
			return err
		}
		if err := p.alertRefused(ctx, tx, kind); err != nil {
			return err
		}
		link, err := lockLink(ctx, tx, p.LinkID)
		if err != nil {
			return err
		}
		return p.endUnpaid(ctx, tx, &link, keyturn.AtProcessorExpired, byWorkflow)
	})
}

// looksSoon is how soon a payment is asked after that nobody looks at although it should have been: its workflow is
// gone.
const looksSoon = 5 * time.Minute

// WakeForgottenPayments has the relay start the workflows of payments that should have been looked at long ago, or have
// e-mails that nobody sends: theirs was terminated, or Temporal lost it. One whose processor does not answer is woken
// rarely, because each time its history grows. It returns how many there were.
func (d *DB) WakeForgottenPayments(ctx context.Context) (n int, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var ids []string
		err := tx.SelectContext(ctx, &ids, `
			WITH forgotten AS MATERIALIZED (
				SELECT id FROM payments WHERE look_at < now() - make_interval(secs => $1) ORDER BY look_at LIMIT 200
				FOR UPDATE SKIP LOCKED
			), moved AS (
				UPDATE payments p SET look_at = now() FROM forgotten f WHERE p.id = f.id RETURNING p.id
			), unsent AS MATERIALIZED (
				SELECT id FROM payment_mails WHERE due_at < now() - make_interval(secs => $1) ORDER BY due_at LIMIT 200
				FOR UPDATE SKIP LOCKED
			), due AS (
				UPDATE payment_mails m SET due_at = now() FROM unsent u WHERE m.id = u.id RETURNING m.payment_id
			)
			INSERT INTO outbox (workflow, subject)
			SELECT $2, CAST(id AS text) FROM (SELECT id FROM moved UNION SELECT payment_id FROM due) p
			ON CONFLICT (workflow, subject) DO NOTHING RETURNING subject`, looksSoon.Seconds(), WorkflowPayment)
		n = len(ids)
		return err
	})
	return n, err
}
