package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// PaymentMail is an e-mail about a payment that is about to be sent.
type PaymentMail struct {
	ID      string
	Message []byte

	kind keyturn.PaymentMailKind
	try  int // whose lease it is: the number of this attempt
}

// RenderPaymentMail makes the bytes of an e-mail about a payment. KindInvalid when it cannot be made of these facts.
type RenderPaymentMail func(PaymentMailFacts) ([]byte, error)

// keysWait is how long e-mails with keys wait for the first attempt to send the confirmation, so that it comes first.
const keysWait = time.Minute

// Times of an e-mail that does not go out.
const (
	mailAgain  = 10 * time.Second // doubling
	mailSlowly = time.Hour        // at most
	mailFor    = 72 * time.Hour   // as long as e-mails that follow a line's first
)

// addMail has the payment's workflow send an e-mail, whose text is made when it is first tried. One of the same kind
// that is there already stays the only one.
func (p *payment) addMail(ctx context.Context, tx *sqlx.Tx, kind keyturn.PaymentMailKind) error {
	var due []time.Time
	err := tx.SelectContext(ctx, &due, `
		INSERT INTO payment_mails (id, payment_id, kind, due_at) VALUES ($1, $2, $3, clock_timestamp())
		ON CONFLICT (payment_id, kind) WHERE kind <> 'orderPage' AND change_id IS NULL DO NOTHING RETURNING due_at`,
		newID(), p.ID, kind)
	if err == nil && len(due) == 1 {
		p.MailDue = &p.Now
	}
	return err
}

// tell is addMail by somebody who may not be the payment's own workflow.
func (p *payment) tell(ctx context.Context, tx *sqlx.Tx, kind keyturn.PaymentMailKind, by string) error {
	if err := p.addMail(ctx, tx, kind); err != nil || by == ByWorkflow {
		return err
	}
	return p.wake(ctx, tx)
}

// BeginPaymentMail takes the lease on the payment's oldest e-mail that is due, and returns its bytes, which render
// makes at its first attempt, and which are stored then. A nil PaymentMail: none is due.
func (d *DB) BeginPaymentMail(ctx context.Context, paymentID string, render RenderPaymentMail) (out *PaymentMail,
	next keyturn.PaymentNext, err error,
) {
	next, err = d.paymentStep(ctx, paymentID, func(tx *sqlx.Tx, p *payment) error {
		out = nil
		var due []paymentMailRow
		if err := tx.SelectContext(ctx, &due, `
			SELECT id, kind, message, attempts, created_at, change_id FROM payment_mails
			WHERE payment_id = $1 AND due_at <= clock_timestamp() ORDER BY created_at LIMIT 1`, p.ID); err != nil ||
			len(due) == 0 {
			return err
		}
		m := due[0]
		out = &PaymentMail{ID: m.ID, kind: m.Kind, try: m.Attempts + 1}
		message, sealed, err := d.paymentMail(ctx, tx, p, m, render)
		if kind := keyturn.KindOf(err); kind == keyturn.KindErased || cannotBeMade(err) {
			out = nil // nobody is told
			return d.endMail(ctx, tx, p, m.ID, m.Kind, kind)
		}
		if err != nil {
			return err
		}
		out.Message = message
		if _, err := tx.ExecContext(ctx, `
			UPDATE payment_mails SET status = 'SENDING', attempts = attempts + 1, message = $2,
				due_at = clock_timestamp() + make_interval(secs => $3)
			WHERE id = $1`, m.ID, sealed, sendLease.Seconds()); err != nil {
			return err
		}
		return p.readMailDue(ctx, tx)
	})
	return out, next, err
}

type paymentMailRow struct {
	ID        string                  `db:"id"`
	Kind      keyturn.PaymentMailKind `db:"kind"`
	Message   []byte                  `db:"message"`
	Attempts  int                     `db:"attempts"`
	CreatedAt time.Time               `db:"created_at"`
	ChangeID  *string                 `db:"change_id"` // of its order's address, for which it is made
}

// paymentMail gives the bytes of an e-mail, and as they are stored.
func (d *DB) paymentMail(ctx context.Context, tx *sqlx.Tx, p *payment, m paymentMailRow, render RenderPaymentMail,
) (message, sealed []byte, err error) {
	snapshot, dk, err := d.snapshot(p)
	if err != nil {
		return nil, nil, err
	}
	if m.Message != nil {
		message, err = dk.Open(m.Message, "payment_mails/"+m.ID)
		return message, m.Message, err
	}
	f, err := d.paymentMailFacts(ctx, tx, p, snapshot)
	if err != nil {
		return nil, nil, err
	}
	f.ID, f.Ref, f.Kind, f.AskedAt = m.ID, d.MailRef(m.ID), m.Kind, m.CreatedAt.UTC()
	if m.Kind == keyturn.MailAddressChanged {
		f.NewAddress = f.To
		if f.To, err = d.addressBefore(ctx, tx, p, *m.ChangeID, snapshot.Customer.Email); err != nil {
			return nil, nil, err
		}
	}
	if message, err = render(f); err != nil {
		return nil, nil, err
	}
	sealed, err = dk.Seal(message, "payment_mails/"+m.ID)
	return message, sealed, err
}

