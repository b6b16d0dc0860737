package db

import (
	"context"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// providerEventsKept is how long events are remembered: longer than a processor repeats them.
const providerEventsKept = 30 * 24 * time.Hour

// ProviderEvent is a verified message of a processor.
type ProviderEvent struct {
	Provider         string
	ID               string
	Type             string
	SessionReference string // one of the two names the payment
	PaymentReference string
	PaymentID        string             // ours, where the processor repeats it
	RefundOf         string             // ours, of a refund: a line's ID, or a payment's
	Outcome          keyturn.PayOutcome // of a try to pay; empty: it tells of something else
}

// BookedEvent says what became of an event.
type BookedEvent string

// What can become of an event.
const (
	EventBooked  BookedEvent = "booked"  // its payment is looked at
	EventKnown   BookedEvent = "known"   // it came before
	EventForeign BookedEvent = "foreign" // it names no payment of ours
)

// BookProviderEvent notes an event of a processor, once, and has the payment's workflow look at the payment that it
// names by its session or payment reference, or by our ID. An event of a line's refund that the provider has taken on
// wakes the line, also of an order that came in paid; any event of such an order's payment has the processor asked for
// what came of it. An event about nothing of ours is noted, no more.
func (d *DB) BookProviderEvent(ctx context.Context, e ProviderEvent) (out BookedEvent, err error) {
	var named []string
	paymentID, err := d.PaymentOf(ctx, e.Provider, e.SessionReference, e.PaymentReference)
	if keyturn.KindOf(err) == keyturn.KindNotFound && keyturn.ValidPaymentID(e.PaymentID) {
		err = pg.AsKind(d.pg.SelectContext(ctx, &named, `SELECT id FROM payments WHERE id = $1 AND provider = $2`,
			e.PaymentID, e.Provider))
		paymentID = strings.Join(named, "")
	}
	if err != nil && keyturn.KindOf(err) != keyturn.KindNotFound {
		return "", err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = EventKnown
		woken, err := wakeRefund(ctx, tx, e) // before the payment is locked, as a line's step does it
		if err != nil {
			return err
		}
		var p *payment
		if paymentID != "" { // first: the event refers to it, and several of a payment come at the same moment
			if p, err = lockPayment(ctx, tx, paymentID); err != nil {
				return err
			}
		}
		var fresh []string
		if err := tx.SelectContext(ctx, &fresh, `
			INSERT INTO provider_events (provider, id, type, payment_id, outcome)
			VALUES ($1, $2, $3, CAST(nullif($4, '') AS uuid), $5) ON CONFLICT DO NOTHING RETURNING id`,
			e.Provider, e.ID, e.Type, paymentID, e.Outcome); err != nil || len(fresh) == 0 {
			return err
		}
		if out = EventForeign; woken {
			out = EventBooked
		}
		if p == nil {
			return followPaid(ctx, tx, e, &out)
		}
		out = EventBooked
		return p.lookNow(ctx, tx)
	})
	return out, err
}

// followPaid has the processor asked for what came of a payment that orders came in paid with.
func followPaid(ctx context.Context, tx *sqlx.Tx, e ProviderEvent, out *BookedEvent) error {
	if e.PaymentReference == "" {
		return nil
	}
	var orders []string
	if err := tx.SelectContext(ctx, &orders, ordersPaidWith, e.Provider, e.PaymentReference); err != nil ||
		len(orders) == 0 {
		return err
	}
	*out = EventBooked
	return enqueue(ctx, tx, WorkflowFollow, e.Provider+"/"+e.PaymentReference)
}

// wakeRefund wakes the line whose refund an event tells of, if the provider has taken it on and it has not come
// through. Only then: while the provider is being asked for it, nothing is to be asked for again.
func wakeRefund(ctx context.Context, tx *sqlx.Tx, e ProviderEvent) (woken bool, err error) {
	id, ok := canonicalID(e.RefundOf)
	if !ok {
		return false, nil
	}
	var lines []string
	err = tx.SelectContext(ctx, &lines, `
		UPDATE line_items l SET wake_at = now(), next_attempt_at = now() FROM refunds r
		WHERE l.id = $1 AND r.line_id = l.id AND r.provider = $2 AND r.status = 'PENDING'
			AND r.under_way_since IS NOT NULL AND l.status = 'CANCELING' RETURNING l.id`, id, e.Provider)
	return len(lines) > 0, err
}

// ForgetProviderEvents removes events that no processor repeats any more, at most 10,000 at once.
func (d *DB) ForgetProviderEvents(ctx context.Context) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			DELETE FROM provider_events e USING (
				SELECT provider, id FROM provider_events WHERE received_at < now() - make_interval(secs => $1)
				ORDER BY received_at LIMIT 10000
			) old WHERE e.provider = old.provider AND e.id = old.id`, providerEventsKept.Seconds())
		return err
	})
}
