package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// WorkflowPayment is the workflow of a payment; its subject in the outbox is the payment's ID.
const WorkflowPayment = "SettlePayment"

// payment is a payment's row, locked for one step.
type payment struct {
	ID               string                `db:"id"`
	LinkID           string                `db:"link_id"`
	LinkOrderID      string                `db:"link_order_id"` // of the order that the link makes
	Number           int                   `db:"number"`
	Status           keyturn.PaymentStatus `db:"status"`
	Version          int                   `db:"version"`
	Provider         string                `db:"provider"`
	Capture          keyturn.CaptureWhen   `db:"capture"`
	Mixed            keyturn.MixedCapture  `db:"mixed"`
	CustomerID       string                `db:"customer_id"`
	Snapshot         []byte                `db:"snapshot"`
	Currency         string                `db:"currency"`
	TotalMinor       int64                 `db:"total_minor"`
	PayUntil         time.Time             `db:"pay_until"`
	OpenNo           int                   `db:"open_no"`
	OpenFailedAt     *time.Time            `db:"open_failed_at"` // since when opening under OpenNo is answered so
	SessionReference *string               `db:"session_reference"`
	SessionURL       []byte                `db:"session_url"`
	PaymentReference *string               `db:"payment_reference"`
	OrderID          *string               `db:"order_id"`
	AuthorizedMinor  int64                 `db:"authorized_minor"`
	AuthorizedAt     *time.Time            `db:"authorized_at"`
	CaptureBy        *time.Time            `db:"capture_by"`
	ChargeableMinor  int64                 `db:"chargeable_minor"`
	FirstTries       int                   `db:"first_tries"`
	GiveUpFailed     bool                  `db:"give_up_failed"`
	CaptureMinor     *int64                `db:"capture_minor"`
	CaptureNo        int                   `db:"capture_no"`
	CaptureTries     int                   `db:"capture_tries"`
	CaptureUntil     *time.Time            `db:"capture_until"`
	CapturedMinor    int64                 `db:"captured_minor"`
	CapturedAt       *time.Time            `db:"captured_at"`
	Failure          *string               `db:"failure"`
	Looks            int                   `db:"looks"`
	LookAt           *time.Time            `db:"look_at"`
	CreatedAt        time.Time             `db:"created_at"`
	EndedAt          *time.Time            `db:"ended_at"`
	BlankedAt        *time.Time            `db:"blanked_at"` // nothing personal is left of it; only of a view
	ToldAt           *time.Time            `db:"told_at"`
	AskedAt          *time.Time            `db:"asked_at"`
	Troubled         bool                  `db:"troubled"` // the last call of its processor got no answer
	Owed             bool                  `db:"owed"`     // a refund of its own is owed
	MailDue          *time.Time            `db:"mail_due"` // when its next e-mail is to be sent
	DataKey          []byte                `db:"data_key"`
	Now              time.Time             `db:"now"`

	saved keyturn.PaymentStatus // what is in the database
}

const paymentColumns = `
	SELECT p.id, p.link_id, coalesce(p.link_order_id, '') AS link_order_id, p.number, p.status, p.version, p.provider,
		p.capture, p.mixed, p.customer_id, p.snapshot, p.currency, p.total_minor, p.pay_until, p.open_no, p.open_failed_at,
		p.session_reference, p.session_url, p.payment_reference,
		p.order_id, p.authorized_minor, p.authorized_at, p.capture_by, p.chargeable_minor, p.first_tries,
		p.give_up_failed, p.capture_minor, p.capture_no, p.capture_tries, p.capture_until, p.captured_minor,
		p.captured_at, p.failure, p.looks, p.look_at, p.created_at, p.ended_at, p.told_at, p.asked_at,
		EXISTS (SELECT FROM processor_troubles t WHERE t.provider = p.provider) AS troubled,
		EXISTS (SELECT FROM payment_refunds r WHERE r.payment_id = p.id AND r.status = 'PENDING') AS owed,
		` + mailDueSQL + ` AS mail_due,
		c.data_key, clock_timestamp() AS now
	FROM payments p JOIN customers c ON c.id = p.customer_id
	WHERE `

