package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Erasure is the record that a person's data is gone: whose, by a keyed hash that only this installation's key file
// makes.
type Erasure struct {
	ID           string    `db:"id" json:"id"`
	CustomerHash []byte    `db:"customer_hash" json:"customerHash"`
	ErasedAt     time.Time `db:"erased_at" json:"erasedAt"` // of orders that were accepted until then
	Orders       int       `db:"orders" json:"orders"`
	Lines        int       `db:"lines" json:"lines"`
	By           string    `db:"by" json:"by"`
	// Repeated: there was nothing left to erase; this is the record of the erasure before.
	Repeated bool `db:"-" json:"repeated"`
}

// settled is how long a transaction that accepts an order may be under way.
const settled = 5 * time.Minute

// erasedText takes the place of words that a person wrote.
const erasedText = "[erased]"

// erased says that whom the line is for was erased. Only of a line that a step is for.
func (l *line) erased() bool { return len(l.CustomerSealed) == 0 }

// words are what a person wrote about the line, as far as they may be kept.
func (l *line) words(text string) string {
	if text != "" && l.erased() {
		return erasedText
	}
	return text
}

// EraseCustomer removes everything that says who a customer is: names and addresses, e-mails, what partners were asked
// and answered, what they issued, words that people wrote about it. The customer's data key goes too, so that copies of
// the rows elsewhere do not open. Orders, lines, money, steps and the keys of pools stay, under the customer's ID,
// which is the shop's own.
//
// KindNotFound for a customer who never ordered; KindConflict, naming the orders, while a line is undecided, an order
// is being cancelled, or something is owed to the customer or a partner. What comes up later for an erased order ends
// without the person: money goes back, partners are told under the fulfillmentId alone, nobody is sent an e-mail, and
// what people write about it is not kept. Repeating it changes nothing. A customer who orders again begins anew.
//
// With a prefix: KindNotFound for a customer without an order that has it, KindConflict for one who also has others,
// because a customer's data goes as a whole.
func (d *DB) EraseCustomer(ctx context.Context, prefix keyturn.Prefix, customerID, by string) (Erasure, error) {
	return d.erase(ctx, prefix, customerID, by, nil)
}

// erase erases what was accepted until a time; nil: until now.
func (d *DB) erase(ctx context.Context, prefix keyturn.Prefix, customerID, by string, until *time.Time,
) (Erasure, error) {
	if !keyturn.CleanText(customerID, 1, 200) {
		return Erasure{}, keyturn.Errorf(keyturn.KindNotFound, "there is no such customer")
	}
	// The orders are looked for before sales wait; those of the last minutes are looked for again while they wait.
	var before time.Time
	if err := d.pg.GetContext(ctx, &before, `SELECT now()`); err != nil {
		return Erasure{}, pg.AsKind(err)
	}
	var known []string
	if err := d.pg.SelectContext(ctx, &known, `SELECT id FROM orders WHERE customer_id = $1`, customerID); err != nil {
		return Erasure{}, pg.AsKind(err)
	}
	var out Erasure
	var wrapped []byte
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) (err error) {
		e := eraser{d: d, ctx: ctx, tx: tx, customerID: customerID, orders: known, since: before.Add(-settled)}
		if err := e.begin(until); err != nil {
			return err
		}
		wrapped = e.wrapped
		if err := e.refuseOthers(prefix); err != nil {
			return err
		}
		if err := e.refuseWhileOpen(); err != nil {
			return err
		}
		if err := e.refuseWhilePaying(); err != nil {
			return err
		}
		out, err = e.erase(by)
		return err
	})
	if err == nil {
		d.keys.Forget(wrapped, "customer/"+customerID)
	}
	return out, err
}

// eraser is one erasure under way.
type eraser struct {
	d          *DB
	ctx        context.Context //nolint:containedctx // of one transaction
	tx         *sqlx.Tx
	customerID string
	since      time.Time // orders accepted before are known
	until      time.Time
	orders     []string // accepted until then
	later      bool     // there are others
	wrapped    []byte
}

