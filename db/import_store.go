package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// insert stores the keys of a chunk with COPY, which is several times as fast as INSERT but stops at the first key that is
// there already. So it is tried first, under a savepoint, where the chunk before was all new; otherwise, and when it
// stops, those that are there are looked for and left out.
func (im *importer) insert(ctx context.Context, rows []sealedKey, sorted []*sealedKey) error {
	for try := 1; ; try++ {
		if im.known || try > 1 {
			n := len(sorted)
			var err error
			if sorted, err = im.leaveOutKnown(ctx, sorted); err != nil {
				return err
			}
			im.known = len(sorted) < n
		}
		if len(sorted) == 0 {
			return nil
		}
		inOrder, err := im.number(ctx, rows)
		if err != nil {
			return err
		}
		if _, err := im.tx.ExecContext(ctx, `SAVEPOINT chunk`); err != nil {
			return err
		}
		if err = im.copyFingerprints(ctx, sorted); err == nil {
			if err := im.copyPacks(ctx, inOrder); err != nil {
				return err
			}
			im.out.Accepted += len(inOrder)
			_, err = im.tx.ExecContext(ctx, `RELEASE SAVEPOINT chunk`)
			return err
		}
		if !isUnique(err, "pool_keys_once") || try == maxTries {
			return err
		}
		if _, err := im.tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT chunk`); err != nil {
			return err
		}
	}
}

// number gives the keys that are not left out their IDs, in the order of the file: that is the order in which they are
// sold. A chunk takes one number of the sequence and counts on from it, a million times as slowly.
func (im *importer) number(ctx context.Context, rows []sealedKey) ([]*sealedKey, error) {
	var before int64
	if err := im.tx.GetContext(ctx, &before, `SELECT 1000000 * nextval('pool_key_position')`); err != nil {
		return nil, err
	}
	inOrder := make([]*sealedKey, 0, len(rows))
	for i := range rows {
		if k := &rows[i]; !k.known {
			inOrder = append(inOrder, k)
			k.id = before + int64(len(inOrder))
		}
	}
	im.last = before + int64(len(inOrder))
	return inOrder, im.openBatch(ctx, before)
}

// openBatch stores the batch that the keys belong to, whose IDs come after one.
func (im *importer) openBatch(ctx context.Context, after int64) error {
	if im.opened {
		return nil
	}
	im.opened = true
	if err := im.tx.SelectContext(ctx, &[]string{}, `SELECT id FROM pools WHERE id = $1 FOR KEY SHARE`, im.Pool); err != nil {
		return err
	}
	_, err := im.tx.ExecContext(ctx, `
		INSERT INTO batches (id, pool_id, accepted, rejected, created_by, first_key) VALUES ($1, $2, 0, 0, $3, $4)`, im.batch, im.Pool, im.By, after)
	return err
}

// copyFingerprints says that the keys are there, in the order of their fingerprints.
func (im *importer) copyFingerprints(ctx context.Context, sorted []*sealedKey) error {
	return copyRows(ctx, im.tx, `COPY key_fingerprints (fingerprint, key_id) FROM STDIN`, func(yield func(func([]byte) []byte) bool) {
		for _, k := range sorted {
			if !yield(func(text []byte) []byte {
				text = appendHex(text, k.fingerprint[:])
				return append(strconv.AppendInt(append(text, '\t'), k.id, 10), '\n')
			}) {
				return
			}
		}
	})
}

// copyPacks stores the keys in packs.
func (im *importer) copyPacks(ctx context.Context, keys []*sealedKey) error {
	return copyRows(ctx, im.tx, `
		COPY key_packs (first_id, position, pool_id, batch_id, fingerprints, contents, ends, expires_at, give_until, expiring) FROM STDIN`, func(yield func(func([]byte) []byte) bool) {
		for len(keys) > 0 {
			n := im.d.packing.next(keys)
			pack := keys[:n]
			if keys = keys[n:]; !yield(func(text []byte) []byte { return im.appendPack(text, pack) }) {
				return
			}
		}
	})
}

// next says how many of the keys the next pack holds.
func (p packing) next(keys []*sealedKey) (n int) {
	for size := 0; n < len(keys) && n < p.keys && size < p.bytes; n++ {
		size += len(keys[n].content)
	}
	return n
}

// appendPack appends a pack's columns as COPY reads them.
func (im *importer) appendPack(text []byte, keys []*sealedKey) []byte {
	text = strconv.AppendInt(text, keys[0].id, 10)
	text = strconv.AppendInt(append(text, '\t'), keys[0].id, 10)
	text = append(append(text, '\t'), im.Pool...)
	text = append(append(text, '\t'), im.batch...)
	text = append(text, "\t\\\\x"...)
	for _, k := range keys {
		text = hex.AppendEncode(text, k.fingerprint[:])
	}
	text = append(text, "\t\\\\x"...)
	for _, k := range keys {
		text = hex.AppendEncode(text, k.content)
	}
	text = append(text, '\t')
	end, expiring := 0, (*time.Time)(nil)
	text = appendArray(text, keys, func(text []byte, k *sealedKey) []byte {
		end += len(k.content)
		if k.until != nil && (expiring == nil || k.until.Before(*expiring)) {
			expiring = k.until
		}
		return strconv.AppendInt(text, int64(end), 10)
	})
	if expiring == nil {
		return append(text, "\t\\N\t\\N\t\\N\n"...)
	}
	text = appendArray(append(text, '\t'), keys, func(text []byte, k *sealedKey) []byte { return appendTime(text, k.expires, "NULL") })
	text = appendArray(append(text, '\t'), keys, func(text []byte, k *sealedKey) []byte { return appendTime(text, k.until, "NULL") })
	return append(appendTime(append(text, '\t'), expiring, ""), '\n')
}

// leaveOutKnown gives the rows that no pool has yet, and says of the others where they are.
func (im *importer) leaveOutKnown(ctx context.Context, sorted []*sealedKey) ([]*sealedKey, error) {
	fingerprints := make([][]byte, len(sorted))
	for i, k := range sorted {
		fingerprints[i] = k.fingerprint[:]
	}
	var there []struct {
		Fingerprint []byte         `db:"fingerprint"`
		PoolID      string         `db:"pool_id"`
		BatchID     string         `db:"batch_id"`
		LineID      sql.NullString `db:"line_id"`
	}
	if err := im.tx.SelectContext(ctx, &there, `
		SELECT f.fingerprint, coalesce(k.pool_id, p.pool_id) AS pool_id, coalesce(k.batch_id, p.batch_id) AS batch_id, k.line_id
		FROM key_fingerprints f `+whereKeyIsSQL+` WHERE f.fingerprint = ANY($1)`, pq.Array(fingerprints)); err != nil {
		return nil, err
	}
	why := make(map[string]string, len(there))
	for _, t := range there {
		switch {
		case t.BatchID == im.batch:
			why[string(t.Fingerprint)] = keyturn.RowDuplicateInFile
		case t.LineID.Valid:
			why[string(t.Fingerprint)] = keyturn.RowAlreadySold
		case t.PoolID == im.Pool:
			why[string(t.Fingerprint)] = keyturn.RowDuplicateInPool
		default:
			why[string(t.Fingerprint)] = keyturn.RowDuplicateInOtherPool
		}
	}
	fresh := make([]*sealedKey, 0, len(sorted)-len(there))
	for _, k := range sorted {
		if reason, known := why[string(k.fingerprint[:])]; known {
			im.leaveOut(k, reason)
		} else {
			fresh = append(fresh, k)
		}
	}
	return fresh, nil
}
