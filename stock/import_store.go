package stock

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

// store writes a chunk into the database.
func (im *importer) store(ctx context.Context, c chunk) error {
	rejected := c.bad
	if len(c.rows) > 0 {
		known, err := im.insert(ctx, c.rows)
		if err != nil {
			return err
		}
		rejected = slices.Concat(rejected, known)
	}
	im.reject(rejected)
	return nil
}

// reject counts rejected lines of a chunk, and lists the first ones of the file.
func (im *importer) reject(rejected []keyturn.RejectedKey) {
	slices.SortFunc(rejected, func(a, b keyturn.RejectedKey) int { return cmp.Compare(a.Line, b.Line) })
	for _, r := range rejected {
		im.out.Counts[r.Reason]++
		if len(im.out.Rejected) < maxListed {
			im.out.Rejected = append(im.out.Rejected, r)
		}
	}
}

// chunkAttempts bounds how often a chunk is tried: each attempt leaves out the keys that exist by then.
const chunkAttempts = 4

// insert stores the keys of a chunk that no pool has, and returns the others. COPY is several times as fast as
// INSERT, but fails at the first key that exists. So the existing keys are read first; a concurrent import can still
// add some before the COPY, which is then undone and repeated without them.
func (im *importer) insert(ctx context.Context, rows []newKey) (known []keyturn.RejectedKey, err error) {
	if err := im.openBatch(ctx); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		var fresh []newKey
		if fresh, known, err = im.partition(ctx, rows); err != nil || len(fresh) == 0 {
			return known, err
		}
		if _, err := im.tx.ExecContext(ctx, `SAVEPOINT chunk`); err != nil {
			return nil, err
		}
		err := im.copyKeys(ctx, fresh)
		if err == nil {
			im.out.Accepted += len(fresh)
			_, err = im.tx.ExecContext(ctx, `RELEASE SAVEPOINT chunk`)
			return known, err
		}
		if !pg.IsUniqueViolation(err, "pool_keys_once") || try == chunkAttempts {
			return nil, err
		}
		if _, err := im.tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT chunk`); err != nil {
			return nil, err
		}
	}
}

// openBatch stores the batch that the keys belong to. The IDs of its keys are greater than its first_key.
func (im *importer) openBatch(ctx context.Context) error {
	if im.opened {
		return nil
	}
	im.opened = true
	if err := im.checkPool(ctx, `KEY SHARE`); err != nil {
		return err
	}
	_, err := im.tx.ExecContext(ctx, `
		INSERT INTO batches (id, pool_id, accepted, rejected, created_by, first_key)
		VALUES ($1, $2, 0, 0, $3, nextval(CAST(pg_get_serial_sequence('pool_keys',
			'id') AS regclass)))`, im.batch, im.Pool, im.By)
	return err
}

// checkPool locks the pool and refuses the import if its entry in the catalog changed while the keys came: they were
// checked by what it demanded before, and are encrypted for the pool that it was. Until the lock ends nobody changes it
// (SHARE), or nobody deletes it (KEY SHARE), which lets lines be served meanwhile.
func (im *importer) checkPool(ctx context.Context, lock string) error {
	var asOf time.Time
	if err := im.tx.GetContext(ctx, &asOf, `SELECT updated_at FROM pools WHERE id = $1 FOR `+lock, im.Pool); err != nil {
		return pg.NotFound(err, "there is no pool %s in the catalog any more, nothing was stored", im.Pool)
	}
	if !asOf.Equal(im.asOf) {
		return keyturn.Errorf(keyturn.KindUnavailable,
			"the pool's entry in the catalog was changed while its keys were imported, nothing was stored: send them again")
	}
	return nil
}

// partition separates the keys that are new from those that a pool has, or that came earlier in the file.
func (im *importer) partition(
	ctx context.Context, rows []newKey,
) (fresh []newKey, known []keyturn.RejectedKey, err error) {
	fingerprints := make([][]byte, len(rows))
	for i := range rows {
		fingerprints[i] = rows[i].fingerprint[:]
	}
	var existing []struct {
		Fingerprint []byte         `db:"fingerprint"`
		PoolID      string         `db:"pool_id"`
		BatchID     string         `db:"batch_id"`
		LineID      sql.NullString `db:"line_id"`
	}
	if err := im.tx.SelectContext(ctx, &existing, `
		SELECT fingerprint, pool_id, CAST(batch_id AS text) AS batch_id, CAST(line_id AS text) AS line_id FROM pool_keys
		WHERE fingerprint = ANY($1) AND state <> 'withdrawn'
		UNION ALL
		SELECT fingerprint, '', '', CAST(line_id AS text) FROM (`+ofLinesSQL+`) y
		WHERE fingerprint = ANY($1)`, pq.Array(fingerprints)); err != nil {
		return nil, nil, err
	}
	reasons := make(map[[vault.FingerprintSize]byte]string, len(rows))
	for _, k := range existing {
		reason := keyturn.RowDuplicateInOtherPool
		switch {
		case k.BatchID == im.batch:
			reason = keyturn.RowDuplicateInFile
		case k.LineID.Valid:
			reason = keyturn.RowAlreadySold
		case k.PoolID == im.Pool:
			reason = keyturn.RowDuplicateInPool
		}
		reasons[[vault.FingerprintSize]byte(k.Fingerprint)] = reason
	}
	fresh = make([]newKey, 0, len(rows)-len(existing))
	for _, k := range rows {
		if reason, is := reasons[k.fingerprint]; is {
			known = append(known, keyturn.RejectedKey{Line: k.line, Reason: reason})
		} else {
			fresh = append(fresh, k)
		}
		reasons[k.fingerprint] = keyturn.RowDuplicateInFile // for the next one in the file
	}
	return fresh, known, nil
}

// copyKeys stores keys. Their IDs and positions come from sequences: the order of the file is the order of sale.
func (im *importer) copyKeys(ctx context.Context, keys []newKey) error {
	const query = `COPY pool_keys (pool_id, batch_id, fingerprint, content, expires_at, give_until) FROM STDIN`
	return pg.CopyRows(ctx, im.tx, query, func(yield func(func([]byte) []byte) bool) {
		for _, k := range keys {
			if !yield(func(text []byte) []byte {
				text = append(append(append(append(text, im.Pool...), '\t'), im.batch...), '\t')
				text = append(pg.AppendHex(text, k.fingerprint[:]), '\t')
				text = append(pg.AppendHex(text, k.content), '\t')
				text = append(pg.AppendTime(text, k.expires), '\t')
				return append(pg.AppendTime(text, im.until(k.expires)), '\n')
			}) {
				return
			}
		}
	})
}
