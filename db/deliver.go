package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// MailFacts is everything an e-mail about a line is made of. It holds personal data and keys.
type MailFacts struct {
	Kind         string // keys or canceled
	DeliveryID   string
	Order        keyturn.Order // without lines
	AcceptedAt   time.Time
	Line         keyturn.LineItem
	Price        keyturn.Money
	Product      keyturn.Product
	Deliverables Deliverables
	PageToken    string
	Now          time.Time
	To           string       // the order's address, or the one that a resend names
	FailureKind  keyturn.Kind // of a cancelled line that failed; empty when somebody decided to cancel
}

// Delivery is one e-mail that is about to be sent.
type Delivery struct {
	ID      string
	Message []byte

	try int // whose lease it is: the number of this try
}

// sendLease is how long one process may be busy sending an e-mail: nobody else sends or cancels meanwhile. It is longer
// than the sender's own deadline, so that a frozen process wakes up to a dead connection.
const sendLease = 45 * time.Second

// BeginDelivery takes the lease on sending the line's keys. The first time it lets render make the e-mail and stores the
// bytes; every later time gives the same bytes. A nil Delivery with a Next means that there is nothing to send. While
// another process sends, the error is KindConflict and wait says until when.
func (d *DB) BeginDelivery(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (out *Delivery, next keyturn.Next, wait time.Duration, err error) {
	err = d.tx(ctx, func(tx *sqlx.Tx) error {
		out, wait = nil, 0
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		next = l.next()
		stopped, err := d.stop(ctx, tx, l, keyturn.DoDeliver)
		if stopped || err != nil {
			next = l.next()
			return err
		}
		var last []deliveryRow
		err = tx.SelectContext(ctx, &last, deliveryColumns+`WHERE line_id = $1 AND kind = 'keys' ORDER BY number DESC LIMIT 1`, l.ID)
		if err != nil {
			return err
		}
		if len(last) == 1 && last[0].Status == "SENDING" && last[0].LeaseUntil.After(l.Now) {
			wait = last[0].LeaseUntil.Sub(l.Now)
			return keyturn.Errorf(keyturn.KindConflict, "another process is sending this e-mail")
		}
		if len(last) == 1 {
			out, err = d.lease(ctx, tx, l, last[0])
			return err
		}
		out, err = d.newDelivery(ctx, tx, l, newMail{kind: "keys", status: "SENDING", render: render})
		if kind := keyturn.KindOf(err); kind == keyturn.KindInvalid || kind == keyturn.KindConfiguration { // a key that no e-mail can carry
			l.Attempts++
			err = d.fail(ctx, tx, l, Setback{Failure: keyturn.Failure{Kind: keyturn.KindConfiguration, Message: "the e-mail cannot be made: " + err.Error()}})
			next = l.next()
		}
		return err
	})
	return out, next, wait, err
}

type deliveryRow struct {
	ID         string     `db:"id"`
	LineID     string     `db:"line_id"`
	Kind       string     `db:"kind"`
	Message    []byte     `db:"message"`
	Status     string     `db:"status"`
	LeaseUntil *time.Time `db:"lease_until"`
	Attempts   int        `db:"attempts"`
}

const deliveryColumns = `SELECT id, line_id, kind, message, status, lease_until, attempts FROM deliveries `

// lease gives the stored e-mail to this process. One that still says SENDING belonged to a process that died, perhaps
// after the mail server had taken it: its keys count as seen.
func (d *DB) lease(ctx context.Context, tx *sqlx.Tx, l *line, row deliveryRow) (*Delivery, error) {
	dk, err := d.keyOfCustomer(ctx, tx, l.CustomerID)
	if err != nil {
		return nil, err
	}
	message, err := dk.unseal(row.Message, "deliveries/"+row.ID)
	if err != nil {
		return nil, err
	}
	return &Delivery{ID: row.ID, Message: message, try: row.Attempts + 1}, mustAffect(tx.ExecContext(ctx, `
		UPDATE deliveries SET status = 'SENDING', lease_until = $2, attempts = attempts + 1, exposed = exposed OR status = 'SENDING'
		WHERE id = $1`, row.ID, l.Now.Add(sendLease)))
}

// obtainedToSend saves a line that just got its keys and makes its e-mail in the same transaction. have is what it got,
// nil if it is to be read. Without render, or with an e-mail that cannot be made, only the line is saved: BeginDelivery
// finds out why.
func (d *DB) obtainedToSend(ctx context.Context, tx *sqlx.Tx, l *line, have *Deliverables, render func(MailFacts) ([]byte, error)) (out *Delivery, err error) {
	if render != nil {
		out, err = d.newDelivery(ctx, tx, l, newMail{kind: "keys", status: "SENDING", have: have, render: render})
		if kind := keyturn.KindOf(err); kind == keyturn.KindInvalid || kind == keyturn.KindConfiguration {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	return out, l.save(ctx, tx, byWorkflow, "")
}

// newMail says what e-mail is to be made.
type newMail struct {
	kind, to, status string        // an empty to is the order's address
	have             *Deliverables // nil: read them
	why              keyturn.Kind  // of a cancelled line
	render           func(MailFacts) ([]byte, error)
}

// newDelivery renders an e-mail and stores its bytes.
func (d *DB) newDelivery(ctx context.Context, tx *sqlx.Tx, l *line, m newMail) (*Delivery, error) {
	c, dk, err := d.customerOf(ctx, tx, l)
	if err != nil {
		return nil, err
	}
	f := d.mailFacts(l, c, m.kind)
	f.FailureKind = m.why
	if m.to != "" {
		f.To = m.to
	}
	switch {
	case m.have != nil:
		f.Deliverables = *m.have
	case m.kind == "keys":
		if f.Deliverables, err = d.deliverables(ctx, tx, l.ID, l.CustomerID); err != nil {
			return nil, err
		}
	}
	message, err := m.render(f)
	if err != nil {
		return nil, err
	}
	sealed, err := dk.seal(message, "deliveries/"+f.DeliveryID)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO deliveries (id, line_id, number, kind, message, status, lease_until, attempts)
		SELECT $1, $2, 1 + coalesce((SELECT max(number) FROM deliveries WHERE line_id = $2), 0), $3, $4, CAST($5 AS text),
			CASE WHEN $5 = 'SENDING' THEN CAST($6 AS timestamptz) END, CASE WHEN $5 = 'SENDING' THEN 1 ELSE 0 END`,
		f.DeliveryID, l.ID, m.kind, sealed, m.status, l.Now.Add(sendLease))
	return &Delivery{ID: f.DeliveryID, Message: message, try: 1}, err
}

func (d *DB) mailFacts(l *line, c storedCustomer, kind string) MailFacts {
	return MailFacts{
		Kind: kind, DeliveryID: newID(), AcceptedAt: l.CreatedAt, Product: l.product, Now: l.Now, To: c.Email,
		Order: keyturn.Order{ID: l.OrderID, Currency: l.Currency, Customer: c.Customer},
		Line:  keyturn.LineItem{ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity},
		Price: keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency}, PageToken: d.keys.pageToken(l.OrderID),
	}
}

// finishSQL books an accepted e-mail, the keys it showed, and the licence it gave, in one statement.
const finishSQL = `
	WITH sent AS (
		UPDATE deliveries SET status = 'SENT', exposed = true, sent_at = now(), lease_until = NULL, error = NULL WHERE id = $1
	), shown AS (
		UPDATE pool_keys SET state = 'delivered', changed_at = now() WHERE line_id = $2 AND state = 'claimed'
		RETURNING pool_id
	), stock AS (
		UPDATE pool_stock s SET claimed = claimed - n, delivered = delivered + n
		FROM (SELECT pool_id, count(*) AS n FROM shown GROUP BY pool_id) t
		WHERE s.pool_id = t.pool_id AND s.slot = $3
	)
	INSERT INTO licenses (id, line_id, customer_id, product_id, status) VALUES ($4, $2, $5, $6, 'Running')
	ON CONFLICT (id) DO NOTHING`

// FinishDelivery books what the mail server said. A nil setback: it accepted the e-mail, the line is delivered. exposed:
// it may have accepted it, so nobody else may ever get these keys. The setback of a process that lost its lease in the
// meantime is not the line's: another one sends now.
func (d *DB) FinishDelivery(ctx context.Context, fulfillmentID string, sent *Delivery, setback *Setback, exposed bool) (keyturn.Next, error) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		if l.Status == keyturn.LineDelivered { // by this e-mail, or by another one of a resend
			_, err := tx.ExecContext(ctx, `UPDATE deliveries SET status = CASE WHEN $2 THEN 'SENT' ELSE 'READY' END, exposed = exposed OR $3,
				sent_at = CASE WHEN $2 THEN now() END, lease_until = NULL WHERE id = $1 AND status = 'SENDING'`, sent.ID, setback == nil, exposed || setback == nil)
			return err
		}
		if setback != nil {
			var ours bool
			if err := tx.GetContext(ctx, &ours, `
				UPDATE deliveries SET exposed = exposed OR $2, error = $3, status = CASE WHEN attempts = $4 THEN 'READY' ELSE status END,
					lease_until = CASE WHEN attempts <> $4 THEN lease_until END
				WHERE id = $1 RETURNING attempts = $4`, sent.ID, exposed, setback.Failure.Message, sent.try); err != nil {
				return err
			}
			if !ours || l.next().Do != keyturn.DoDeliver {
				return nil
			}
			l.Attempts++
			return d.fail(ctx, tx, l, *setback)
		}
		if _, err := tx.ExecContext(ctx, finishSQL, sent.ID, l.ID, slotOf(l), l.FulfillmentID, l.CustomerID, l.ProductID); err != nil {
			return err
		}
		if l.Status != keyturn.LineObtained && l.Status != keyturn.LineRetrying {
			// The lease keeps a cancel away from an e-mail under way; a hold may have come meanwhile, and the e-mail is out.
			if l.Status != keyturn.LineHeld {
				return keyturn.Errorf(keyturn.KindConflict, "an e-mail went out for a line that is %s", l.Status)
			}
			l.Status = keyturn.LineRetrying
			if err := l.save(ctx, tx, byWorkflow, "the e-mail was already on its way"); err != nil {
				return err
			}
		}
		if l.Failures > 0 || l.Status != keyturn.LineObtained {
			if err := closeLineAlerts(ctx, tx, l, ""); err != nil {
				return err
			}
		}
		l.Status, l.DeliveredAt = keyturn.LineDelivered, &l.Now
		l.FailureJSON, l.NextAttemptAt, l.WakeAt, l.HeldUntil, l.Failures = nil, nil, nil, nil, 0
		if l.CancelReason != nil { // the order was cancelled while the e-mail was under way: the relay takes the line back
			l.WakeAt = &l.Now
		}
		return l.save(ctx, tx, byWorkflow, "")
	})
}

// WorkflowSend is the workflow that the outbox starts for an e-mail that is not a line's first: a resend or the news of
// a refund. Its subject is the delivery's ID.
const WorkflowSend = "SendDelivery"

// Resend stores a new e-mail with the same keys, to another address if one is given, and has it sent. For a line whose
// keys are ours but whose e-mail does not go out, the new e-mail takes the place of the old one. KindConflict when the
// line has no keys to send.
func (d *DB) Resend(ctx context.Context, fulfillmentID, to, by string, render func(MailFacts) ([]byte, error)) (deliveryID string, err error) {
	err = d.tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		undelivered := l.ObtainedAt != nil && l.Status.Open() && l.Status != keyturn.LineCanceling
		if l.Status != keyturn.LineDelivered && !undelivered {
			return keyturn.Errorf(keyturn.KindConflict, "the line is %s: there are no keys to send again", l.Status)
		}
		out, err := d.newDelivery(ctx, tx, l, newMail{kind: "keys", to: to, status: "READY", render: render})
		if err != nil {
			return err
		}
		deliveryID = out.ID
		if err := logAccess(ctx, tx, l.ID, by, "resend"); err != nil {
			return err
		}
		if undelivered {
			l.NextAttemptAt, l.WakeAt = nil, &l.Now
			return l.save(ctx, tx, by, "resend")
		}
		return enqueue(ctx, tx, WorkflowSend, deliveryID)
	})
	return deliveryID, err
}

// BeginSend takes the lease on a stored e-mail. A nil Delivery: it was sent already, or it holds keys of a line that was
// refunded meanwhile.
func (d *DB) BeginSend(ctx context.Context, deliveryID string) (*Delivery, error) {
	var out *Delivery
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		out = nil
		var row struct {
			deliveryRow
			CustomerID string             `db:"customer_id"`
			LineStatus keyturn.LineStatus `db:"line_status"`
			Now        time.Time          `db:"now"`
		}
		err := tx.GetContext(ctx, &row, `
			SELECT y.id, y.line_id, y.kind, y.message, y.status, y.lease_until, y.attempts, o.customer_id, l.status AS line_status, clock_timestamp() AS now
			FROM deliveries y JOIN line_items l ON l.id = y.line_id JOIN orders o ON o.id = l.order_id
			WHERE y.id = $1 FOR UPDATE OF y, l`, deliveryID)
		if err != nil {
			return notFound(err, "there is no delivery %s", deliveryID)
		}
		refunded := row.LineStatus == keyturn.LineCanceling || row.LineStatus == keyturn.LineCanceled
		if row.Status == "SENT" || row.Kind == "keys" && refunded { // keys do not follow their refund
			return nil
		}
		if row.Status == "SENDING" && row.LeaseUntil.After(row.Now) {
			return keyturn.Errorf(keyturn.KindConflict, "another process is sending this e-mail")
		}
		out, err = d.lease(ctx, tx, &line{CustomerID: row.CustomerID, Now: row.Now}, row.deliveryRow)
		return err
	})
	return out, err
}

// FinishSend books what the mail server said about a stored e-mail.
func (d *DB) FinishSend(ctx context.Context, deliveryID string, failed error) error {
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		if failed != nil {
			return mustAffect(tx.ExecContext(ctx, `UPDATE deliveries SET status = 'READY', lease_until = NULL, error = $2 WHERE id = $1`, deliveryID, fmt.Sprint(keyturn.KindOf(failed))))
		}
		return mustAffect(tx.ExecContext(ctx, `UPDATE deliveries SET status = 'SENT', exposed = true, sent_at = now(), lease_until = NULL, error = NULL WHERE id = $1`, deliveryID))
	})
}
