package db

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Claim gives the line its keys from its pool, in the order of their import; a line that has its keys already keeps
// them. With too few keys nothing is taken and the line waits for stock (or its next source starts). Lines that wait
// already come first. Idempotent: the keys of a line are its own under a unique constraint. The e-mail that render makes
// of the keys is stored with them, ready to be sent; without render, BeginDelivery makes it.
func (d *DB) Claim(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (keyturn.Next, error) {
	if next, ok, err := d.claimFast(ctx, fulfillmentID, render); ok {
		return next, err
	}
	for try := 1; ; try++ {
		next, err := d.claim(ctx, fulfillmentID, render)
		if !errors.Is(err, errContended) {
			return next, err
		}
		if try == maxClaimTries {
			return next, keyturn.Errorf(keyturn.KindUnavailable, "the pool's last keys are held by other lines: asked %d times", try)
		}
		select {
		case <-time.After(rand.N(10 * time.Millisecond)): //nolint:gosec // spreads claimers, keeps no secret
		case <-ctx.Done():
			return next, keyturn.Errorf(keyturn.KindUnavailable, "the pool's last keys are held by other lines: %w", ctx.Err())
		}
	}
}

const maxClaimTries = 50

func (d *DB) claim(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (keyturn.Next, error) {
	pool := ""
	next, err := d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		stopped, err := d.stop(ctx, tx, l, keyturn.DoClaim)
		if !stopped && err == nil {
			stopped, err = d.refuse(ctx, tx, l)
		}
		if stopped || err != nil {
			return err
		}
		l.WakeAt = nil
		l.Attempts++
		pool = l.source().Pool
		keys, err := d.takeKeys(ctx, tx, l, pool, l.CreatedAt)
		if err != nil {
			return err
		}
		if keys == nil {
			return d.fail(ctx, tx, l, StepFailure{Failure: keyturn.Failure{
				Kind: keyturn.KindOutOfStock, Message: "pool " + pool + " has fewer keys than the line needs",
			}})
		}
		l.markObtained()
		return d.saveObtained(ctx, tx, l, &Deliverables{Codes: keys}, render)
	})
	if err != nil && pool != "" { // what it took is for sale again
		d.cursors.rewind(pool)
	}
	return next, err
}

// claimFast claims the keys of a line that nothing has happened to, from a pool that has enough: a read of the line, a
// statement that takes the keys and books them, and one that stores the e-mail. ok is false when a precondition failed or
// the outcome is unknown; the caller falls back to claim.
func (d *DB) claimFast(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (next keyturn.Next, ok bool, err error) {
	l, err := d.look(ctx, fulfillmentID)
	if err != nil || !l.untouched() || l.next().Do != keyturn.DoClaim {
		return next, false, nil //nolint:nilerr // claim finds it too
	}
	l.markObtained()
	taken, err := d.takeAndBook(ctx, l)
	if err != nil || len(taken) == 0 {
		return next, false, nil //nolint:nilerr // claim looks at what is true, under the line's lock
	}
	l.isSaved()
	if render == nil {
		return l.next(), true, nil
	}
	keys, err := d.openPooled(taken)
	if err != nil {
		return next, true, err
	}
	return l.next(), true, d.storeMailFast(ctx, l, Deliverables{Codes: keys}, render)
}

// untouched says that nothing has happened with the line yet, and that it acts on no licence.
func (l *line) untouched() bool {
	return l.Status == keyturn.LinePending && l.CancelReason == nil && l.LicenseID == nil &&
		l.FailureJSON == nil && l.NextAttemptAt == nil && l.HeldUntil == nil
}

// storeMailFast stores the e-mail of a line that just got its keys, if nobody has changed the line since. Otherwise, and
// if it cannot be made, BeginDelivery sees to it.
func (d *DB) storeMailFast(ctx context.Context, l *line, have Deliverables, render func(MailFacts) ([]byte, error)) error {
	var w pg.StmtBuilder
	w.With("moved", `SELECT id FROM line_items WHERE id = ? AND version = ? FOR UPDATE`, l.ID, l.Version)
	if _, err := d.delivers(&w, l, newMail{kind: keyturn.DeliveryKeys, have: &have, render: render}); err != nil {
		if cannotBeMade(err) {
			return nil
		}
		return err
	}
	return w.Select(ctx, d.pg.Implicit(), &[]string{}, `SELECT id FROM moved`)
}

// takeKeys claims all units of the line and decrypts them, or claims nothing. Lines that were accepted before earlier and
// wait for the pool come first. Claiming twice is prevented by the line's status and a unique index.
func (d *DB) takeKeys(ctx context.Context, tx *sqlx.Tx, l *line, pool string, earlier time.Time) ([]keyturn.Secret, error) {
	taken, err := d.take(ctx, tx, keyClaim{pool: pool, line: l.ID, units: l.units(), createdAt: earlier})
	if err != nil {
		return nil, err
	}
	if len(taken) > 0 {
		return d.openPooled(taken)
	}
	waits, err := othersWait(ctx, tx, l, pool, earlier)
	if err != nil || waits {
		return nil, err
	}
	return nil, contendedFor(ctx, tx, pool, l.units())
}

// othersWait says whether a line that was accepted earlier waits for the same pool.
func othersWait(ctx context.Context, tx *sqlx.Tx, l *line, pool string, earlier time.Time) (bool, error) {
	var waits bool
	err := tx.GetContext(ctx, &waits, `
		SELECT EXISTS (SELECT FROM line_items WHERE waiting_pool = $1 AND (created_at, id) < ($2, $3))`, pool, earlier, l.ID)
	return waits, err
}

// freeKeys ends a line's hold on its pool keys when it is given up: those that nobody can have seen go back to the pool,
// in their old place in the queue; the others, and those of a recalled batch, are quarantined for ever. An e-mail that is still SENDING here is one whose
// process died: nobody knows whether it went out, so its keys count as seen.
func (d *DB) freeKeys(ctx context.Context, tx *sqlx.Tx, l *line, by, reason string) error {
	var back []string
	err := tx.SelectContext(ctx, &back, `
		WITH seen AS (
			SELECT EXISTS (SELECT FROM deliveries WHERE line_id = $3 AND kind = 'keys' AND (exposed OR status IN ('SENDING', 'SENT')))
				OR EXISTS (SELECT FROM access_log WHERE line_id = $3) AS yes
		), old AS MATERIALIZED (
			SELECT id, state, line_id, unit_no, EXISTS (SELECT FROM replacements r WHERE r.key_id = pool_keys.id) AS bad
			FROM pool_keys WHERE line_id = $3 AND state IN ('claimed', 'delivered') FOR UPDATE
		), void AS (
			UPDATE replacements SET status = 'VOID', done_at = now() WHERE line_id = $3 AND status IN ('LISTED', 'OWED')
		), moved AS (
			UPDATE pool_keys k SET
				state = CASE WHEN seen.yes OR old.bad THEN 'quarantined' ELSE 'available' END,
				line_id = CASE WHEN seen.yes OR old.bad THEN k.line_id END,
				unit_no = CASE WHEN seen.yes OR old.bad THEN k.unit_no END,
				changed_at = now()
			FROM seen, old WHERE k.id = old.id AND k.state IN ('claimed', 'delivered')
			RETURNING k.id, k.pool_id, old.state AS was, k.state AS became, old.line_id, old.unit_no
		)`+bookMovedSQL+`
		SELECT DISTINCT pool_id FROM moved WHERE became = 'available'`, by, reason, l.ID)
	for _, pool := range back {
		d.cursors.rewind(pool)
	}
	return err
}
