package db

import (
	"context"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// WorkflowOutcome is what a line's workflow says of the time after the backup.
type WorkflowOutcome struct {
	FulfillmentID string
	LineID        string // empty: it was started by a build that did not say it
	OrderID       string
	ProductID     string
	Source        string // the last one that was asked
	// how it ended, or where it stood when last something went wrong; empty: all was well so far
	Status keyturn.LineStatus
}

// Restored says what was done after a restore.
type Restored struct {
	Keys     int      `json:"keysQuarantined"` // that were for sale in the backup
	Refunded int      `json:"linesRefunded"`   // as their workflows had; the provider knows each refund by its key
	Held     int      `json:"linesHeld"`       // a person says what becomes of them
	Woken    int      `json:"linesResumed"`    // everything else that is undecided goes on
	Missing  []string `json:"missingOrders"`   // accepted after the backup: whoever sent them sends them again
	Payments int      `json:"paymentsAsked"`   // of checkout links: their providers are asked what became of them
	// begun after the backup: a person looks for them at the payment provider
	MissingPayments []PaymentOutcome `json:"missingPayments,omitempty"`
	// Money is, by provider and currency, what payment providers have that the database does not
	Money []MoneyApart `json:"money,omitempty"`
}

const (
	// byRestore is who does what a restore demands.
	byRestore = "restored"
	// restoredFor is how long people have to decide on such a line; then it is given up like every other.
	restoredFor = 14 * 24 * time.Hour
)

// Restored puts a database in order that was restored to an older state, before API and workers start. since is the
// time that InspectRestored gave; all is what workflows say of the time since (from a little earlier on); first is how
// many keys from the front of each pool may have been sold since, 0: all. It may be repeated with the same since: what
// was imported in between stays for sale.
//
// Keys that may have been sold are never for sale again. A line that its workflow refunded is refunded again, under the
// same key, so that the provider pays once. One that may have got keys which this database knows nothing of is held for
// people. Everything else goes on: partners are asked under the same IDs. Lines that are missing get their IDs back
// when their order is sent again (recovery_missing.go).
func (d *DB) Restored(ctx context.Context, since time.Time, first int, all []WorkflowOutcome) (out Restored,
	err error,
) {
	p, err := d.restorePoint(ctx, since)
	if err != nil {
		return out, err
	}
	if out.Keys, err = d.quarantineSold(ctx, p, first); err != nil {
		return out, err
	}
	missing := map[string]bool{}
	for _, h := range all {
		there, err := d.reconcile(ctx, p, h, &out)
		if err != nil {
			return out, err
		}
		if !there && h.OrderID != "" && !missing[h.OrderID] {
			missing[h.OrderID] = true
			out.Missing = append(out.Missing, h.OrderID)
		}
	}
	made, err := d.madeByPayments(ctx, out.Missing)
	if err != nil {
		return out, err
	}
	out.Missing = slices.DeleteFunc(out.Missing, func(id string) bool { return slices.Contains(made, id) })
	if out.Payments, err = d.askForPayments(ctx); err != nil {
		return out, err
	}
	out.Woken, err = d.wakeAll(ctx)
	return out, err
}

// quarantineSold takes the keys out of the sale that may have been sold: all that the backup had, whatever its time, so
// that those which are imported after the restore stay.
func (d *DB) quarantineSold(ctx context.Context, p restorePoint, first int) (int, error) {
	const chunk = 5000
	total := 0
	for {
		n := 0
		if err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
			return tx.GetContext(ctx, &n, quarantineSoldSQL, byRestore,
				"it may have been sold after the backup that was restored", keyturn.KeyQuarantined, p.LastKey, first, chunk, p.At)
		}); err != nil {
			return total, err
		}
		if total += n; n == 0 {
			return total, nil
		}
	}
}