// begin takes the locks: on the customer, so that an order that is being accepted is either there or takes another key
// than the one that goes; and on the lines, which somebody may be working on.
func (e *eraser) begin(until *time.Time) error {
	var c struct {
		DataKey []byte    `db:"data_key"`
		Now     time.Time `db:"now"`
	}
	if err := e.tx.GetContext(e.ctx, &c,
		`SELECT data_key, clock_timestamp() AS now FROM customers WHERE id = $1 FOR UPDATE`, e.customerID); err != nil {
		return pg.NotFound(err, "there is no customer %s", e.customerID)
	}
	e.wrapped, e.until = c.DataKey, c.Now
	if until != nil {
		e.until = *until
	}
	var orders []struct {
		ID    string `db:"id"`
		Later bool   `db:"later"`
	}
	if err := e.tx.SelectContext(e.ctx, &orders, `
		SELECT id, created_at > $3 AS later FROM orders WHERE id = ANY($1)
		UNION SELECT id, created_at > $3 FROM orders WHERE created_at > $2 AND customer_id = $4`,
		pq.Array(e.orders), e.since, e.until, e.customerID); err != nil {
		return err
	}
	e.orders = nil
	for _, o := range orders {
		if o.Later {
			e.later = true
		} else {
			e.orders = append(e.orders, o.ID)
		}
	}
	_, err := e.tx.ExecContext(e.ctx, `SELECT FROM line_items WHERE order_id = ANY($1) ORDER BY id FOR UPDATE`,
		pq.Array(e.orders))
	return err
}

// refuseOthers refuses to erase for one merchant what is also another's.
func (e *eraser) refuseOthers(prefix keyturn.Prefix) error {
	own := 0
	for _, id := range e.orders {
		if prefix.Covers(id) {
			own++
		}
	}
	switch {
	case prefix == "" || own == len(e.orders) && own > 0:
		return nil
	case own == 0:
		return keyturn.Errorf(keyturn.KindNotFound, "there is no customer %s", e.customerID)
	}
	return keyturn.Errorf(keyturn.KindConflict, "customer %s has orders beyond %s, and a customer's data is erased as a "+
		"whole: have it erased with a token that has no prefix", e.customerID, prefix)
}

// openSQL: an e-mail that nobody takes is tried for three days, see workflows.SendFollowUpEmail.
const openSQL = `
	SELECT DISTINCT order_id, why FROM (
		SELECT l.order_id, 'a line is ' || l.status AS why FROM line_items l WHERE l.order_id = ANY($1)
			AND l.status NOT IN ('DELIVERED', 'CANCELED')
		UNION ALL
		SELECT l.order_id, 'a partner is still to be told to cancel' FROM revocations v JOIN line_items l ON l.id = v.line_id
			WHERE l.order_id = ANY($1) AND v.status = 'OWED'
		UNION ALL
		SELECT l.order_id, 'a recalled key is to be replaced from pool ' || r.pool_id FROM replacements r
			JOIN line_items l ON l.id = r.line_id WHERE l.order_id = ANY($1) AND r.status = 'OWED'
		UNION ALL
		SELECT o.id, 'it is being cancelled' FROM orders o WHERE o.id = ANY($1) AND o.cancel_reason IS NOT NULL
			AND o.status <> 'CANCELED'
		UNION ALL
		SELECT o.id, 'its payment is disputed' FROM ` + afterOrderSQL + `
			WHERE o.id = ANY($1) AND o.payment_id IS NULL AND a.kind = '` + afterDispute + `' AND a.status = 'open'
		UNION ALL
		SELECT l.order_id, 'an e-mail is on its way' FROM deliveries y JOIN line_items l ON l.id = y.line_id
			WHERE l.order_id = ANY($1) AND y.created_at > now() - interval '73 hours' AND ` + toFollowSQL + `
	) o ORDER BY order_id, why LIMIT 6`

// refuseWhilePaying refuses to erase a customer who is paying, or whose payment is not settled, not told of or
// disputed.
func (e *eraser) refuseWhilePaying() error {
	var links []string
	if err := e.tx.SelectContext(e.ctx, &links, `
		SELECT DISTINCT link_id FROM payments WHERE customer_id = $1 AND created_at <= $2 AND (status NOT IN ('CAPTURED',
				'VOIDED', 'LOST', 'EXPIRED', 'FAILED')
			OR EXISTS (SELECT FROM payment_refunds r WHERE r.payment_id = payments.id AND r.status = 'PENDING')
			OR EXISTS (SELECT FROM payment_mails m WHERE m.payment_id = payments.id AND m.due_at IS NOT NULL)
			OR EXISTS (SELECT FROM payment_aftermath a WHERE a.payment_id = payments.id AND a.kind = '`+afterDispute+`'
				AND a.status = 'open'))
		LIMIT 5`, e.customerID, e.until); err != nil || len(links) == 0 {
		return err
	}
	return keyturn.Errorf(keyturn.KindConflict,
		"a payment of the customer's checkout link is not settled or is disputed, or an e-mail about it is on its way (%s): "+
			"wait until it is", strings.Join(links, ", "))
}

