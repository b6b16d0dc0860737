package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
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
// names by its session or payment reference. An event about nothing of ours is noted, no more.
func (d *DB) BookProviderEvent(ctx context.Context, e ProviderEvent) (out BookedEvent, err error) {
	paymentID, err := d.PaymentOf(ctx, e.Provider, e.SessionReference, e.PaymentReference)
	if err != nil && keyturn.KindOf(err) != keyturn.KindNotFound {
		return "", err
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		out = EventKnown
		var fresh []string
		if err := tx.SelectContext(ctx, &fresh, `
			INSERT INTO provider_events (provider, id, type, payment_id, outcome)
			VALUES ($1, $2, $3, CAST(nullif($4, '') AS uuid), $5) ON CONFLICT DO NOTHING RETURNING id`,
			e.Provider, e.ID, e.Type, paymentID, e.Outcome); err != nil || len(fresh) == 0 {
			return err
		}
		if out = EventForeign; paymentID == "" {
			return nil
		}
		out = EventBooked
		p, err := lockPayment(ctx, tx, paymentID)
		if err != nil {
			return err
		}
		return p.lookNow(ctx, tx)
	})
	return out, err
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
