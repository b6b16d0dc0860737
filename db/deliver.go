package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// MailFacts is everything an e-mail about a line is made of. It holds personal data and keys.
type MailFacts struct {
	Kind         keyturn.DeliveryKind
	DeliveryID   string
	Order        keyturn.Order // without lines
	AcceptedAt   time.Time
	Line         keyturn.LineItem
	Price        keyturn.Money
	Product      keyturn.Product
	Deliverables Deliverables
	ParentKeys   []keyturn.Secret // of an operation on a licence: the keys that it had before, if the product's e-mail prints them
	PageToken    string
	Now          time.Time
	To           string       // the order's address, or the one that a resend names
	FailureKind  keyturn.Kind // of a cancelled line that failed; empty when somebody decided to cancel
}

// Delivery is one e-mail that is about to be sent.
type Delivery struct {
	ID      string
	Message []byte

	try  int   // whose lease it is: the number of this try
	line *line // as it was when the lease was taken; nil if this is not its first try
}

// sendLease is how long one process may be busy sending an e-mail: nobody else sends or cancels meanwhile. It is longer
// than the sender's own deadline, so that a frozen process wakes up to a dead connection.
const sendLease = 45 * time.Second

// BeginDelivery takes the lease on sending the line's keys and gives the e-mail that is stored with them, or that render
// makes if none is. Every later try gives the same bytes. A nil Delivery with a Next means that there is nothing to send.
// While another process sends, the error is KindConflict and wait says for how long at most.
func (d *DB) BeginDelivery(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (out *Delivery, next keyturn.Next, wait time.Duration, err error) {
	if out, next, ok := d.leaseFast(ctx, fulfillmentID); ok {
		return out, next, 0, nil
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
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
		if len(last) == 1 && last[0].Status == keyturn.DeliverySending && last[0].LeaseUntil.After(l.Now) {
			wait = last[0].LeaseUntil.Sub(l.Now)
			return keyturn.Errorf(keyturn.KindConflict, "another process is sending this e-mail")
		}
		if len(last) == 1 {
			out, err = d.lease(ctx, tx, l, last[0])
			return err
		}
		out, err = d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, render: render})
		if err == nil {
			return takeLease(ctx, tx, out.ID, l.Now)
		}
		if cannotBeMade(err) {
			out = nil
			l.Attempts++
			err = d.fail(ctx, tx, l, StepFailure{Failure: keyturn.Failure{Kind: keyturn.KindConfiguration, Message: "the e-mail cannot be made: " + err.Error()}})
			next = l.next()
		}
		return err
	})
	return out, next, wait, err
}

type deliveryRow struct {
	ID         string                 `db:"id"`
	LineID     string                 `db:"line_id"`
	Kind       keyturn.DeliveryKind   `db:"kind"`
	Message    []byte                 `db:"message"`
	Status     keyturn.DeliveryStatus `db:"status"`
	LeaseUntil *time.Time             `db:"lease_until"`
	Attempts   int                    `db:"attempts"`
}

const deliveryColumns = `SELECT id, line_id, kind, message, status, lease_until, attempts FROM deliveries `

// lease gives the stored e-mail to this process. One that still says SENDING belonged to a process that died, perhaps
// after the mail server had taken it: its keys count as seen.
func (d *DB) lease(ctx context.Context, tx *sqlx.Tx, l *line, row deliveryRow) (*Delivery, error) {
	dk, err := d.keyOfCustomer(ctx, tx, l.CustomerID)
	if err != nil {
		return nil, err
	}
	message, err := dk.Open(row.Message, "deliveries/"+row.ID)
	if err != nil {
		return nil, err
	}
	return &Delivery{ID: row.ID, Message: message, try: row.Attempts + 1}, takeLease(ctx, tx, row.ID, l.Now)
}

func takeLease(ctx context.Context, tx *sqlx.Tx, deliveryID string, now time.Time) error {
	return pg.ExpectOne(tx.ExecContext(ctx, `
		UPDATE deliveries SET status = 'SENDING', lease_until = $2, attempts = attempts + 1, exposed = exposed OR status = 'SENDING'
		WHERE id = $1`, deliveryID, now.Add(sendLease)))
}

