package db

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// wanted says which units of which line need a key.
type wanted struct {
	line    string
	first   int // unit
	units   int
	earlier time.Time // lines that wait for the pool since before come first
}

// takes adds to a statement that it takes the next keys of a pool for a line, all it needs or none, unless a line that was
// accepted before earlier waits for the pool. from is where in the queue to begin (fronts), when a further condition.
//
// MATERIALIZED keeps PostgreSQL from running the locking sub-select more than once (it may, and then locks more rows than
// it returns). The keys go on as an array, of which PostgreSQL expects few elements: of a sub-select whose limit it does
// not know it expects a tenth of the pool, and reads all that was sold to join it. For the same reason numbers come from
// wanted: a limit that is an argument has the statement planned anew each time, which costs more than running it. A key is
// found again by its ID: its row may have moved since the statement began, and its place with it.
func (n wanted) takes(w *writes, pool string, from int64, when string) {
	w.add("wanted", `SELECT CAST(? AS text) AS pool_id, CAST(? AS bigint) AS units`, pool, n.units)
	w.once("c", `
		SELECT id, position FROM pool_keys
		WHERE pool_id = (SELECT pool_id FROM wanted) AND state = 'available' AND position >= ? AND (give_until IS NULL OR give_until > now())`+
		notRecalledSQL+when+`
			AND NOT EXISTS (SELECT FROM line_items WHERE waiting_pool = (SELECT pool_id FROM wanted) AND (created_at, id) < (?, ?))
		ORDER BY position
		LIMIT (SELECT units FROM wanted)
		FOR UPDATE SKIP LOCKED`, from, n.earlier, n.line)
	w.add("taken", `
		UPDATE pool_keys k SET state = 'claimed', line_id = ?, unit_no = u.no - 1 + ?, changed_at = now()
		FROM unnest((SELECT CASE count(*) WHEN (SELECT units FROM wanted) THEN array_agg(id ORDER BY position) END FROM c)) WITH ORDINALITY AS u (id, no)
		WHERE k.id = u.id AND k.state = 'available'
		RETURNING k.id, k.pool_id, k.position, k.unit_no, k.content, k.fingerprint`, n.line, n.first)
	w.add("stock", `
		INSERT INTO pool_stock AS s (pool_id, slot, available, claimed, taken)
		SELECT pool_id, `+stockSlot+`, 0 - units, units, units FROM wanted WHERE EXISTS (SELECT FROM taken)
		ON CONFLICT (pool_id, slot) DO UPDATE SET available = s.available + excluded.available,
			claimed = s.claimed + excluded.claimed, taken = s.taken + excluded.taken`)
}

// takenSQL gives the keys that a statement took.
const takenSQL = `
	SELECT p.id AS pool_id, p.data_key, t.id AS key_id, t.position, t.content, t.fingerprint
	FROM taken t JOIN pools p ON p.id = t.pool_id ORDER BY t.unit_no`

// Claim gives the line its keys from its pool, in the order of their import; a line that has its keys already keeps
// them. With too few keys nothing is taken and the line waits for stock (or its next source starts). Lines that wait
// already come first. Idempotent: the keys of a line are its own under a unique constraint.
func (d *DB) Claim(ctx context.Context, fulfillmentID string) (keyturn.Next, error) {
	_, next, err := d.ClaimToSend(ctx, fulfillmentID, nil)
	return next, err
}

// ClaimToSend is Claim that goes on as BeginDelivery in the same transaction when the line has its keys: it gives the
// e-mail that render makes, with the lease on sending it.
func (d *DB) ClaimToSend(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (*Delivery, keyturn.Next, error) {
	if out, next, ok, err := d.claimSmoothly(ctx, fulfillmentID, render); ok {
		return out, next, err
	}
	for try := 1; ; try++ {
		out, next, err := d.claim(ctx, fulfillmentID, render)
		if !errors.Is(err, errContended) {
			return out, next, err
		}
		if try == maxClaimTries {
			return nil, next, keyturn.Errorf(keyturn.KindUnavailable, "the pool's last keys are held by other lines: asked %d times", try)
		}
		time.Sleep(rand.N(10 * time.Millisecond)) //nolint:gosec // spreads claimers, keeps no secret
	}
}

// errContended: keys are there, but other transactions hold them and may give them back (reliability §0.4).
var errContended = errors.New("keys are held by other transactions")

const maxClaimTries = 50

func (d *DB) claim(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (out *Delivery, next keyturn.Next, err error) {
	pool := ""
	next, err = d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		out = nil
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
			return d.fail(ctx, tx, l, Setback{Failure: keyturn.Failure{
				Kind: keyturn.KindOutOfStock, Message: "pool " + pool + " has fewer keys than the line needs",
			}})
		}
		l.obtained()
		out, err = d.obtainedToSend(ctx, tx, l, &Deliverables{Codes: keys}, render)
		return err
	})
	if err != nil && pool != "" { // what it took is for sale again
		d.fronts.forget(pool)
	}
	return out, next, err
}

