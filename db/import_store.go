package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// insert stores keys with COPY, which is several times as fast as INSERT but stops at the first key that is there
// already. So it is tried first, under a savepoint, where the chunk before was all new; otherwise, and when it stops,
// those that are there are looked for and left out.
func (im *importer) insert(ctx context.Context, rows []sealedKey) error {
	for try := 1; ; try++ {
		if im.known || try > 1 {
			n := len(rows)
			var err error
			if rows, err = im.leaveOutKnown(ctx, rows); err != nil {
				return err
			}
			im.known = len(rows) < n
		}
		if len(rows) == 0 {
			return nil
		}
		if _, err := im.tx.ExecContext(ctx, `SAVEPOINT chunk`); err != nil {
			return err
		}
		err := im.copyInto(ctx, "pool_keys", rows)
		if err == nil {
			im.out.Accepted += len(rows)
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

// copyInto stores the keys. Their positions are in the order of the file: that is the order in which they are sold. A
// chunk takes one number of the sequence and counts on from it, a million times as slowly.
func (im *importer) copyInto(ctx context.Context, table string, rows []sealedKey) (err error) {
	var position int64
	if err := im.tx.GetContext(ctx, &position, `SELECT 1000000 * nextval('pool_key_position')`); err != nil {
		return err
	}
	copying, err := im.tx.PrepareContext(ctx, `COPY `+table+` (pool_id, batch_id, position, fingerprint, content, expires_at, give_until) FROM STDIN`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copying.Close()) }()
	text := make([]byte, 0, copyBlock)
	for i, k := range rows {
		text = k.appendTo(append(append(append(append(text, im.Pool...), '\t'), im.batch...), '\t'), position)
		if len(text) > copyBlock-maxRowLength || i == len(rows)-1 {
			if _, err := copying.ExecContext(ctx, text); err != nil {
				return err
			}
			text = text[:0]
		}
	}
	_, err = copying.ExecContext(ctx)
	return err
}

// copyBlock is how much of the text of a COPY is sent at a time.
const copyBlock = 128 << 10

// appendTo appends the key's columns as COPY reads them.
func (k sealedKey) appendTo(text []byte, position int64) []byte {
	text = strconv.AppendInt(text, position+int64(k.no), 10)
	text = hex.AppendEncode(append(text, "\t\\\\x"...), k.fingerprint[:])
	text = hex.AppendEncode(append(text, "\t\\\\x"...), k.content)
	for _, at := range []*time.Time{k.expires, k.until} {
		if text = append(text, '\t'); at == nil {
			text = append(text, `\N`...)
		} else {
			text = at.UTC().AppendFormat(text, time.RFC3339Nano)
		}
	}
	return append(text, '\n')
}

// leaveOutKnown gives the rows that no pool has yet, and says of the others where they are.
func (im *importer) leaveOutKnown(ctx context.Context, rows []sealedKey) ([]sealedKey, error) {
	fingerprints := make([][]byte, len(rows))
	for i, k := range rows {
		fingerprints[i] = k.fingerprint[:]
	}
	var there []struct {
		Fingerprint []byte         `db:"fingerprint"`
		PoolID      string         `db:"pool_id"`
		BatchID     string         `db:"batch_id"`
		LineID      sql.NullString `db:"line_id"`
	}
	if err := im.tx.SelectContext(ctx, &there, `
		SELECT fingerprint, pool_id, batch_id, line_id FROM pool_keys WHERE fingerprint = ANY($1) AND state <> 'withdrawn'`, pq.Array(fingerprints)); err != nil {
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
	fresh := make([]sealedKey, 0, len(rows)-len(there))
	for _, k := range rows {
		if reason, known := why[string(k.fingerprint[:])]; known {
			im.reject(k.line, reason)
		} else {
			fresh = append(fresh, k)
		}
	}
	return fresh, nil
}