// quarantineSoldSQL: how many of a pool's keys are gone already counts against first, so that it may go on in chunks.
var quarantineSoldSQL = stock.MoveSomeSQL(`id IN (
	SELECT k.id FROM pools p CROSS JOIN LATERAL (
		SELECT s.id, row_number() OVER (ORDER BY s.position) AS place FROM pool_keys s WHERE s.pool_id = p.id
			AND s.state = 'available'
		ORDER BY s.position LIMIT CASE WHEN CAST($5 AS bigint) > 0 THEN $5 ELSE $6 END) k
	WHERE k.id <= $4 AND ($5 = 0 OR k.place <= $5 - (SELECT count(*) FROM key_log g WHERE g.pool_id = p.id
		AND g.by = $1 AND g.at >= $7))
	LIMIT $6)`)

// reconcile does what a workflow's end demands of its line, and notes the line if it is missing.
func (d *DB) reconcile(ctx context.Context, p restorePoint, h WorkflowOutcome, out *Restored) (there bool,
	err error,
) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		there = true
		l, err := lockLine(ctx, tx, h.FulfillmentID)
		if keyturn.KindOf(err) == keyturn.KindNotFound {
			there = false
			return recordMissing(ctx, tx, h)
		}
		if err != nil {
			return err
		}
		var before bool // this was done already; what people decided since stays
		if err := tx.GetContext(ctx, &before, `
			SELECT EXISTS (SELECT FROM line_log WHERE line_id = $1 AND by = $2 AND at >= $3)`, l.ID, byRestore, p.At); err != nil || before {
			return err
		}
		status := l.Status
		if err := d.reapply(ctx, tx, l, h); err != nil {
			return err
		}
		switch {
		case l.Status == status:
		case l.Status == keyturn.LineHeld:
			out.Held++
		default:
			out.Refunded++
		}
		return nil
	})
	return there, err
}

// reapply brings a locked line to where its workflow had it, as far as that can be known.
func (d *DB) reapply(ctx context.Context, tx *sqlx.Tx, l *line, h WorkflowOutcome) error {
	decided := l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled
	unknown, err := isCaptureUnknown(ctx, tx, l)
	if err != nil {
		return err
	}
	switch {
	case decided:
		return nil
	case (h.Status == keyturn.LineCanceling || h.Status == keyturn.LineCanceled) && unknown:
		// Whether its money was taken is not known before its payment's provider was asked: a person decides then.
	case h.Status == keyturn.LineCanceling || h.Status == keyturn.LineCanceled:
		if err := mayHaveCalled(ctx, tx, l, h.Source); err != nil {
			return err
		}
		// nobody sends at this time
		if _, err := tx.ExecContext(ctx,
			`UPDATE deliveries SET lease_until = now() WHERE line_id = $1 AND status = 'SENDING'`, l.ID); err != nil {
			return err
		}
		return d.giveUp(ctx, tx, l, byRestore, "it was refunded after the backup that was restored", "")
	case l.Status == keyturn.LineDelivered || l.ObtainedAt != nil || !h.mayHaveKeys():
		return nil
	}
	if err := openLineAlert(ctx, tx, l, keyturn.AlertRestored, h.story()); err != nil {
		return err
	}
	l.Status, l.HeldUntil, l.NextAttemptAt, l.WaitingPool = keyturn.LineHeld, nil, nil, nil
	l.ExtendedUntil = ptr(l.Now.Add(restoredFor))
	l.GiveUpAt = *l.ExtendedUntil
	return l.save(ctx, tx, byRestore, "it may have got keys after the backup that was restored")
}

// releaseHeld lets a line go on that a restore or its partner's move held, with the time that its product's policy
// gives every line: the longer deadline was for the person. A partner that has moved is asked at its new address, and
// one that has moved back gets the bytes that it got before.
func releaseHeld(ctx context.Context, tx *sqlx.Tx, l *line) error {
	var causes []keyturn.AlertCause
	if err := tx.SelectContext(ctx, &causes, `
		UPDATE alerts SET closed_at = now() WHERE line_id = $1 AND cause IN ($2, $3) AND closed_at IS NULL
			RETURNING cause`, l.ID, keyturn.AlertRestored, keyturn.AlertMoved); err != nil || len(causes) == 0 {
		return err
	}
	if slices.Contains(causes, keyturn.AlertMoved) {
		l.SourceStartedAt = l.Now
	}
	l.ExtendedUntil = ptr(l.Now.Add(time.Duration(l.product.Retry.GiveUpAfter)))
	l.GiveUpAt = *l.ExtendedUntil
	return nil
}

