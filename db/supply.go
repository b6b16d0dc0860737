package db

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// supply makes the keys that a person stored for the decision the line's deliverable and abandons its source. Keys that
// others stored for the line go: they are not used.
func (d *DB) supply(ctx context.Context, tx *sqlx.Tx, l *line, stored, by, reason string) error {
	parts, stored, err := storedKeys(ctx, tx, l, stored)
	if err != nil {
		return err
	}
	if len(parts) != l.units() {
		return keyturn.Errorf(keyturn.KindConflict,
			"the line needs %d keys and %d are stored for it: send them with the resolution to the API or with `keyturn "+
				"resolve`", l.units(), len(parts))
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
	if err := takeSupply(ctx, tx, l, stored, parts); err != nil {
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

// storedKeys are the keys that were stored for a decision, or, if there are none, for one without an ID. It names the
// decision that has them.
func storedKeys(ctx context.Context, tx *sqlx.Tx, l *line, resolution string) ([]part, string, error) {
	var rows []struct {
		Resolution  string `db:"resolution"`
		UnitNo      int    `db:"unit_no"`
		Fingerprint []byte `db:"fingerprint"`
	}
	err := tx.SelectContext(ctx, &rows, `
		SELECT resolution, unit_no, fingerprint FROM supplies WHERE line_id = $1 AND resolution IN ($2, '')
		ORDER BY resolution DESC, unit_no`, l.ID, resolution)
	var parts []part
	for _, r := range rows {
		if r.Resolution == rows[0].Resolution {
			resolution = r.Resolution
			parts = append(parts, part{unit: r.UnitNo, kind: "code", fingerprint: r.Fingerprint})
		}
	}
	return parts, resolution, err
}

// takeSupply makes the keys that are stored for a decision the line's. KindConflict if one is another line's by now.
func takeSupply(ctx context.Context, tx *sqlx.Tx, l *line, resolution string, parts []part) error {
	var w pg.StmtBuilder
	allowed := l.appendKnown(&w, parts)
	w.With("stored", `DELETE FROM supplies WHERE line_id = ? RETURNING resolution, line_id, unit_no, content, fingerprint`,
		l.ID)
	w.With("taken", `
		INSERT INTO deliverables (line_id, unit_no, kind, content, fingerprint, source, shared)
		SELECT line_id, unit_no, 'code', content, fingerprint, 'supplied',
			(SELECT why FROM known WHERE code = fingerprint LIMIT 1)
		FROM stored WHERE resolution = ?`+allowed, resolution)
	var refused []knownCode
	if err := w.Select(ctx, tx, &refused, refusedSQL); err != nil || len(refused) == 0 {
		return err
	}
	return keyturn.Errorf(keyturn.KindConflict, "one of the keys is not free: %s", refused[0].holder())
}

// StageSupply stores keys for a line, encrypted, so that the decision which uses them can travel without them. They are
// used by the decision with the ID, and no other, and take the place of what was stored for it before. KindInvalid
// unless there is one clean key per unit that nobody else has; KindConflict where the line's status takes no keys.
func (d *DB) StageSupply(ctx context.Context, fulfillmentID, resolutionID string, keys []string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(ctx, tx, fulfillmentID)
		if err != nil {
			return err
		}
		if !keyturn.ActionSupply.Allows(l.Status) {
			return keyturn.Errorf(keyturn.KindConflict, "a line that is %s does not take %s", l.Status, keyturn.ActionSupply)
		}
		if l.ObtainedAt != nil {
			return keyturn.Errorf(keyturn.KindConflict,
				"the line has its keys already: only their e-mail is late; use resend or retry")
		}
		if l.isNotice() {
			return keyturn.Errorf(keyturn.KindConflict, "a %s brings no keys", l.Operation)
		}
		keys, err := d.checkSupply(ctx, tx, l, keys)
		if err != nil {
			return err
		}
		dk, err := d.keyOfCustomer(ctx, tx, l.CustomerID)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM supplies WHERE line_id = $1 AND resolution = $2`, l.ID,
			resolutionID); err != nil {
			return err
		}
		for i, k := range keys {
			sealed, err := dk.Seal([]byte(k), partOf(l.ID, i, "code"))
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO supplies (line_id, resolution, unit_no, content, fingerprint) VALUES ($1, $2, $3, $4, $5)`,
				l.ID, resolutionID, i, sealed, d.keys.Fingerprint(k)); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkSupply says what is wrong with a person's keys, and gives them as they are kept.
func (d *DB) checkSupply(ctx context.Context, tx *sqlx.Tx, l *line, keys []string) ([]string, error) {
	var bad keyturn.Problems
	bad.Check(len(keys) == l.units(), "keys", "must be %d, one per unit, not %d", l.units(), len(keys))
	keys = slices.Clone(keys)
	seen := map[string]bool{}
	var units []int64
	var codes [][]byte
	for i, k := range keys {
		at := fmt.Sprintf("keys[%d]", i)
		k, err := keyturn.CleanKey(k)
		if err != nil {
			bad.Addf(at, "%s", err.Error())
			continue
		}
		keys[i] = k
		bad.Check(k != "", at, "must not be blank")
		bad.Check(!seen[k] || l.product.VolumeCodes, at, "stands here twice")
		seen[k] = true
		units, codes = append(units, int64(i)), append(codes, d.keys.Fingerprint(k))
	}
	var refused []struct {
		knownCode

		Code []byte `db:"code"`
	}
	if err := tx.SelectContext(ctx, &refused, `
		SELECT code, of_pool, of_order FROM known_codes($1, $2, $3, $4) WHERE refused`,
		l.ID, pq.Array(units), pq.Array(codes), l.product.VolumeCodes); err != nil {
		return nil, err
	}
	for _, r := range refused {
		for i, code := range codes {
			if slices.Equal(code, r.Code) {
				bad.Addf(fmt.Sprintf("keys[%d]", units[i]), "is not free: %s", r.holder())
				break
			}
		}
	}
	return keys, bad.Err("the keys are not valid")
}

// DropSupply removes the keys that were stored for a decision which was refused. Idempotent.
func (d *DB) DropSupply(ctx context.Context, fulfillmentID, resolutionID string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			DELETE FROM supplies WHERE resolution = $2
				AND line_id = (SELECT id FROM line_items WHERE fulfillment_id = $1)`, fulfillmentID, resolutionID)
		return err
	})
}
