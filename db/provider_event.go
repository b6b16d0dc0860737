package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// providerEventsKept is how long events are remembered: longer than a processor repeats them.
const providerEventsKept = 30 * 24 * time.Hour

// BookProviderEvent notes an event of a processor, once, and has the payment's workflow look at the payment that it
// names by its session or payment reference. An event about nothing of ours is noted, no more.
func (d *DB) BookProviderEvent(ctx context.Context, provider, id, kind, session, reference string) error {
	paymentID, err := d.PaymentOf(ctx, provider, session, reference)
	if err != nil && keyturn.KindOf(err) != keyturn.KindNotFound {
		return err
	}
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		var fresh []string
		if err := tx.SelectContext(ctx, &fresh, `
			INSERT INTO provider_events (provider, id, type) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id`,
			provider, id, kind); err != nil || len(fresh) == 0 || paymentID == "" {
			return err
		}
		p, err := lockPayment(ctx, tx, paymentID)
		if err != nil {
			return err
		}
		return p.lookNow(ctx, tx)
	})
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
