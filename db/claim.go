package db

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// wanted says which units of which lines need a key.
type wanted struct {
	lines pq.StringArray // of each key that is needed, its line
	units pq.Int64Array  // and its unit

	// Lines that wait for the pool come first if they came before the last of these.
	came time.Time
	last string // its ID: it settles the order of lines that came at the same time
}

// wantedBy is what one line needs, units keys for its units from first on.
func wantedBy(line string, first, units int, came time.Time) (n wanted) {
	n.add(line, first, units, came)
	return n
}

func (n *wanted) add(line string, first, units int, came time.Time) {
	for i := range units {
		n.lines, n.units = append(n.lines, line), append(n.units, int64(first+i))
	}
	if n.last == "" || came.After(n.came) || came.Equal(n.came) && line > n.last {
		n.came, n.last = came, line
	}
}

// takes adds to a statement that it takes the next keys of a pool, all that are wanted or none. from is where in the queue
// to begin (fronts), when a further condition with its arguments.
//
// MATERIALIZED keeps PostgreSQL from running the locking sub-select more than once (it may, and then locks more rows than
// it returns). The keys go on as an array, of which PostgreSQL expects few elements: of a sub-select whose limit it does
// not know it expects a tenth of the pool, and reads all that was sold to join it. A key is found again by its ID: its row
// may have moved since the statement began, and its place with it; and not by its state, of which PostgreSQL would make a
// reading of all that are for sale.
func (n wanted) takes(w *pg.StmtBuilder, pool string, from int64, when string, args ...any) {
	w.WithMaterialized("c", `
		SELECT ARRAY(
			SELECT id FROM pool_keys
			WHERE pool_id = ? AND state = 'available' AND position >= ? AND (give_until IS NULL OR give_until > now())`+
		notRecalledSQL+when+`
				AND NOT EXISTS (SELECT FROM line_items WHERE waiting_pool = ? AND (created_at, id) < (?, ?))
			ORDER BY position
			LIMIT ?
			FOR UPDATE SKIP LOCKED) AS ids`, slices.Concat([]any{pool, from}, args, []any{pool, n.came, n.last, len(n.lines)})...)
	w.With("taken", `
		UPDATE pool_keys k SET state = 'claimed', changed_at = now(),
			line_id = (CAST(? AS uuid[]))[array_position((SELECT ids FROM c), k.id)],
			unit_no = (CAST(? AS int[]))[array_position((SELECT ids FROM c), k.id)]
		WHERE k.id = ANY (CAST((SELECT ids FROM c WHERE cardinality(ids) = ?) AS bigint[])) AND k.line_id IS NULL
		RETURNING k.id, k.pool_id, k.position, k.line_id, k.unit_no, k.content, k.fingerprint`, n.lines, n.units, len(n.lines))
	w.With("stock", `
		INSERT INTO pool_stock AS s (pool_id, slot, available, claimed, taken)
		SELECT ?, `+stockSlot+`, 0 - CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint) WHERE EXISTS (SELECT FROM taken)
		ON CONFLICT (pool_id, slot) DO UPDATE SET available = s.available + excluded.available,
			claimed = s.claimed + excluded.claimed, taken = s.taken + excluded.taken`, pool, len(n.lines), len(n.lines), len(n.lines))
}

// takenSQL gives the keys that a statement took.
const takenSQL = `
	SELECT pool_id, (SELECT data_key FROM pools WHERE id = ?) AS data_key, id AS key_id, position, line_id, content, fingerprint
	FROM taken ORDER BY line_id, unit_no`

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
		if !isContended(err) {
			return next, err
		}
		if try == maxClaimTries {
			return next, keyturn.Errorf(keyturn.KindUnavailable, "the pool's last keys are held by other lines: asked %d times", try)
		}
		if err := d.contend(ctx, err); err != nil {
			return next, err
		}
	}
}

// contended says that a pool has the keys that are wanted, and that they cannot be taken now: they lie in packs, or other
// transactions hold them and may give them back: SKIP LOCKED finds nothing where all is locked.
type contended struct {
	pool  string
	units int
}

// Error is part of the error interface.
func (*contended) Error() string { return "keys are packed or held by other transactions" }

// Unwrap says that the transaction is undone on purpose.
func (*contended) Unwrap() error { return pg.ErrRollback }

