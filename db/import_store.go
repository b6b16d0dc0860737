package db

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// pack stores the keys of a chunk in packs, and notes their fingerprints. Those that turn out to be here already leave
// their packs again.
func (im *importer) pack(ctx context.Context, keys []sealedKey) error {
	if len(keys) == 0 {
		return nil
	}
	if err := im.number(ctx, keys); err != nil {
		return err
	}
	if len(im.block) > 0 { // a file of several chunks has a whole block, as likely as not
		im.block = slices.Grow(im.block, max(0, im.d.packing.block+importChunk-len(im.block)))
	}
	for i := range keys {
		im.block = append(im.block, placed{fingerprint: keys[i].fingerprint, id: keys[i].id, line: keys[i].line})
	}
	return im.copyPacks(ctx, keys)
}

// number gives keys their IDs, in the order of the file: that is the order in which they are sold. A chunk takes one number
// of the sequence and counts on from it, a million times as slowly.
func (im *importer) number(ctx context.Context, keys []sealedKey) error {
	var before int64
	if err := im.tx.GetContext(ctx, &before, `SELECT 1000000 * nextval('pool_key_position')`); err != nil {
		return err
	}
	for i := range keys {
		keys[i].id = before + int64(i) + 1
	}
	im.last = before + int64(len(keys))
	return im.openBatch(ctx, before)
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

// keepFingerprints says that the keys that were packed are there, in the order of their fingerprints: PostgreSQL finds the
// place of each in the index near the last one's, which is several times as fast, the more so the more there are at a time.
// It stores them with COPY, which is several times as fast as INSERT but stops at the first one that is there already. So
// that is tried first, piece by piece, where the piece before was all new; otherwise, and when it stops, those that are
// there are looked for and left out.
func (im *importer) keepFingerprints(ctx context.Context) error {
	slices.SortFunc(im.block, func(a, b placed) int {
		if c := cmp.Compare(binary.BigEndian.Uint64(a.fingerprint[:]), binary.BigEndian.Uint64(b.fingerprint[:])); c != 0 { // most of the time, and in half the time
			return c
		}
		return cmp.Or(bytes.Compare(a.fingerprint[:], b.fingerprint[:]), cmp.Compare(a.id, b.id))
	})
	im.out.Accepted += len(im.block)
	for piece := range slices.Chunk(im.onceEach(im.block), fingerprintPiece) {
		if err := im.keep(ctx, piece); err != nil {
			return err
		}
	}
	err := im.drop(ctx)
	im.block, im.packs, im.left = im.block[:0], im.packs[:0], im.left[:0]
	return err
}

// drop takes the keys that are left out back, and lists the first ones with the bad rows, in the order of the file.
func (im *importer) drop(ctx context.Context) error {
	slices.SortFunc(im.left, func(a, b leftOut) int { return cmp.Compare(a.id, b.id) })
	ids := make([]int64, len(im.left))
	for i, k := range im.left {
		ids[i] = k.id
		im.out.Counts[k.reason]++
		if i < maxListed {
			im.out.Rejected = append(im.out.Rejected, keyturn.RejectedKey{Line: k.line, Reason: k.reason})
		}
	}
	slices.SortFunc(im.out.Rejected, func(a, b keyturn.RejectedKey) int { return cmp.Compare(a.Line, b.Line) })
	im.out.Rejected = im.out.Rejected[:min(maxListed, len(im.out.Rejected))]
	im.out.Accepted -= len(im.left)
	return dropPacked(ctx, im.tx, im.packs, ids)
}

// fingerprintPiece is how many fingerprints one that is there already undoes.
const fingerprintPiece = 50_000

func (im *importer) keep(ctx context.Context, piece []placed) error {
	for try := 1; ; try++ {
		if im.known || try > 1 {
			n := len(piece)
			var err error
			if piece, err = im.leaveOutKnown(ctx, piece); err != nil {
				return err
			}
			if im.known = len(piece) < n; len(piece) == 0 {
				return nil
			}
		}
		if _, err := im.tx.ExecContext(ctx, `SAVEPOINT piece`); err != nil {
			return err
		}
		err := im.copyFingerprints(ctx, piece)
		if err == nil {
			_, err = im.tx.ExecContext(ctx, `RELEASE SAVEPOINT piece`)
			return err
		}
		if !isUnique(err, "pool_keys_once") || try == maxTries {
			return err
		}
		if _, err := im.tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT piece`); err != nil {
			return err
		}
	}
}

// onceEach leaves out what is there twice: the first one in the file counts.
func (im *importer) onceEach(sorted []placed) []placed {
	once := sorted[:0]
	for _, k := range sorted {
		if n := len(once); n > 0 && once[n-1].fingerprint == k.fingerprint {
			im.leaveOut(k, keyturn.RowDuplicateInFile)
			continue
		}
		once = append(once, k)
	}
	return once
}

func (im *importer) leaveOut(k placed, reason string) {
	im.left = append(im.left, leftOut{k, reason})
}

func (im *importer) copyFingerprints(ctx context.Context, sorted []placed) error {
	return copyRows(ctx, im.tx, `COPY key_fingerprints (fingerprint, key_id) FROM STDIN`, func(yield func(func([]byte) []byte) bool) {
		for i := range sorted {
			if !yield(func(text []byte) []byte {
				text = appendHex(text, sorted[i].fingerprint[:])
				return append(strconv.AppendInt(append(text, '\t'), sorted[i].id, 10), '\n')
			}) {
				return
			}
		}
	})
}

// copyPacks stores the keys in packs.
func (im *importer) copyPacks(ctx context.Context, keys []sealedKey) error {
	return copyRows(ctx, im.tx, `
		COPY key_packs (first_id, position, pool_id, batch_id, fingerprints, contents, ends, expires_at, give_until, expiring) FROM STDIN`, func(yield func(func([]byte) []byte) bool) {
		for len(keys) > 0 {
			n := im.d.packing.next(keys)
			pack := keys[:n]
			im.packs = append(im.packs, pack[0].id)
			if keys = keys[n:]; !yield(func(text []byte) []byte { return im.appendPack(text, pack) }) {
				return
			}
		}
	})
}

// next says how many of the keys the next pack holds.
func (p packing) next(keys []sealedKey) (n int) {
	for size := 0; n < len(keys) && n < p.keys && size < p.bytes; n++ {
		size += len(keys[n].content)
	}
	return n
}

// appendPack appends a pack's columns as COPY reads them.
func (im *importer) appendPack(text []byte, keys []sealedKey) []byte {
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

// leaveOutKnown gives the keys that no pool has yet, and says of the others where they are.
func (im *importer) leaveOutKnown(ctx context.Context, sorted []placed) ([]placed, error) {
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
	fresh := make([]placed, 0, len(sorted)-len(there))
	for _, k := range sorted {
		if reason, known := why[string(k.fingerprint[:])]; known {
			im.leaveOut(k, reason)
		} else {
			fresh = append(fresh, k)
		}
	}
	return fresh, nil
}