func (e *eraser) refuseWhileOpen() error {
	var open []struct {
		OrderID string `db:"order_id"`
		Why     string `db:"why"`
	}
	if err := e.tx.SelectContext(e.ctx, &open, openSQL, pq.Array(e.orders)); err != nil || len(open) == 0 {
		return err
	}
	var named []string
	for i, o := range open {
		if i == 5 {
			named = append(named, "and more")
			break
		}
		named = append(named, o.OrderID+" ("+o.Why+")")
	}
	return keyturn.Errorf(keyturn.KindConflict,
		"the customer's data is still needed for %s: wait until it is decided, or decide it", strings.Join(named, ", "))
}

// eraseSQL blanks what is the customer's, wherever it stands. A row stays where something counts it; of a reason, what
// somebody added after our own words goes.
var eraseSQL = []string{
	`UPDATE idempotency_keys SET response = '' WHERE order_id = ANY($1) AND response <> ''`,
	`UPDATE library_links SET email_tag = NULL, message = '', ` + endLibrarySQL + `
		WHERE email_tag IN (SELECT email_tag FROM orders WHERE id = ANY($1))`,
	`UPDATE orders SET customer = '', email_tag = NULL, cancel_reason = split_part(cancel_reason, ': ', 1)
		WHERE id = ANY($1)`,
	`UPDATE deliverables SET content = '' WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`DELETE FROM supplies WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`DELETE FROM partner_requests WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE attempts SET reply = NULL, message = NULL, error_code = NULL
		WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE deliveries SET message = '' WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE bounces SET diagnostic = '' WHERE delivery_id IN (SELECT y.id FROM deliveries y
		JOIN line_items l ON l.id = y.line_id WHERE l.order_id = ANY($1))`,
	`UPDATE address_changes SET address = '', carry_at = NULL WHERE order_id = ANY($1)`,
	`UPDATE alerts SET close_reason = $2 WHERE close_reason IS NOT NULL
		AND line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE alerts SET close_reason = $2 WHERE close_reason IS NOT NULL AND cause IN (` + lastingCauses + `)
		AND subject IN (SELECT 'payment/' || payment_reference FROM orders WHERE id = ANY($1) AND payment_id IS NULL)`,
	`UPDATE access_log SET address = NULL WHERE address IS NOT NULL
		AND line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE key_log SET reason = $2 WHERE reason <> ''
		AND line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE replacements SET reason = $2, status = CASE WHEN status = 'LISTED' THEN 'VOID' ELSE status END,
			done_at = CASE WHEN status = 'LISTED' THEN now() ELSE done_at END
		WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE resolutions SET reason = $2 WHERE reason <> ''
		AND line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE refunds SET reason = split_part(reason, ': ', 1), confirm_reason = NULL
		WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE line_log SET reason = split_part(reason, ': ', 1)
		WHERE line_id IN (SELECT id FROM line_items WHERE order_id = ANY($1))`,
	`UPDATE event_deliveries SET reply = NULL WHERE reply IS NOT NULL
		AND event_id IN (SELECT id FROM events WHERE about = ANY($1))`,
}

