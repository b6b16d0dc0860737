package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// blankChunk bounds one transaction that blanks links: each is opened and sealed anew.
const blankChunk = 200

// blankLinks removes whom links were for that ended unused so long ago, with the data that came along. What they sold
// stays. It says how many there were. One that cannot be opened does not stop the others.
func (d *DB) blankLinks(ctx context.Context, age time.Duration) (n int64, err error) {
	var failed error
	after, afterID := time.Time{}, ""
	for {
		var rows []linkRow
		var ids []string
		err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
			rows, ids = nil, nil
			if err := tx.SelectContext(ctx, &rows, linkColumns+`k.status IN ('EXPIRED', 'CANCELED') AND k.blanked_at IS NULL
				AND k.ended_at < now() - make_interval(secs => $1) AND (k.ended_at, k.id) > ($2, $3)
				ORDER BY k.ended_at, k.id LIMIT $4 FOR UPDATE OF k SKIP LOCKED`,
				age.Seconds(), after, afterID, blankChunk); err != nil || len(rows) == 0 {
				return err
			}
			var specs pq.ByteaArray
			for _, row := range rows {
				spec, err := d.blankSpec(row)
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("link %s cannot be blanked: %w", row.ID, err))
					continue
				}
				ids, specs = append(ids, row.ID), append(specs, spec)
			}
			_, err := tx.ExecContext(ctx, `
				UPDATE checkout_links k SET spec = b.spec, blanked_at = now()
				FROM unnest(CAST($1 AS text[]), CAST($2 AS bytea[])) AS b (id, spec) WHERE k.id = b.id`, pq.Array(ids), specs)
			return err
		})
		if err != nil {
			return n, errors.Join(failed, err)
		}
		if n += int64(len(ids)); len(rows) < blankChunk {
			return n, failed
		}
		last := rows[len(rows)-1]
		after, afterID = *last.EndedAt, last.ID
	}
}

// blankSpec is what is left of a link: what it sold.
func (d *DB) blankSpec(row linkRow) ([]byte, error) {
	spec, _, dk, err := d.openSpec(row)
	if keyturn.KindOf(err) == keyturn.KindErased {
		return []byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	spec.Customer, spec.AdditionalData = keyturn.Customer{}, nil
	plain, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	return dk.Seal(plain, "checkout_links/"+row.ID)
}

// tidyPaymentsSQL blanks payments of which no order came, with their e-mails. What belongs to the books stays.
const tidyPaymentsSQL = `
	WITH due AS MATERIALIZED (
		SELECT p.id FROM payments p
		WHERE p.order_id IS NULL AND p.blanked_at IS NULL AND p.ended_at < now() - make_interval(secs => $1)
			AND NOT EXISTS (SELECT FROM payment_refunds r WHERE r.payment_id = p.id AND r.status = 'PENDING')
			AND NOT EXISTS (SELECT FROM payment_mails m WHERE m.payment_id = p.id AND m.due_at IS NOT NULL)
		ORDER BY p.ended_at LIMIT $2 FOR UPDATE OF p SKIP LOCKED
	), from_where AS (
		DELETE FROM access_log a USING due WHERE a.what = '` + whatOrdered + `' AND a.subject = 'payment/' || due.id
	), told AS (
		UPDATE payment_mails m SET message = '' FROM due WHERE m.payment_id = due.id AND m.message <> ''
	)
	UPDATE payments p SET snapshot = '', session_url = NULL, blanked_at = now() FROM due WHERE p.id = due.id`