// mayHaveKeys says whether the line may have got something that nobody would give it a second time: a key of a pool, a
// person's key, what a dynamic URL gives. A partner that is asked under the same ID gives the same key again.
func (h WorkflowOutcome) mayHaveKeys() bool {
	return h.Status != keyturn.LineWaitingForStock && !keyturn.ParseSource(h.Source).Type.HasIntegration()
}

func (h WorkflowOutcome) story() string {
	what := "its workflow was under way"
	switch h.Status { //nolint:exhaustive // the others were under way
	case keyturn.LineDelivered:
		what = "its workflow delivered it"
	case keyturn.LineCanceling, keyturn.LineCanceled:
		what = "its workflow cancelled it"
	}
	return what + " after the backup that was restored, from " + h.Source +
		": see the customer's e-mail; supply the keys that are in it, release the line if there is none, or refund it"
}

// mayHaveCalled books that a line's partners may have been asked after the backup, so that they are told to cancel.
func mayHaveCalled(ctx context.Context, tx *sqlx.Tx, l *line, last string) error {
	upTo := l.SourceNo
	for i, s := range l.product.Sources {
		if s.Name() == last {
			upTo = max(upTo, i)
		}
	}
	for i := range upTo + 1 {
		s := l.product.Sources[i]
		if !s.Type.CallsPartner() || l.LicenseID != nil {
			continue
		}
		units := 1
		if l.product.QuantityMode == keyturn.OnePerUnit {
			units = l.units()
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO attempts (line_id, no, source, operation, unit_no, outcome, sent, started_at, deadline_at, message)
			SELECT $1, (SELECT coalesce(max(no), 0) FROM attempts WHERE line_id = $1) + unit + 1, $2, $3, unit, 'unknown', true,
				now(), now(), 'it may have been called after the backup that was restored'
			FROM generate_series(0, $4 - 1) AS unit
			WHERE NOT EXISTS (SELECT FROM attempts WHERE line_id = $1 AND source = $2 AND unit_no = unit
				AND sent)`, l.ID, s.Name(), l.Operation, units); err != nil {
			return err
		}
	}
	return nil
}

// wakeAll has the relay start or wake the workflow of every undecided line, and of every e-mail and cancel that is
// still to go out: the one that it had may have ended since the backup.
func (d *DB) wakeAll(ctx context.Context) (n int, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &n, `
			WITH woken AS (
				UPDATE line_items SET wake_at = now() + `+unlessTurnSQL("position")+`
				WHERE status NOT IN ('DELIVERED', 'CANCELED') AND NOT blocked RETURNING id
			), renewed AS (
				UPDATE outbox SET due_at = now() WHERE due_at > now()
			), errands AS (
				INSERT INTO outbox (workflow, subject, due_at)
				SELECT $1, CAST(y.id AS text), now() FROM deliveries y JOIN line_items l ON l.id = y.line_id
				WHERE `+toFollowSQL+`
				UNION ALL
				SELECT $2, l.fulfillment_id || '/' || v.source, greatest(v.not_before, now()) FROM revocations v
					JOIN line_items l ON l.id = v.line_id WHERE v.status = 'OWED'
				ON CONFLICT (workflow, subject) DO NOTHING
			) SELECT count(*) FROM woken`, WorkflowSend, WorkflowRevoke); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO outbox (workflow, subject, position)
			SELECT DISTINCT $1, order_id, CAST($2 AS int) FROM line_items
			WHERE position > $2 AND status NOT IN ('DELIVERED', 'CANCELED') AND NOT blocked
			ON CONFLICT (workflow, subject) DO UPDATE SET position = least(outbox.position, excluded.position)`,
			WorkflowTurn, turnSize)
		return err
	})
	return n, err
}