// eraseLinksSQL blanks what is the customer's of checkout links and their payments.
var eraseLinksSQL = []string{
	`UPDATE checkout_links SET spec = '', end_reason = split_part(end_reason, ': ', 1),
			blanked_at = coalesce(blanked_at, now())
		WHERE customer_id = $1 AND created_at <= $2`,
	`UPDATE payments SET snapshot = '', session_url = NULL, blanked_at = coalesce(blanked_at, now())
		WHERE customer_id = $1 AND created_at <= $2`,
	`UPDATE access_log SET address = NULL WHERE what = '` + whatOrdered + `'
		AND subject IN (SELECT 'payment/' || id FROM payments WHERE customer_id = $1 AND created_at <= $2)`,
	`UPDATE payment_mails SET message = '', due_at = NULL, status = CASE WHEN status = 'SENDING' THEN 'READY' ELSE status END
		WHERE payment_id IN (SELECT id FROM payments WHERE customer_id = $1 AND created_at <= $2)`,
	`UPDATE library_links SET email_tag = NULL, message = '', ` + endLibrarySQL + `
		WHERE customer_id = $1 AND created_at <= $2`,
	`UPDATE alerts SET close_reason = '` + erasedText + `' WHERE close_reason IS NOT NULL
		AND cause IN (` + lastingCauses + `, '` + string(keyturn.AlertMismatch) + `')
		AND subject IN (SELECT 'payment/' || id FROM payments WHERE customer_id = $1 AND created_at <= $2)`,
	`UPDATE link_log SET reason = split_part(reason, ': ', 1)
		WHERE link_id IN (SELECT id FROM checkout_links WHERE customer_id = $1 AND created_at <= $2)`,
	`UPDATE event_deliveries SET reply = NULL WHERE reply IS NOT NULL AND event_id IN (SELECT id FROM events
		WHERE about IN (SELECT order_id FROM checkout_links WHERE customer_id = $1 AND created_at <= $2))`,
	`UPDATE payment_log SET reason = split_part(reason, ': ', 1)
		WHERE payment_id IN (SELECT id FROM payments WHERE customer_id = $1 AND created_at <= $2)`,
}

func (e *eraser) erase(by string) (Erasure, error) {
	hash := e.d.keys.MAC("erased/" + e.customerID)
	var left int
	if err := e.tx.GetContext(e.ctx, &left, `SELECT count(*) FROM orders WHERE id = ANY($1) AND customer <> ''`,
		pq.Array(e.orders)); err != nil {
		return Erasure{}, err
	}
	if left == 0 && (len(e.wrapped) == 0 || e.later) {
		return e.before(hash)
	}
	for i, query := range eraseSQL {
		args := []any{pq.Array(e.orders), erasedText}
		if !strings.Contains(query, "$2") {
			args = args[:1]
		}
		if _, err := e.tx.ExecContext(e.ctx, query, args...); err != nil {
			return Erasure{}, fmt.Errorf("erasing, part %d: %w", i, err)
		}
	}
	for i, query := range eraseLinksSQL {
		if _, err := e.tx.ExecContext(e.ctx, query, e.customerID, e.until); err != nil {
			return Erasure{}, fmt.Errorf("erasing links, part %d: %w", i, err)
		}
	}
	out := Erasure{ID: newID(), CustomerHash: hash, ErasedAt: e.until.UTC(), Orders: len(e.orders), By: by}
	if err := e.tx.GetContext(e.ctx, &out.Lines, `SELECT count(*) FROM line_items WHERE order_id = ANY($1)`,
		pq.Array(e.orders)); err != nil {
		return Erasure{}, err
	}
	if err := pg.ExpectOne(e.tx.ExecContext(e.ctx, `
		UPDATE customers SET erased_at = greatest(erased_at, $2), data_key = CASE WHEN $3 THEN data_key END,
			bad_address_tag = NULL
		WHERE id = $1`,
		e.customerID, e.until, e.later)); err != nil {
		return Erasure{}, err
	}
	_, err := e.tx.ExecContext(e.ctx,
		`INSERT INTO erasures (id, customer_hash, erased_at, orders, lines, by) VALUES ($1, $2, $3, $4, $5, $6)`,
		out.ID, out.CustomerHash, out.ErasedAt, out.Orders, out.Lines, out.By)
	return out, err
}

// before gives the record of the erasure that left nothing to erase.
func (e *eraser) before(hash []byte) (Erasure, error) {
	var found []Erasure
	err := e.tx.SelectContext(e.ctx, &found, `
		SELECT id, customer_hash, erased_at, orders, lines, by FROM erasures WHERE customer_hash = $1 ORDER BY erased_at DESC
			LIMIT 1`, hash)
	if err != nil || len(found) == 0 { // of a customer whose orders were all made later
		return Erasure{CustomerHash: hash, ErasedAt: e.until.UTC(), Repeated: true}, err
	}
	found[0].ErasedAt, found[0].Repeated = found[0].ErasedAt.UTC(), true
	return found[0], nil
}