// claimSmoothly is the claim of a line with which nothing has happened yet, from a pool that has enough keys: a look, a
// statement that takes the keys and books them, and one that stores the e-mail. It is not ok, and has changed nothing or
// what nobody knows, when anything is different or went wrong: claim finds out what.
func (d *DB) claimSmoothly(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (out *Delivery, next keyturn.Next, ok bool, err error) {
	l, err := d.look(ctx, fulfillmentID)
	if err != nil || l.Status != keyturn.LinePending || l.CancelReason != nil || l.LicenseID != nil || l.next().Do != keyturn.DoClaim {
		return nil, next, false, nil //nolint:nilerr // claim finds it too
	}
	var w writes
	pool := l.source().Pool
	from := d.fronts.look(pool, l.units())
	w.add("mine", `SELECT id FROM line_items WHERE id = ? AND version = ? FOR UPDATE`, l.ID, l.Version)
	wanted{line: l.ID, units: l.units(), earlier: l.CreatedAt}.takes(&w, pool, from, ` AND EXISTS (SELECT FROM mine)`)
	l.obtained()
	if err := l.moves(&w, byWorkflow, "", ` AND EXISTS (SELECT FROM taken)`); err != nil {
		return nil, next, false, nil //nolint:nilerr // claim finds it too
	}
	var taken []pooledKey
	start := time.Now()
	if err := w.run(ctx, d.alone(), &taken, takenSQL); err != nil || len(taken) == 0 {
		d.fronts.forget(pool)
		return nil, next, false, nil //nolint:nilerr // claim looks at what is true, under the line's lock
	}
	d.fronts.took(pool, from, taken[len(taken)-1].Position, time.Since(start))
	l.isSaved()
	if render == nil {
		return nil, l.next(), true, nil
	}
	keys, err := d.openPooled(taken)
	if err != nil {
		return nil, next, true, err
	}
	out, err = d.deliverSmoothly(ctx, l, Deliverables{Codes: keys}, render)
	return out, l.next(), true, err
}

// deliverSmoothly makes the e-mail of a line that just got its keys, if nobody has changed the line since. No Delivery:
// BeginDelivery finds out why.
func (d *DB) deliverSmoothly(ctx context.Context, l *line, have Deliverables, render func(MailFacts) ([]byte, error)) (*Delivery, error) {
	var w writes
	w.add("moved", `SELECT id FROM line_items WHERE id = ? AND version = ? FOR UPDATE`, l.ID, l.Version)
	out, err := d.delivers(&w, l, newMail{kind: "keys", status: "SENDING", have: &have, render: render})
	if cannotBeMade(err) {
		return nil, nil //nolint:nilnil // there is nothing to send yet
	}
	if err != nil {
		return nil, err
	}
	var stored []string
	if err := w.run(ctx, d.alone(), &stored, `SELECT id FROM moved`); err != nil || len(stored) == 0 {
		return nil, err
	}
	out.line = l
	return out, nil
}

// takeKeys claims all units of the line and decrypts them, or claims nothing. Lines that were accepted before earlier and
// wait for the pool come first. Claiming twice is prevented by the line's status and a unique index.
func (d *DB) takeKeys(ctx context.Context, tx *sqlx.Tx, l *line, pool string, earlier time.Time) ([]keyturn.Secret, error) {
	taken, err := d.take(ctx, tx, pool, wanted{line: l.ID, units: l.units(), earlier: earlier})
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
	// SKIP LOCKED passes over keys that a transaction holds and may yet give back; only a plain count says "empty".
	n, err := stockFor(ctx, tx, pool, l.units())
	if err == nil && n >= l.units() {
		err = errContended
	}
	return nil, err
}

// stockFor counts the keys that a pool can give now, up to n.
func stockFor(ctx context.Context, q sqlx.QueryerContext, pool string, n int) (have int, err error) {
	err = sqlx.GetContext(ctx, q, &have, `
		SELECT count(*) FROM (SELECT FROM pool_keys WHERE pool_id = $1 AND state = 'available' AND (give_until IS NULL OR give_until > now())`+
		notRecalledSQL+` ORDER BY position LIMIT $2) AS left_over`, pool, n)
	return have, err
}

// take takes keys from the front of the queue, all that are wanted or none.
func (d *DB) take(ctx context.Context, tx selector, pool string, n wanted) ([]pooledKey, error) {
	for from := d.fronts.look(pool, n.units); ; from = positionStart {
		var w writes
		var taken []pooledKey
		n.takes(&w, pool, from, "")
		start := time.Now()
		if err := w.run(ctx, tx, &taken, takenSQL); err != nil {
			d.fronts.forget(pool)
			return nil, err
		}
		if len(taken) > 0 {
			d.fronts.took(pool, from, taken[len(taken)-1].Position, time.Since(start))
			return taken, nil
		}
		if d.fronts.forget(pool); from == positionStart {
			return nil, nil
		}
	}
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
		d.fronts.forget(pool)
	}
	return err
}