func isContended(err error) bool {
	_, is := errors.AsType[*contended](err)
	return is
}

const maxClaimTries = 50

// contend does something about what a contended error says, so that it is worth trying again: it unpacks keys, or lets
// the others end.
func (d *DB) contend(ctx context.Context, err error) error {
	c, is := errors.AsType[*contended](err)
	if !is {
		return err
	}
	unpacked, err := d.restock(ctx, c.pool, c.units)
	if err == nil && !unpacked {
		time.Sleep(rand.N(10 * time.Millisecond)) //nolint:gosec // spreads claimers, keeps no secret
	}
	return err
}

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
		d.fronts.forget(pool)
	}
	return next, err
}

// claimFast is the claim of a line with which nothing has happened yet, from a pool that has enough keys: a look, a
// statement that takes the keys and books them, and one that stores the e-mail. ok is false when a precondition failed or
// the outcome is unknown; the caller falls back to claim.
func (d *DB) claimFast(ctx context.Context, fulfillmentID string, render func(MailFacts) ([]byte, error)) (next keyturn.Next, ok bool, err error) {
	l, err := d.look(ctx, fulfillmentID)
	if err != nil || !l.untouched() || l.next().Do != keyturn.DoClaim {
		return next, false, nil //nolint:nilerr // claim finds it too
	}
	pool := l.source().Pool
	l.markObtained()
	taken, err := d.claims.take(ctx, d, pool, &claimant{id: l.ID, units: l.units(), came: l.CreatedAt, line: l})
	if err != nil || len(taken) == 0 {
		return next, false, nil //nolint:nilerr // claim looks at what is true, under the line's lock
	}
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
	taken, err := d.take(ctx, tx, pool, wantedBy(l.ID, 0, l.units(), earlier))
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
	return nil, contendedFor(ctx, tx, pool, l.units(), l.units())
}

// contendedFor says why a pool gave nothing to somebody who wants n keys, of units for the whole line: nil, if it has too
// few. SKIP LOCKED passes over keys that a transaction holds and may yet give back; only a plain count says "empty".
func contendedFor(ctx context.Context, tx *sqlx.Tx, pool string, n, units int) error {
	have, err := stockFor(ctx, tx, pool, n)
	if err == nil && have >= n {
		return &contended{pool, units}
	}
	return err
}

// stockFor counts the keys that a pool can give now, up to n.
func stockFor(ctx context.Context, q sqlx.QueryerContext, pool string, n int) (int, error) {
	rows, packed, err := stockOf(ctx, q, pool, n)
	return min(n, rows+packed), err
}

// stockOf counts the keys that have rows of their own, up to n, and those that lie in packs, until there are n.
func stockOf(ctx context.Context, q sqlx.QueryerContext, pool string, n int) (rows, packed int, err error) {
	err = q.QueryRowxContext(ctx, `
		SELECT (SELECT count(*) FROM (`+rowsForSaleSQL+`) AS rows_for_sale), (
			SELECT coalesce(sum(n), 0) FROM (
				SELECT cardinality(ends) - cardinality(gone) AS n FROM key_packs WHERE pool_id = $1`+notRecalledSQL+` ORDER BY position LIMIT $2) AS packs)`, pool, n).Scan(&rows, &packed)
	return rows, packed, err
}

// take takes keys from the front of the queue, all that are wanted or none.
func (d *DB) take(ctx context.Context, tx pg.Queryer, pool string, n wanted) ([]pooledKey, error) {
	for from := d.fronts.look(pool, len(n.lines)); ; from = positionStart {
		var w pg.StmtBuilder
		n.takes(&w, pool, from, "")
		taken, err := d.taken(ctx, tx, &w, pool, from)
		if err != nil || len(taken) > 0 || from == positionStart {
			return taken, err
		}
	}
}

// taken runs a statement that takes keys, which began to look at from.
func (d *DB) taken(ctx context.Context, s pg.Queryer, w *pg.StmtBuilder, pool string, from int64) (taken []pooledKey, err error) {
	start := time.Now()
	if err := w.Select(ctx, s, &taken, takenSQL, pool); err != nil || len(taken) == 0 {
		d.fronts.forget(pool)
		return nil, err
	}
	last := from
	for _, k := range taken {
		last = max(last, k.Position)
	}
	d.fronts.took(pool, from, last, time.Since(start))
	return taken, nil
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
