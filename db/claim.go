package db

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
)

// Claim gives the line its keys from its pool, in the order of their import, and returns what the line needs next. With
// too few keys nothing is taken, and the line waits for stock or its next source starts. Lines that wait already come
// first. The e-mail that render makes of the keys is stored with them, ready to be sent; without render, BeginDelivery
// makes it. Idempotent: a line that has its keys keeps them, under a unique constraint. KindUnavailable while other
// transactions hold the pool's last keys.
func (d *DB) Claim(ctx context.Context, fulfillmentID string, render RenderMail) (keyturn.Next, error) {
	if next, ok, err := d.claimFast(ctx, fulfillmentID, render); ok {
		return next, err
	}
	for try := 1; ; try++ {
		next, err := d.claim(ctx, fulfillmentID, render)
		if !errors.Is(err, stock.ErrContended) {
			return next, err
		}
		if try == maxClaimAttempts {
			return next, keyturn.Errorf(keyturn.KindUnavailable, "the pool's last keys are held by other lines: asked %d times",
				try)
		}
		select {
		case <-time.After(rand.N(10 * time.Millisecond)): //nolint:gosec // spreads claimers, keeps no secret
		case <-ctx.Done():
			return next, keyturn.Errorf(keyturn.KindUnavailable, "the pool's last keys are held by other lines: %w", ctx.Err())
		}
	}
}

const maxClaimAttempts = 50

// claim is Claim under the line's lock.
func (d *DB) claim(ctx context.Context, fulfillmentID string, render RenderMail) (keyturn.Next, error) {
	pool := ""
	next, err := d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		stopped, err := d.stop(ctx, tx, l, keyturn.DoClaim)
		if !stopped && err == nil {
			stopped, err = d.refuse(ctx, tx, l)
		}
		if stopped || err != nil {
			return err
		}
		if !l.fits() {
			return d.fail(ctx, tx, l, StepFailure{Permanent: true, Failure: keyturn.Failure{
				Kind:    keyturn.KindConfiguration,
				Message: "pool " + l.source().Pool + " sells in another currency than " + l.Currency,
			}})
		}
		if l.Version > 1 {
			if _, err := leaveOtherSources(ctx, tx, l, l.source().Name()); err != nil {
				return err
			}
		}
		l.markTried()
		pool = l.source().Pool
		obtained := *l
		obtained.markObtained()
		keys, err := d.takeKeys(ctx, tx, &obtained, pool, l.CreatedAt, byWorkflow, "")
		if err != nil {
			return err
		}
		if keys == nil {
			return d.fail(ctx, tx, l, StepFailure{Failure: keyturn.Failure{
				Kind: keyturn.KindOutOfStock, Message: "pool " + pool + " has fewer keys than the line needs",
			}})
		}
		*l = obtained
		if render == nil {
			return nil
		}
		have := &Deliverables{Codes: keys}
		_, err = d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, have: have, render: render})
		if cannotBeMade(err) { // BeginDelivery finds out why not
			err = nil
		}
		return err
	})
	if err != nil && pool != "" { // what it took is for sale again
		d.stock.Rewind(pool)
	}
	return next, err
}

// claimFast is Claim on the fast path, for a line that nothing has happened to, from a pool that has enough: a read of
// the line, a statement that takes the keys and saves the line, and one that stores the e-mail.
func (d *DB) claimFast(
	ctx context.Context, fulfillmentID string, render RenderMail,
) (next keyturn.Next, ok bool, err error) {
	l, err := d.readLine(ctx, fulfillmentID)
	if err != nil || !l.untouched() || l.next().Do != keyturn.DoClaim || !l.fits() || l.Attempts > 0 {
		return next, false, nil //nolint:nilerr // claim finds it too, and sees to partners that were asked before
	}
	l.markObtained()
	taken, err := d.claimKeys(ctx, d.pg.Implicit(), l, l.source().Pool, l.CreatedAt, byWorkflow, "")
	if err != nil || len(taken) == 0 {
		return next, false, nil //nolint:nilerr // claim looks at what is true, under the line's lock
	}
	if render == nil {
		return l.next(), true, nil
	}
	keys, err := d.stock.Open(taken)
	if err != nil {
		return next, true, err
	}
	have := &Deliverables{Codes: keys}
	_, err = d.storeDelivery(ctx, d.pg.Implicit(), l, newMail{kind: keyturn.DeliveryKeys, have: have, render: render})
	if cannotBeMade(err) || keyturn.KindOf(err) == keyturn.KindConflict { // it cannot, or the line has changed since
		err = nil // BeginDelivery sees to the e-mail
	}
	return l.next(), true, err
}