func scanPayment(ctx context.Context, q sqlx.QueryerContext, where string, args ...any) (*payment, error) {
	var p payment
	if err := sqlx.GetContext(ctx, q, &p, paymentColumns+where, args...); err != nil {
		return nil, pg.NotFound(err, "there is no such payment")
	}
	p.saved = p.Status
	return &p, nil
}

// lockPayment takes the row lock under which a payment is changed. Locks are taken in the order line, payment, link,
// order; a transaction that holds a payment's lock takes none of a line.
func lockPayment(ctx context.Context, tx *sqlx.Tx, id string) (*payment, error) {
	return scanPayment(ctx, tx, `p.id = $1 FOR UPDATE OF p`, id)
}

// PaymentSnapshot is what a payment is for. It never changes: what the customer edits later is another payment.
type PaymentSnapshot struct {
	Reference string           `json:"reference,omitempty"` // of the link
	Lines     []SnapshotLine   `json:"lines"`
	Customer  keyturn.Customer `json:"customer"`
	Consent   *keyturn.Consent `json:"consent,omitempty"`
	// Withdrawal is what became of the customer's right of withdrawal; empty of one who has none
	Withdrawal     keyturn.Withdrawal `json:"withdrawal,omitempty"`
	AdditionalData map[string]string  `json:"additionalData,omitempty"`
	Promise        keyturn.Duration   `json:"promise,omitzero"` // within which the customer has keys, or is not charged
}

// SnapshotLine is a line of a snapshot.
type SnapshotLine struct {
	keyturn.LineItem

	SoldAs *keyturn.SoldAs `json:"soldAs"`
}

// snapshot decrypts what the payment is for.
func (d *DB) snapshot(p *payment) (PaymentSnapshot, vault.DataKey, error) {
	var out PaymentSnapshot
	if len(p.DataKey) == 0 || len(p.Snapshot) == 0 {
		return out, vault.DataKey{}, keyturn.Errorf(keyturn.KindErased,
			"the payment's customer was erased, or it ended without an order long ago")
	}
	dk, err := d.keys.OpenDataKey(p.DataKey, "customer/"+p.CustomerID)
	if err != nil {
		return out, dk, err
	}
	plain, err := dk.Open(p.Snapshot, "payments/"+p.ID)
	if err != nil {
		return out, dk, err
	}
	return out, dk, json.Unmarshal(plain, &out)
}

// lookAfter is when a processor is asked where a payment stands that nothing was heard of: at the number of looks since
// its status changed. Events and the customer's return come first as a rule; without either, this is enough.
var lookAfter = []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, LooksWithin}

// LooksWithin is how long the workflow of a payment may wait for its next look: a payment that its line's capture has
// ended is not told to it, and it ends at that look.
const LooksWithin = time.Hour

// CaptureMargin is how long before its end an authorisation is captured or let go at the latest.
const CaptureMargin = 12 * time.Hour

// captureUnknown is until when a payment is captured whose processor does not say how long it can be.
const captureUnknown = 24 * time.Hour