// leaseFast is BeginDelivery of the first try of a stored e-mail whose line is undisturbed: one statement under the
// line's lock, so that nobody gives the line up meanwhile. ok is false when a precondition failed or the outcome is
// unknown; the caller falls back to the general step.
func (d *DB) leaseFast(ctx context.Context, fulfillmentID string) (*Delivery, keyturn.Next, bool) {
	var rows []struct {
		line
		DeliveryID string `db:"delivery_id"`
		Message    []byte `db:"message"`
	}
	readAt := time.Now()
	err := d.pg.Implicit().SelectContext(ctx, &rows, leaseFastSQL, fulfillmentID, sendLease.Seconds())
	if err != nil || len(rows) != 1 {
		return nil, keyturn.Next{}, false
	}
	row := &rows[0]
	l := &row.line
	l.readAt = readAt
	if l.init() != nil {
		return nil, keyturn.Next{}, false
	}
	dk, err := d.keys.OpenDataKey(l.CustomerKey, "customer/"+l.CustomerID)
	if err != nil {
		return nil, keyturn.Next{}, false
	}
	message, err := dk.Open(row.Message, "deliveries/"+row.DeliveryID)
	if err != nil {
		return nil, keyturn.Next{}, false
	}
	return &Delivery{ID: row.DeliveryID, Message: message, try: 1, line: l}, l.next(), true
}

const leaseFastSQL = `
	WITH l AS MATERIALIZED (` + lookSQL + `
			AND l.status = 'OBTAINED' AND l.next_attempt_at IS NULL AND l.license_id IS NULL AND NOT l.blocked AND NOT l.awaited
			AND l.cancel_reason IS NULL AND o.cancel_reason IS NULL
		FOR UPDATE OF l
	), leased AS (
		UPDATE deliveries y SET status = 'SENDING', lease_until = l.now + make_interval(secs => $2), attempts = 1
		FROM l
		WHERE y.line_id = l.id AND y.number = 1 AND y.kind = 'keys' AND y.status = 'READY' AND y.attempts = 0
			AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = l.id AND n.number > 1)
		RETURNING y.id, y.message
	)
	SELECT l.*, leased.id AS delivery_id, leased.message FROM l, leased`

// saveObtained saves a line that just got its keys and stores its e-mail in the same transaction. have is what it got,
// nil if it is to be read. Without render, or with an e-mail that cannot be made, only the line is saved: BeginDelivery
// makes the e-mail then, or finds out why not.
func (d *DB) saveObtained(ctx context.Context, tx *sqlx.Tx, l *line, have *Deliverables, render func(MailFacts) ([]byte, error)) error {
	if l.isNotice() && render != nil && l.Status != keyturn.LineHeld {
		return d.finishNotice(ctx, tx, l, have, render)
	}
	if render != nil {
		if _, err := d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, have: have, render: render}); err != nil && !cannotBeMade(err) {
			return err
		}
	}
	return l.save(ctx, tx, byWorkflow, "")
}

// cannotBeMade is the error of a key that no e-mail can carry.
func cannotBeMade(err error) bool {
	kind := keyturn.KindOf(err)
	return kind == keyturn.KindInvalid || kind == keyturn.KindConfiguration
}

// newMail says what e-mail is to be made.
type newMail struct {
	kind   keyturn.DeliveryKind
	to     string        // empty: the order's address
	have   *Deliverables // nil: read them
	parent []keyturn.Secret
	why    keyturn.Kind // of a cancelled line
	render func(MailFacts) ([]byte, error)
}