// endMail ends the attempts to send an e-mail that nobody can be sent. Operations are told why, unless its customer was
// erased.
func (d *DB) endMail(ctx context.Context, tx *sqlx.Tx, p *payment, id string, mail keyturn.PaymentMailKind,
	kind keyturn.Kind,
) error {
	if _, err := tx.ExecContext(ctx, `
		UPDATE payment_mails SET status = 'READY', due_at = NULL, message = coalesce(message, ''), error = $2 WHERE id = $1`,
		id, kind); err != nil {
		return err
	}
	if kind != keyturn.KindErased {
		if err := p.alertUndelivered(ctx, tx, mail, kind); err != nil {
			return err
		}
	}
	if err := p.firstMailTried(ctx, tx, mail); err != nil {
		return err
	}
	return p.readMailDue(ctx, tx)
}

// FinishPaymentMail books what the mail server said. One that did not go out is tried again for three days, later each
// time, and operations are told. The failure of a process that has lost its lease is not booked.
func (d *DB) FinishPaymentMail(ctx context.Context, paymentID string, sent *PaymentMail, failed error) (
	keyturn.PaymentNext, error,
) {
	return d.paymentStep(ctx, paymentID, func(tx *sqlx.Tx, p *payment) error {
		if err := p.firstMailTried(ctx, tx, sent.kind); err != nil {
			return err
		}
		if failed == nil {
			if err := p.mailSent(ctx, tx, sent.ID); err != nil {
				return err
			}
			return p.readMailDue(ctx, tx)
		}
		kind := keyturn.KindOf(failed)
		again := min(mailAgain<<min(sent.try-1, 20), mailSlowly)
		var ours []string
		if err := tx.SelectContext(ctx, &ours, `
			UPDATE payment_mails SET status = 'READY', error = $3,
				due_at = CASE WHEN created_at > clock_timestamp() - make_interval(secs => $5)
					THEN clock_timestamp() + make_interval(secs => $4) END
			WHERE id = $1 AND status = 'SENDING' AND attempts = $2 RETURNING id`,
			sent.ID, sent.try, kind, again.Seconds(), mailFor.Seconds()); err != nil {
			return err
		}
		if len(ours) == 1 {
			if err := p.alertUndelivered(ctx, tx, sent.kind, kind); err != nil {
				return err
			}
		}
		return p.readMailDue(ctx, tx)
	})
}

// mailSent books that an e-mail went out, and ends the alert that it did not if it was the last of those.
func (p *payment) mailSent(ctx context.Context, tx *sqlx.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `
		UPDATE payment_mails SET status = 'SENT', sent_at = clock_timestamp(), due_at = NULL, error = NULL
		WHERE id = $1 AND status <> 'SENT'`, id); err != nil {
		return err
	}
	var others bool
	if err := tx.GetContext(ctx, &others, `
		SELECT EXISTS (SELECT FROM payment_mails WHERE payment_id = $1 AND error IS NOT NULL)`, p.ID); err != nil || others {
		return err
	}
	return closeAlertOf(ctx, tx, "payment/"+p.ID, keyturn.AlertUndelivered)
}

// firstMailTried lets the e-mails with keys go, once the confirmation was tried.
func (p *payment) firstMailTried(ctx context.Context, tx *sqlx.Tx, kind keyturn.PaymentMailKind) error {
	if kind != keyturn.MailConfirmation {
		return nil
	}
	_, err := tx.ExecContext(ctx,
		`UPDATE payments SET keys_wait_until = NULL WHERE id = $1 AND keys_wait_until IS NOT NULL`, p.ID)
	return err
}

func (p *payment) alertUndelivered(ctx context.Context, tx *sqlx.Tx, mail keyturn.PaymentMailKind,
	kind keyturn.Kind,
) error {
	return p.alert(ctx, tx, keyturn.AlertUndelivered,
		"an e-mail about a payment does not go out ("+string(mail)+": "+string(kind)+")")
}

// mailDueSQL is when the payment's next e-mail is due.
const mailDueSQL = `(SELECT min(m.due_at) FROM payment_mails m WHERE m.payment_id = p.id AND m.due_at IS NOT NULL)`

func (p *payment) readMailDue(ctx context.Context, tx *sqlx.Tx) error {
	return tx.GetContext(ctx, p, `
		SELECT `+mailDueSQL+` AS mail_due, clock_timestamp() AS now FROM payments p WHERE p.id = $1`, p.ID)
}