// next says what the payment needs now.
func (p *payment) next() keyturn.PaymentNext {
	n := keyturn.PaymentNext{
		Do: keyturn.PaymentDoWait, Status: p.Status, Version: p.Version, Unusual: p.Owed || !p.Status.Usual(),
	}
	wait := func(t time.Time) keyturn.Duration { return keyturn.Duration(max(t.Sub(p.Now), 0)) }
	due := p.LookAt != nil && !p.LookAt.After(p.Now)
	if p.LookAt != nil {
		n.Wait = wait(*p.LookAt)
	}
	if p.MailDue != nil && !p.MailDue.After(p.Now) { // it takes half a minute at most: a processor may take hours
		n.Do, n.Wait = keyturn.PaymentDoMail, 0
		return n
	}
	switch p.Status {
	case keyturn.PaymentCreated:
		if due {
			n.Do = keyturn.PaymentDoOpen
		}
	case keyturn.PaymentOpen:
		switch {
		case !p.PayUntil.After(p.Now):
			n.Do, n.Wait = keyturn.PaymentDoExpire, 0
		case due:
			n.Do = keyturn.PaymentDoRetrieve
		default:
			n.Wait = min(n.Wait, wait(p.PayUntil))
		}
	case keyturn.PaymentProcessing, keyturn.PaymentAuthorized, keyturn.PaymentCapturing:
		if due {
			n.Do = keyturn.PaymentDoRetrieve
		}
	case keyturn.PaymentVoiding:
		n.Do = keyturn.PaymentDoVoid
	case keyturn.PaymentMismatch: // a person decides
		if n.Wait = keyturn.Duration(24 * time.Hour); due {
			n.Do, n.Wait = keyturn.PaymentDoRetrieve, 0
		}
	case keyturn.PaymentCaptured, keyturn.PaymentFailed, keyturn.PaymentExpired, keyturn.PaymentVoided,
		keyturn.PaymentLost:
		switch {
		case p.Owed:
			n.Do = keyturn.PaymentDoRefund
		case due: // an event came after the end
			n.Do = keyturn.PaymentDoRetrieve
		default:
			n.Do, n.Wait = keyturn.PaymentDoNothing, 0
		}
	}
	if p.MailDue != nil && (n.Do == keyturn.PaymentDoWait || n.Do == keyturn.PaymentDoNothing) {
		if due := wait(*p.MailDue); n.Do == keyturn.PaymentDoNothing || due < n.Wait {
			n.Do, n.Wait = keyturn.PaymentDoWait, due
		}
	}
	return n
}

// lookNext sets when the processor is asked next, after it was asked: at once if somebody has told of the payment since
// it was asked.
func (p *payment) lookNext() {
	p.LookAt = nil
	switch {
	case p.toldSinceAsked():
		p.LookAt = &p.Now
		return
	case p.final() || p.Status == keyturn.PaymentMismatch:
		return
	}
	p.LookAt = ptr(p.Now.Add(lookAfter[min(p.Looks, len(lookAfter)-1)]))
	p.Looks++
}

func (p *payment) final() bool {
	switch p.Status { //nolint:exhaustive // the others go on
	case keyturn.PaymentCaptured, keyturn.PaymentVoided, keyturn.PaymentLost, keyturn.PaymentExpired,
		keyturn.PaymentFailed:
		return true
	}
	return false
}

// move takes the payment to another status. It is not saved yet.
func (p *payment) move(to keyturn.PaymentStatus) {
	p.Status, p.Looks = to, 0
	p.EndedAt = nil
	if p.final() {
		p.EndedAt, p.CaptureUntil = &p.Now, nil
	}
	p.lookNext()
	if to == keyturn.PaymentVoiding {
		p.LookAt = &p.Now
	}
}

