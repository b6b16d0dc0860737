package db

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// Resolve carries out a person's decision on a line and records who decided and why. Repeating a decision with the same
// ID changes nothing. KindConflict where the line's status does not allow it, KindInvalid for a malformed one.
func (d *DB) Resolve(ctx context.Context, fulfillmentID string, r keyturn.Resolution) (keyturn.Next, error) {
	return d.step(ctx, fulfillmentID, func(tx *sqlx.Tx, l *line) error {
		if err := r.Check(); err != nil {
			return err
		}
		if err := r.CheckUntil(l.Now); err != nil {
			return err
		}
		if r.ID == "" {
			r.ID = newID()
		}
		r.Reason = l.words(r.Reason)
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM resolutions WHERE line_id = $1 AND id = $2)`, l.ID,
			r.ID); err != nil || known {
			return err
		}
		if !r.Action.Allows(l.Status) {
			return keyturn.Errorf(keyturn.KindConflict, "a line that is %s does not take %s", l.Status, r.Action)
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO resolutions (line_id, id, action, until, reason, by) VALUES ($1, $2, $3, $4, $5, $6)`,
			l.ID, r.ID, r.Action, r.Until, r.Reason, r.By); err != nil {
			return err
		}
		return d.apply(ctx, tx, l, r)
	})
}

func (d *DB) apply(ctx context.Context, tx *sqlx.Tx, l *line, r keyturn.Resolution) error {
	by := r.By
	if by == "" {
		by = "operator"
	}
	reason := string(r.Action)
	if r.Reason != "" {
		reason += ": " + r.Reason
	}
	l.WakeAt = nil
	switch r.Action {
	case keyturn.ActionRefund:
		return d.giveUp(ctx, tx, l, by, reason, "")
	case keyturn.ActionSupply:
		return d.supply(ctx, tx, l, by, reason)
	case keyturn.ActionRetry, keyturn.ActionRelease:
		l.NextAttemptAt, l.HeldUntil = nil, nil
		if l.Status == keyturn.LineHeld {
			if err := releaseRestored(ctx, tx, l); err != nil {
				return err
			}
			l.Status = keyturn.LineRetrying
		}
		if l.next().Do == keyturn.DoCall && l.source().Type.HasIntegration() { // whatever the queue and the breaker say
			if err := queue(ctx, tx, l, l.Now, true); err != nil {
				return err
			}
		}
	case keyturn.ActionHold:
		l.Status, l.HeldUntil, l.WaitingPool = keyturn.LineHeld, r.Until, nil
	case keyturn.ActionExtend:
		l.ExtendedUntil, l.GiveUpAt = r.Until, *r.Until
		if l.NextAttemptAt != nil && l.NextAttemptAt.After(*r.Until) {
			l.NextAttemptAt = r.Until
		}
	}
	return l.save(ctx, tx, by, reason)
}

// supply makes the stored keys of a person the line's deliverable and abandons its source.
func (d *DB) supply(ctx context.Context, tx *sqlx.Tx, l *line, by, reason string) error {
	var n int
	if err := tx.GetContext(ctx, &n, `SELECT count(*) FROM supplies WHERE line_id = $1`, l.ID); err != nil {
		return err
	}
	if n != l.units() {
		return keyturn.Errorf(keyturn.KindConflict,
			"the line needs %d keys and %d are stored for it: send them with the resolution to the API or with `keyturn "+
				"resolve`", l.units(), n)
	}
	if l.ObtainedAt != nil {
		return keyturn.Errorf(keyturn.KindConflict,
			"the line has its keys already: only their e-mail is late; use resend or retry")
	}
	if l.Blocked {
		return keyturn.Errorf(keyturn.KindConflict,
			"the line waits until the operations before it on the same licence are decided: supply its keys then")
	}
	if err := abandonSource(ctx, tx, l); err != nil {
		return err
	}
	if err := closeLineAlert(ctx, tx, l, keyturn.AlertManual); err != nil { // the others end with the line
		return err
	}
	if _, err := tx.ExecContext(ctx, `
		WITH taken AS (DELETE FROM supplies WHERE line_id = $1 RETURNING line_id, unit_no, content, fingerprint)
		INSERT INTO deliverables (line_id, unit_no, kind, content, fingerprint, source)
			SELECT line_id, unit_no, 'code', content, fingerprint, 'supplied' FROM taken`, l.ID); err != nil {
		return err
	}
	if l.LicenseID == nil || l.operation() == keyturn.OpUpgrade { // no source knows the licence: it is in a person's hands
		if _, err := tx.ExecContext(ctx, `UPDATE line_items SET license_source = 'manual' WHERE id = $1`, l.ID); err != nil {
			return err
		}
	}
	l.markObtained()
	return l.save(ctx, tx, by, reason)
}

// StageSupply stores keys for a line, encrypted, so that the decision which uses them can travel without them. It takes
// the place of what was stored before. KindInvalid unless there is one clean key per unit; KindConflict where the
// line's status takes no keys.
func (d *DB) StageSupply(ctx context.Context, fulfillmentID string, keys []string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		if !keyturn.ActionSupply.Allows(l.Status) {
			return keyturn.Errorf(keyturn.KindConflict, "a line that is %s does not take %s", l.Status, keyturn.ActionSupply)
		}
		if l.isNotice() {
			return keyturn.Errorf(keyturn.KindConflict, "a %s brings no keys", l.Operation)
		}
		var bad keyturn.Problems
		bad.Check(len(keys) == l.units(), "keys", "must be %d, one per unit, not %d", l.units(), len(keys))
		seen := map[string]bool{}
		keys := slices.Clone(keys)
		for i, k := range keys {
			at := fmt.Sprintf("keys[%d]", i)
			k, err := keyturn.CleanKey(k)
			if err != nil {
				bad.Addf(at, "%s", err.Error())
				continue
			}
			keys[i] = k
			bad.Check(k != "", at, "must not be blank")
			bad.Check(!seen[k], at, "stands here twice")
			seen[k] = true
			var pool []string
			if err := tx.SelectContext(ctx, &pool, `
				SELECT pool_id FROM pool_keys
				WHERE fingerprint = $1 AND state <> 'withdrawn'
					AND NOT (state = 'quarantined' AND line_id IS NULL)`, d.keys.Fingerprint(k)); err != nil {
				return err
			}
			bad.Check(len(pool) == 0, at, "is a key of a pool, which sells or sold it by itself")
		}
		if err := bad.Err("the keys are not valid"); err != nil {
			return err
		}
		dk, err := d.keyOfCustomer(ctx, tx, l.CustomerID)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM supplies WHERE line_id = $1`, l.ID); err != nil {
			return err
		}
		for i, k := range keys {
			sealed, err := dk.Seal([]byte(k), partOf(l.ID, i, "code"))
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx,
				`INSERT INTO supplies (line_id, unit_no, content, fingerprint) VALUES ($1, $2, $3, $4)`, l.ID, i, sealed,
				d.keys.Fingerprint(k)); err != nil {
				return err
			}
		}
		return nil
	})
}
