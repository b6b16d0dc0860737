package db

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/stock"
)

// OweReplacements books that a line's customer is to get other keys instead of those of some units, or of all when none
// is named, because they leaked. ReplaceOwed gives them. Idempotent. KindNotFound; KindConflict when the line has no
// keys of a pool.
func (d *DB) OweReplacements(ctx context.Context, fulfillmentID string, units []int, reason, by string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		if l.erased() {
			return keyturn.Errorf(keyturn.KindErased,
				"the customer was erased: nobody knows where to send other keys. Cancel the order, or have the key blocked")
		}
		if l.ObtainedAt == nil || l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled {
			return keyturn.Errorf(keyturn.KindConflict, "the line is %s: it has no keys to replace", l.Status)
		}
		if retired, err := isRetired(ctx, tx, l); err != nil || retired {
			return cmp.Or(err, error(keyturn.Errorf(keyturn.KindConflict,
				"an upgrade has taken the place of the line's keys: replace those of the upgrade")))
		}
		var ids []int64
		if err := tx.SelectContext(ctx, &ids, `
			INSERT INTO replacements (key_id, batch_id, pool_id, line_id, unit_no, status, reason, by)
			SELECT id, batch_id, pool_id, line_id, unit_no, 'OWED', $2, $3 FROM pool_keys
			WHERE line_id = $1 AND state IN ('claimed', 'delivered') AND (CAST($4 AS int[]) IS NULL OR unit_no = ANY($4))
			ON CONFLICT (key_id) DO UPDATE SET status = CASE WHEN replacements.status = 'LISTED' THEN 'OWED'
				ELSE replacements.status END
			RETURNING key_id`, l.ID, reason, by, pq.Array(units)); err != nil {
			return err
		}
		if len(ids) == 0 || len(units) > 0 && len(ids) != len(units) {
			return keyturn.Errorf(keyturn.KindConflict,
				"the line has no key of a pool for each of these units: what a partner or a person gave, they replace")
		}
		return nil
	})
}

// OweReplacementOf is OweReplacements of the one who has this key. It names the fulfillment. KindConflict when it is
// nobody's: it can be put aside.
func (d *DB) OweReplacementOf(ctx context.Context, pool, key, reason, by string) (fulfillmentID string, err error) {
	fulfillmentID, unit, err := d.stock.Holder(ctx, pool, key)
	if err != nil {
		return "", err
	}
	return fulfillmentID, d.OweReplacements(ctx, fulfillmentID, []int{unit}, reason, by)
}

// Replacements shows what became of a line's replaced keys.
func (d *DB) Replacements(ctx context.Context, fulfillmentID string) ([]keyturn.RecalledKey, error) {
	out := []keyturn.RecalledKey{}
	if _, ok := canonicalID(fulfillmentID); !ok {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "there is no fulfillment %s", fulfillmentID)
	}
	return out, pg.AsKind(d.pg.SelectContext(ctx, &out, `
		SELECT l.order_id, l.fulfillment_id, r.unit_no AS unit, r.status, r.done_at FROM replacements r
			JOIN line_items l ON l.id = r.line_id
		WHERE l.fulfillment_id = $1 ORDER BY r.created_at, r.key_id`, fulfillmentID))
}

// replaceAgain is when giving a line its new keys is tried again that failed for another reason than too few keys.
const replaceAgain = time.Minute

// dueSQL are the lines that may get their new keys now: those that have waited longest first, and those of which it
// failed before last. A line that needs more keys than its pool has is not among them.
const dueSQL = `
	WITH pools AS MATERIALIZED (
		SELECT p.pool_id, (SELECT count(*) FROM (SELECT FROM pool_keys k WHERE k.pool_id = p.pool_id
			AND k.state = 'available'` + stock.NotRecalledSQL + ` LIMIT p.most) n) AS have
		FROM (SELECT pool_id, max(units) AS most FROM (SELECT pool_id, count(*) AS units FROM replacements
			WHERE status = 'OWED' GROUP BY pool_id, line_id) o GROUP BY pool_id) p
	)
	SELECT l.fulfillment_id FROM replacements r JOIN line_items l ON l.id = r.line_id JOIN orders o ON o.id = l.order_id
		JOIN pools p ON p.pool_id = r.pool_id
	WHERE r.status = 'OWED' AND l.status IN ('DELIVERED', 'CANCELING', 'CANCELED')
		AND (r.failed_at IS NULL OR r.failed_at < now() - make_interval(secs => $2))
	GROUP BY l.fulfillment_id
	HAVING bool_or(l.status <> 'DELIVERED' OR o.customer = '') OR count(*) <= max(p.have)
	ORDER BY bool_or(r.failed_at IS NOT NULL), min(r.created_at), min(r.key_id) LIMIT $1`

// ReplaceOwed gives up to limit lines their new keys, as far as the pools have some, and stores the e-mail that tells
// the customer; the relay has it sent. It returns how many lines it served. A line of which it fails keeps no other
// waiting: the error tells of all of them, and they are tried again later.
func (d *DB) ReplaceOwed(ctx context.Context, limit int, render RenderMail) (int, error) {
	var due []string
	if err := d.pg.SelectContext(ctx, &due, dueSQL, limit, replaceAgain.Seconds()); err != nil {
		return 0, pg.AsKind(err)
	}
	n := 0
	var failed []error
	for _, f := range due {
		err := d.replace(ctx, f, render)
		switch {
		case err == nil:
			n++
		case errors.Is(err, errTooFew): // smaller ones behind it may be served
		case !d.answers(ctx): // of the database, not of the line
			return n, errors.Join(append(failed, err)...)
		default:
			failed = append(failed, fmt.Errorf("fulfillment %s: %w", f, err), d.replaceFailed(ctx, f))
		}
	}
	return n, errors.Join(failed...)
}