// save writes the payment and its step in the log. One that cannot be paid any more, or is paid, has nothing reserved.
func (p *payment) save(ctx context.Context, tx *sqlx.Tx, by, reason string) error {
	if p.saved != p.Status && !p.saved.CanBecome(p.Status) {
		return keyturn.Errorf(keyturn.KindConflict, "a payment that is %s cannot become %s", p.saved, p.Status)
	}
	err := pg.ExpectOne(tx.ExecContext(ctx, `
		WITH logged AS (
			INSERT INTO payment_log (payment_id, version, from_status, to_status, by, reason)
			SELECT CAST($1 AS uuid), CAST($2 AS int) + 1, CAST($27 AS text), CAST($3 AS text), CAST($28 AS text),
				CAST($29 AS text)
			WHERE $27 <> $3
		), released AS (
			DELETE FROM reservations WHERE payment_id = $1 AND $27 <> $3 AND $3 NOT IN ('CREATED', 'OPEN')
		)
		UPDATE payments SET status = $3, version = version + 1, open_no = $4, session_reference = $5, session_url = $6,
			payment_reference = $7, order_id = $8, authorized_minor = $9, authorized_at = $10, capture_by = $11,
			chargeable_minor = $12, first_tries = $13, give_up_failed = $14, capture_minor = $15, capture_no = $16,
			capture_tries = $17, capture_until = $18, captured_minor = $19, captured_at = $20, failure = $21, looks = $22,
			look_at = $23, ended_at = $24, told_at = $25, asked_at = $26
		WHERE id = $1 AND version = $2`,
		p.ID, p.Version, p.Status, p.OpenNo, p.SessionReference, p.SessionURL, p.PaymentReference, p.OrderID,
		p.AuthorizedMinor, p.AuthorizedAt, p.CaptureBy, p.ChargeableMinor, p.FirstTries, p.GiveUpFailed, p.CaptureMinor,
		p.CaptureNo, p.CaptureTries, p.CaptureUntil, p.CapturedMinor, p.CapturedAt, p.Failure, p.Looks, p.LookAt, p.EndedAt,
		p.ToldAt, p.AskedAt, p.saved, by, reason))
	if err == nil {
		p.Version++
		p.saved = p.Status
	}
	return err
}

// wake has the relay start the payment's workflow, or tell it to look.
func (p *payment) wake(ctx context.Context, tx *sqlx.Tx) error {
	return enqueue(ctx, tx, WorkflowPayment, p.ID)
}

// paymentStep runs fn on a locked payment and says what it needs afterwards.
func (d *DB) paymentStep(ctx context.Context, id string, fn func(*sqlx.Tx, *payment) error) (keyturn.PaymentNext,
	error,
) {
	var next keyturn.PaymentNext
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		p, err := lockPayment(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := fn(tx, p); err != nil {
			return err
		}
		next = p.next()
		return nil
	})
	return next, err
}

// ReviewPayment says what the payment needs now. KindNotFound.
func (d *DB) ReviewPayment(ctx context.Context, id string) (keyturn.PaymentNext, error) {
	p, err := scanPayment(ctx, d.pg, `p.id = $1`, id)
	if err != nil {
		return keyturn.PaymentNext{}, err
	}
	return p.next(), nil
}

// LookAtPayment has the payment's workflow ask the processor now: an event came, or the customer, or a person asks. A
// payment that ended is looked at, too, because what comes after its end may be a payment all the same. KindNotFound.
func (d *DB) LookAtPayment(ctx context.Context, id string) error {
	_, err := d.paymentStep(ctx, id, func(tx *sqlx.Tx, p *payment) error { return p.lookNow(ctx, tx) })
	return err
}

// PressEvery is how often a processor is asked for one payment because a visitor of its page presses something.
const PressEvery = 5 * time.Second

// MayAsk says whether a visitor may have the payment's processor asked now, and counts that as having done so.
func (d *DB) MayAsk(ctx context.Context, id string) (ok bool, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var asked []string
		err := tx.SelectContext(ctx, &asked, `
			UPDATE payments SET pressed_at = clock_timestamp()
			WHERE id = $1 AND coalesce(pressed_at < clock_timestamp() - make_interval(secs => $2), true) RETURNING id`,
			id, PressEvery.Seconds())
		ok = len(asked) > 0
		return err
	})
	return ok, err
}

func (p *payment) lookNow(ctx context.Context, tx *sqlx.Tx) error {
	p.ToldAt, p.LookAt = &p.Now, &p.Now // of one whose session is not known, the workflow opens it
	if err := p.save(ctx, tx, byWorkflow, ""); err != nil {
		return err
	}
	return p.wake(ctx, tx)
}