// claimKeys takes the keys of a line that is marked as obtained, all or none, and saves the line with them, in one
// statement. Lines that were accepted before earlier and wait for the pool come first. No keys: nothing has changed,
// because the pool has too few, or the line is locked or has another version by now.
func (d *DB) claimKeys(
	ctx context.Context, q pg.Queryer, l *line, pool string, earlier time.Time, by, reason string,
) ([]stock.SealedKey, error) {
	c := stock.Claim{Pool: pool, Line: l.ID, Units: l.units(), CreatedAt: earlier}
	taken, err := d.stock.TakeBy(ctx, q, c, func(w *pg.StmtBuilder, from int64) error {
		return l.appendClaim(w, c, from, by, reason)
	})
	if len(taken) > 0 {
		l.markSaved()
	}
	return taken, err
}

// appendClaim appends that the line takes its keys and is saved with them. The line's row is locked before any key.
func (l *line) appendClaim(w *pg.StmtBuilder, c stock.Claim, from int64, by, reason string) error {
	// the product's pools have the currencies that the source was chosen by
	w.With("claimant", `
		SELECT id FROM line_items WHERE id = ? AND version = ? AND EXISTS (
			SELECT FROM products WHERE id = ? AND pool_currencies IS NOT DISTINCT FROM CAST(? AS text))
		FOR UPDATE SKIP LOCKED`, l.ID, l.Version, l.ProductID, l.Currencies)
	c.AppendTake(w, from)
	if err := l.appendLineUpdate(w, by, reason, ` AND EXISTS (SELECT FROM taken)`); err != nil {
		return err
	}
	l.appendOrderCounts(w, "moved")
	return nil
}

// takeKeys is claimKeys under the line's lock, and decrypts the keys. Claiming twice is prevented by the line's status
// and a unique index. The error is stock.ErrContended while other transactions hold the pool's last keys.
func (d *DB) takeKeys(
	ctx context.Context, tx *sqlx.Tx, l *line, pool string, earlier time.Time, by, reason string,
) ([]keyturn.Secret, error) {
	taken, err := d.claimKeys(ctx, tx, l, pool, earlier, by, reason)
	if err != nil {
		return nil, err
	}
	if len(taken) > 0 {
		return d.stock.Open(taken)
	}
	waits, err := othersWait(ctx, tx, l, pool, earlier)
	if err != nil || waits {
		return nil, err
	}
	return nil, stock.Contended(ctx, tx, pool, l.units())
}

// othersWait says whether a line that was accepted earlier waits for the same pool, or a customer for a replacement.
func othersWait(ctx context.Context, tx *sqlx.Tx, l *line, pool string, earlier time.Time) (bool, error) {
	var waits bool
	err := tx.GetContext(ctx, &waits, `
		SELECT EXISTS (SELECT FROM line_items WHERE waiting_pool = $1 AND (created_at, id) < ($2, $3))
			OR `+stock.ReplacementsFirstSQL+`$1)`, pool, earlier, l.ID)
	return waits, err
}

// freeKeys ends a line's hold on its pool keys when it is given up: those that nobody can have seen go back to the
// pool, in their old place in the queue; the others, and those of a recalled batch, are quarantined for ever. An e-mail
// that is still SENDING here is one whose process died: nobody knows whether it went out, so its keys count as seen.
func (d *DB) freeKeys(ctx context.Context, tx *sqlx.Tx, l *line, by, reason string) error {
	var back []string
	err := tx.SelectContext(ctx, &back, `
		WITH seen AS (
			SELECT EXISTS (SELECT FROM deliveries
					WHERE line_id = $3 AND kind = 'keys' AND (exposed OR status IN ('SENDING', 'SENT')))
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
		)`+stock.BookMovedSQL+`
		SELECT DISTINCT pool_id FROM moved WHERE became = 'available'`, by, reason, l.ID)
	for _, pool := range back {
		d.stock.Rewind(pool)
	}
	return err
}