// answers says whether the database does: if so, what failed was the fault of what was tried.
func (d *DB) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var one int
	return d.pg.GetContext(ctx, &one, `SELECT 1`) == nil
}

// replaceFailed notes that giving a line its new keys failed.
func (d *DB) replaceFailed(ctx context.Context, fulfillmentID string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE replacements SET failed_at = now() WHERE status = 'OWED'
				AND line_id = (SELECT id FROM line_items WHERE fulfillment_id = $1)`, fulfillmentID)
		return err
	})
}

// errTooFew: the pool has fewer keys than a line needs. The line's keys stay what they are, and the line waits.
var errTooFew = fmt.Errorf("the pool has too few keys: %w", pg.ErrRollback)

// oweRow is a key that is to be replaced.
type oweRow struct {
	KeyID  int64  `db:"key_id"`
	PoolID string `db:"pool_id"`
	UnitNo int    `db:"unit_no"`
	Reason string `db:"reason"`
	By     string `db:"by"`
}

// replace gives a line new keys for all of its keys that are to be replaced, in one transaction and one e-mail.
func (d *DB) replace(ctx context.Context, fulfillmentID string, render RenderMail) error {
	pools := []string{}
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		retired, err := isRetired(ctx, tx, l)
		if err != nil {
			return err
		}
		if retired || l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled || l.erased() {
			return voidReplacements(ctx, tx, l.ID)
		}
		var owed []oweRow
		if err := tx.SelectContext(ctx, &owed, `
			SELECT key_id, pool_id, unit_no, reason, by FROM replacements WHERE line_id = $1 AND status = 'OWED'
				ORDER BY unit_no FOR UPDATE`, l.ID); err != nil {
			return err
		}
		if l.Status != keyturn.LineDelivered || len(owed) == 0 {
			return nil
		}
		taken := make([]int64, len(owed))
		for i, o := range owed {
			pools = append(pools, o.PoolID)
			if taken[i], err = d.swap(ctx, tx, l, o); err != nil {
				return err
			}
		}
		mail, err := d.newDelivery(ctx, tx, l, newMail{kind: keyturn.DeliveryKeys, render: render})
		if err != nil {
			return err
		}
		for i, o := range owed {
			if err := pg.ExpectOne(tx.ExecContext(ctx, `
				UPDATE replacements SET status = 'DONE', new_key_id = $2, delivery_id = $3, done_at = now()
					WHERE key_id = $1`, o.KeyID, taken[i], mail.ID)); err != nil {
				return err
			}
		}
		return enqueue(ctx, tx, WorkflowSend, mail.ID)
	})
	if err != nil {
		for _, p := range pools { // what was taken is for sale again
			d.stock.Rewind(p)
		}
	}
	return err
}

var recallKeySQL = `
	WITH old AS MATERIALIZED (
		SELECT id, state FROM pool_keys WHERE id = $3 AND state IN ('claimed', 'delivered') FOR UPDATE
	), moved AS (
		UPDATE pool_keys k SET state = 'recalled', changed_at = now() FROM old WHERE k.id = old.id
		RETURNING k.id, k.pool_id, old.state AS was, k.state AS became, k.line_id, k.unit_no
	)` + stock.BookMovedSQL + ` SELECT count(*) FROM moved`

// swap recalls one key of a line and takes another one of the pool for its unit.
func (d *DB) swap(ctx context.Context, tx *sqlx.Tx, l *line, o oweRow) (int64, error) {
	var only string
	if err := tx.GetContext(ctx, &only, `SELECT coalesce(CAST(spec AS json) ->> 'currency', '') FROM pools WHERE id = $1`,
		o.PoolID); err != nil {
		return 0, err
	}
	if only != "" && only != l.Currency {
		return 0, keyturn.Errorf(keyturn.KindConfiguration, "pool %s sells in %s by now, and the line was bought in %s",
			o.PoolID,
			only, l.Currency)
	}
	var n int
	if err := tx.GetContext(ctx, &n, recallKeySQL, o.By, o.Reason, o.KeyID); err != nil {
		return 0, err
	}
	if n != 1 {
		return 0, keyturn.Errorf(keyturn.KindInternal, "key %d is to be replaced and is not its line's", o.KeyID)
	}
	taken, err := d.stock.Take(ctx, tx, stock.Claim{
		Pool: o.PoolID, Line: l.ID, FirstUnit: o.UnitNo, Units: 1,
		Replaces: true,
	})
	if err != nil {
		return 0, err
	}
	if len(taken) == 0 {
		return 0, errTooFew
	}
	return taken[0].KeyID, nil
}

// isRetired says whether an upgrade has made the line's keys its licence's no more.
func isRetired(ctx context.Context, tx *sqlx.Tx, l *line) (retired bool, err error) {
	err = tx.GetContext(ctx, &retired, `SELECT `+stock.RetiredSQL+` FROM line_items l WHERE l.id = $1`, l.ID)
	return retired, err
}

// voidReplacements ends what a line was owed that was refunded, whose keys an upgrade has retired, or whose customer
// was erased: nobody knows where to send other keys.
func voidReplacements(ctx context.Context, tx *sqlx.Tx, lineID string) error {
	_, err := tx.ExecContext(ctx,
		`UPDATE replacements SET status = 'VOID', done_at = now() WHERE line_id = $1 AND status IN ('OWED', 'LISTED')`,
		lineID)
	return err
}
