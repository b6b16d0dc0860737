package db

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// takeKeysSQL takes the next keys of a pool for a line, all it needs or none, unless a line that was accepted before $5
// waits for the pool. MATERIALIZED keeps PostgreSQL from running the locking sub-select more than once (it may, and then
// locks more rows than it returns); the slot of the stock figures is any, so that claimers rarely meet there.
const takeKeysSQL = `
	WITH c AS MATERIALIZED (
		SELECT id FROM pool_keys
		WHERE pool_id = $1 AND state = 'available'
			AND NOT EXISTS (SELECT FROM line_items WHERE waiting_pool = $1 AND (created_at, id) < ($5, $3))
		ORDER BY position
		LIMIT $2
		FOR UPDATE SKIP LOCKED
	), numbered AS (
		SELECT id, row_number() OVER (ORDER BY id) - 1 AS unit_no, count(*) OVER () AS found FROM c
	), taken AS (
		UPDATE pool_keys k SET state = 'claimed', line_id = $3, unit_no = n.unit_no, changed_at = now()
		FROM numbered n WHERE k.id = n.id AND k.state = 'available' AND n.found = $2
		RETURNING k.unit_no, k.content, k.fingerprint
	), stock AS (
		UPDATE pool_stock SET available = available - $2, claimed = claimed + $2
		WHERE pool_id = $1 AND slot = $4 AND EXISTS (SELECT FROM taken)
	)
	SELECT p.id AS pool_id, p.data_key, t.content, t.fingerprint FROM taken t JOIN pools p ON p.id = $1 ORDER BY t.unit_no`

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
	next, err = d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		out = nil
		if stopped, err := d.stop(ctx, tx, l, keyturn.DoClaim); stopped || err != nil {
			return err
		}
		l.WakeAt = nil
		l.Attempts++
		pool := l.source().Pool
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
	return out, next, err
}

// takeKeys claims all units of the line and decrypts them, or claims nothing. Lines that were accepted before earlier and
// wait for the pool come first. Claiming twice is prevented by the line's status and a unique index.
func (d *DB) takeKeys(ctx context.Context, tx *sqlx.Tx, l *line, pool string, earlier time.Time) ([]keyturn.Secret, error) {
	var taken []pooledKey
	if err := tx.SelectContext(ctx, &taken, takeKeysSQL, pool, l.units(), l.ID, slotOf(l), earlier); err != nil {
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
	var n int
	err = tx.GetContext(ctx, &n, `
		SELECT count(*) FROM (SELECT FROM pool_keys WHERE pool_id = $1 AND state = 'available' LIMIT $2) AS left_over`, pool, l.units())
	if err == nil && n >= l.units() {
		err = errContended
	}
	return nil, err
}

// othersWait says whether a line that was accepted earlier waits for the same pool.
func othersWait(ctx context.Context, tx *sqlx.Tx, l *line, pool string, earlier time.Time) (bool, error) {
	var waits bool
	err := tx.GetContext(ctx, &waits, `
		SELECT EXISTS (SELECT FROM line_items WHERE waiting_pool = $1 AND (created_at, id) < ($2, $3))`, pool, earlier, l.ID)
	return waits, err
}

// freeKeys ends a line's hold on its pool keys when it is given up: those that nobody can have seen go back to the pool,
// in their old place in the queue; the others are quarantined for ever. An e-mail that is still SENDING here is one whose
// process died: nobody knows whether it went out, so its keys count as seen.
func freeKeys(ctx context.Context, tx *sqlx.Tx, l *line) error {
	_, err := tx.ExecContext(ctx, `
		WITH seen AS (
			SELECT EXISTS (SELECT FROM deliveries WHERE line_id = $1 AND kind = 'keys' AND (exposed OR status IN ('SENDING', 'SENT')))
				OR EXISTS (SELECT FROM access_log WHERE line_id = $1) AS yes
		), freed AS (
			UPDATE pool_keys k SET
				state = CASE WHEN seen.yes THEN 'quarantined' ELSE 'available' END,
				line_id = CASE WHEN seen.yes THEN k.line_id END,
				unit_no = CASE WHEN seen.yes THEN k.unit_no END,
				changed_at = now()
			FROM seen, (SELECT id, state FROM pool_keys WHERE line_id = $1 FOR UPDATE) old
			WHERE k.id = old.id AND k.state IN ('claimed', 'delivered')
			RETURNING k.pool_id, old.state AS was, k.state AS became
		), sums AS (
			SELECT pool_id, count(*) FILTER (WHERE became = 'available') AS back, count(*) FILTER (WHERE became = 'quarantined') AS gone,
				count(*) FILTER (WHERE was = 'claimed') AS claimed, count(*) FILTER (WHERE was = 'delivered') AS delivered
			FROM freed GROUP BY pool_id
		)
		UPDATE pool_stock s SET available = s.available + back, quarantined = s.quarantined + gone,
			claimed = s.claimed - sums.claimed, delivered = s.delivered - sums.delivered
		FROM sums WHERE s.pool_id = sums.pool_id AND s.slot = $2`, l.ID, slotOf(l))
	return err
}

// serveWaiting gives keys to the lines that wait for a pool, first come, first served, until the keys or the lines run
// out or limit lines were served. It returns the fulfillments served; their workflows are woken by the relay.
func (d *DB) serveWaiting(ctx context.Context, tx *sqlx.Tx, pool, by string, limit int) ([]string, error) {
	var ids []string
	if err := tx.SelectContext(ctx, &ids, `
		SELECT fulfillment_id FROM line_items WHERE waiting_pool = $1
		ORDER BY created_at, id LIMIT $2
		FOR UPDATE`, pool, limit); err != nil {
		return nil, err
	}
	var served []string
	for _, id := range ids {
		l, err := lockLine(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if l.Status != keyturn.LineWaitingForStock || l.CancelReason != nil {
			continue
		}
		keys, err := d.takeKeys(ctx, tx, l, pool, time.Time{}) // those before it were served in this loop
		if err != nil && !errors.Is(err, errContended) {
			return nil, err
		}
		if keys == nil { // or others hold the keys for a moment: the relay looks again soon
			break
		}
		l.obtained()
		l.WakeAt = &l.Now
		if err := l.save(ctx, tx, by, "served from new stock"); err != nil {
			return nil, err
		}
		served = append(served, id)
	}
	return served, nil
}

// stockSlots is in how many rows the figures of a pool are kept.
const stockSlots = 16

// slotOf spreads lines over the slots by the last, random, digit of their UUID.
func slotOf(l *line) int {
	slot, _ := strconv.ParseUint(l.ID[len(l.ID)-1:], 16, 8)
	return int(slot % stockSlots)
}