// newDelivery renders an e-mail about a locked line and stores its bytes, ready to be sent. Nobody can have seen the keys
// of an e-mail before a process has taken the lease on sending it.
func (d *DB) newDelivery(ctx context.Context, tx *sqlx.Tx, l *line, m newMail) (*Delivery, error) {
	if m.have == nil && m.kind == keyturn.DeliveryKeys {
		have, err := d.deliverables(ctx, tx, l.ID, l.CustomerID)
		if err != nil {
			return nil, err
		}
		m.have = &have
	}
	if l.LicenseID != nil && m.kind == keyturn.DeliveryKeys && l.product.Email.PrintsParentKey() {
		before, err := d.licenseParts(ctx, tx, *l.LicenseID, l.CustomerID, l.ID)
		if err != nil {
			return nil, err
		}
		parent, err := assemble(before)
		if err != nil {
			return nil, err
		}
		m.parent = parent.Codes
	}
	var w pg.StmtBuilder
	w.With("moved", `SELECT id FROM line_items WHERE id = ?`, l.ID)
	out, err := d.delivers(&w, l, m)
	if err != nil {
		return nil, err
	}
	return out, w.Select(ctx, tx, &[]int{}, `SELECT 1`)
}

// delivers renders an e-mail and adds to a statement that it is stored.
func (d *DB) delivers(w *pg.StmtBuilder, l *line, m newMail) (*Delivery, error) {
	c, dk, err := d.customer(l)
	if err != nil {
		return nil, err
	}
	f := d.mailFacts(l, c, m.kind)
	f.FailureKind, f.ParentKeys = m.why, m.parent
	if m.to != "" {
		f.To = m.to
	}
	if m.have != nil {
		f.Deliverables = *m.have
	}
	message, err := m.render(f)
	if err != nil {
		return nil, err
	}
	sealed, err := dk.Seal(message, "deliveries/"+f.DeliveryID)
	if err != nil {
		return nil, err
	}
	w.With("mailed", `
		INSERT INTO deliveries (id, line_id, number, kind, message, status)
		SELECT ?, id, 1 + coalesce((SELECT max(number) FROM deliveries d WHERE d.line_id = moved.id), 0), ?, ?, 'READY' FROM moved`,
		f.DeliveryID, m.kind, sealed)
	return &Delivery{ID: f.DeliveryID, Message: message, try: 1}, nil
}

func (d *DB) mailFacts(l *line, c storedCustomer, kind keyturn.DeliveryKind) MailFacts {
	return MailFacts{
		Kind: kind, DeliveryID: newID(), AcceptedAt: l.CreatedAt, Product: l.product, Now: l.Now, To: c.Email,
		Order: keyturn.Order{ID: l.OrderID, Currency: l.Currency, Customer: c.Customer},
		Line: keyturn.LineItem{
			ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity, Operation: keyturn.OperationName(l.Operation),
			LicenseID: value(l.LicenseID), ExpiresAt: l.ExpiresAt,
		},
		Price: keyturn.Money{Minor: l.GrossMinor, Currency: l.Currency}, PageToken: d.PageToken(l.OrderID),
	}
}

// finishes adds to a statement what goes along with a line's becoming DELIVERED: its e-mail is sent, the keys in it were
// shown, and the customer has a licence.
func (l *line) finishes(w *pg.StmtBuilder, deliveryID string) {
	w.With("sent", `
		UPDATE deliveries SET status = 'SENT', exposed = true, sent_at = now(), lease_until = NULL, error = NULL
		FROM moved WHERE deliveries.id = ?`, deliveryID)
	w.With("shown", `
		UPDATE pool_keys SET state = 'delivered', changed_at = now() FROM moved WHERE line_id = moved.id AND state = 'claimed'
		RETURNING pool_id`)
	w.With("stock", `
		INSERT INTO pool_stock AS s (pool_id, slot, claimed, delivered)
		SELECT pool_id, `+stockSlot+`, 0 - count(*), count(*) FROM shown GROUP BY pool_id
		ON CONFLICT (pool_id, slot) DO UPDATE SET claimed = s.claimed + excluded.claimed, delivered = s.delivered + excluded.delivered
		RETURNING s.slot`)
	if l.LicenseID == nil {
		w.With("licensed", `
			INSERT INTO licenses (id, line_id, customer_id, product_id, status, source, expires_at)
			SELECT ?, id, ?, ?, 'Running', ?, CAST(? AS timestamptz) FROM moved
			ON CONFLICT (id) DO NOTHING`, l.FulfillmentID, l.CustomerID, l.ProductID, l.issuer(), l.ExpiresAt)
	}
	l.counts(w, "stock")
}

// FinishDelivery books what the mail server said. With failed nil it accepted the e-mail, and the line is delivered.
// exposed: it may have accepted it, so nobody else may ever get these keys. The failure of a process that lost its lease
// in the meantime is not the line's: another one sends now.
func (d *DB) FinishDelivery(ctx context.Context, fulfillmentID string, sent *Delivery, failed *StepFailure, exposed bool) (keyturn.Next, error) {
	if sent.line != nil && sent.line.LicenseID == nil && !sent.line.Awaited && failed == nil {
		if next, ok := d.finishFast(ctx, *sent.line, sent.ID); ok {
			return next, nil
		}
	}
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		if l.Status == keyturn.LineDelivered { // by this e-mail, or by another one of a resend
			_, err := tx.ExecContext(ctx, `UPDATE deliveries SET status = CASE WHEN $2 THEN 'SENT' ELSE 'READY' END, exposed = exposed OR $3,
				sent_at = CASE WHEN $2 THEN now() END, lease_until = NULL WHERE id = $1 AND status = 'SENDING'`, sent.ID, failed == nil, exposed || failed == nil)
			return err
		}
		if failed != nil {
			var ours bool
			if err := tx.GetContext(ctx, &ours, `
				UPDATE deliveries SET exposed = exposed OR $2, error = $3, status = CASE WHEN attempts = $4 THEN 'READY' ELSE status END,
					lease_until = CASE WHEN attempts <> $4 THEN lease_until END
				WHERE id = $1 RETURNING attempts = $4`, sent.ID, exposed, failed.Failure.Message, sent.try); err != nil {
				return err
			}
			if !ours || l.next().Do != keyturn.DoDeliver {
				return nil
			}
			l.Attempts++
			return d.fail(ctx, tx, l, *failed)
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
			if err := closeLineAlerts(ctx, tx, l); err != nil {
				return err
			}
		}
		if l.LicenseID != nil {
			if err := d.applyOperation(ctx, tx, l); err != nil {
				return err
			}
		}
		l.markDelivered()
		if err := l.wakeNext(ctx, tx); err != nil {
			return err
		}
		if l.CancelReason != nil { // the order was cancelled while the e-mail was under way: the relay takes the line back
			l.WakeAt = &l.Now
		}
		var w pg.StmtBuilder
		if err := l.moves(&w, byWorkflow, "", ""); err != nil {
			return err
		}
		l.finishes(&w, sent.ID)
		return l.savedBy(ctx, tx, &w)
	})
}

// finishFast is FinishDelivery of an accepted e-mail whose line is as it was when the lease was taken, which one statement
// checks and books. ok is false when a precondition failed or the outcome is unknown; the caller falls back to the general
// step.
func (d *DB) finishFast(ctx context.Context, l line, deliveryID string) (keyturn.Next, bool) {
	l.Now = l.now()
	l.markDelivered()
	var w pg.StmtBuilder
	if l.moves(&w, byWorkflow, "", ` AND NOT awaited`+undisturbed) != nil {
		return keyturn.Next{}, false
	}
	l.finishes(&w, deliveryID)
	if l.savedBy(ctx, d.pg.Implicit(), &w) != nil {
		return keyturn.Next{}, false
	}
	return l.next(), true
}

// markDelivered notes that the line's e-mail is out.
func (l *line) markDelivered() {
	l.Status, l.DeliveredAt = keyturn.LineDelivered, &l.Now
	l.FailureJSON, l.NextAttemptAt, l.WakeAt, l.HeldUntil, l.Failures = nil, nil, nil, nil, 0
}
