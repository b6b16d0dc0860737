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
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
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
		im.block = append(im.block, placed{fingerprint: keys[i].fingerprint, id: keys[i].id, line: uint32(keys[i].line)}) //nolint:gosec // that many lines no file has
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
	im.leaveOutRepeated()
	for piece := range slices.Chunk(im.block, fingerprintPiece) {
		if err := im.keep(ctx, piece); err != nil {
			return err
		}
	}
	im.out.Accepted += len(im.block) - im.left
	err := im.drop(ctx)
	im.block, im.packs, im.left = im.block[:0], im.packs[:0], 0
	return err
}

// pieceTries bounds how often a piece is tried: each try leaves out the keys that are known by then.
const pieceTries = 4

// fingerprintPiece is how many fingerprints one that is there already undoes.
const fingerprintPiece = 50_000

func (im *importer) keep(ctx context.Context, piece []placed) error {
	for try := 1; ; try++ {
		if im.known || try > 1 {
			before := im.left
			if err := im.leaveOutKnown(ctx, piece); err != nil {
				return err
			}
			im.known = im.left > before
		}
		if _, err := im.tx.ExecContext(ctx, `SAVEPOINT piece`); err != nil {
			return err
		}
		err := im.copyFingerprints(ctx, piece)
		if err == nil {
			_, err = im.tx.ExecContext(ctx, `RELEASE SAVEPOINT piece`)
			return err
		}
		if !pg.IsUniqueViolation(err, "pool_keys_once") || try == pieceTries {
			return err
		}
		if _, err := im.tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT piece`); err != nil {
			return err
		}
	}
}

func (im *importer) copyFingerprints(ctx context.Context, sorted []placed) error {
	return pg.CopyRows(ctx, im.tx, `COPY key_fingerprints (fingerprint, key_id) FROM STDIN`, func(yield func(func([]byte) []byte) bool) {
		for i := range sorted {
			if k := &sorted[i]; k.left == 0 && !yield(func(text []byte) []byte {
				text = pg.AppendHex(text, k.fingerprint[:])
				return append(strconv.AppendInt(append(text, '\t'), k.id, 10), '\n')
			}) {
				return
			}
		}
	})
}

func (im *importer) leaveOut(k *placed, why leftOut) {
	k.left = why
	im.left++
}

// leaveOutRepeated leaves out what the block has twice: the first one in the file counts.
func (im *importer) leaveOutRepeated() {
	for i := 1; i < len(im.block); i++ {
		if k := &im.block[i]; k.fingerprint == im.block[i-1].fingerprint {
			im.leaveOut(k, leftInFile)
		}
	}
}

// leaveOutKnown leaves out the keys that a pool has already.
func (im *importer) leaveOutKnown(ctx context.Context, piece []placed) error {
	fingerprints := make([][]byte, 0, len(piece))
	for i := range piece {
		if piece[i].left == 0 {
			fingerprints = append(fingerprints, piece[i].fingerprint[:])
		}
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
		return err
	}
	why := make(map[[vault.FingerprintSize]byte]leftOut, len(there))
	for _, t := range there {
		at := [vault.FingerprintSize]byte(t.Fingerprint)
		switch {
		case t.BatchID == im.batch:
			why[at] = leftInFile
		case t.LineID.Valid:
			why[at] = leftSold
		case t.PoolID == im.Pool:
			why[at] = leftInPool
		default:
			why[at] = leftInOtherPool
		}
	}
	for i := range piece {
		if k := &piece[i]; k.left == 0 && why[k.fingerprint] != 0 {
			im.leaveOut(k, why[k.fingerprint])
		}
	}
	return nil
}

// drop takes the keys that are left out from their packs, and lists the first ones with the bad rows, in the order of the file.
func (im *importer) drop(ctx context.Context) error {
	if im.left == 0 {
		return nil
	}
	slices.SortFunc(im.block, func(a, b placed) int { return cmp.Compare(a.id, b.id) })
	dropped, listed := make([]int64, 0, importChunk), 0
	for _, k := range im.block {
		if k.left == 0 {
			continue
		}
		im.out.Counts[leftOutAs[k.left]]++
		if listed++; listed <= maxListed {
			im.out.Rejected = append(im.out.Rejected, keyturn.RejectedKey{Line: int(k.line), Reason: leftOutAs[k.left]})
		}
		if dropped = append(dropped, k.id); len(dropped) == importChunk {
			if err := dropPacked(ctx, im.tx, im.packs, dropped); err != nil {
				return err
			}
			dropped = dropped[:0]
		}
	}
	slices.SortFunc(im.out.Rejected, func(a, b keyturn.RejectedKey) int { return cmp.Compare(a.Line, b.Line) })
	im.out.Rejected = im.out.Rejected[:min(maxListed, len(im.out.Rejected))]
	return dropPacked(ctx, im.tx, im.packs, dropped)
}

// copyPacks stores the keys in packs.
func (im *importer) copyPacks(ctx context.Context, keys []sealedKey) error {
	return pg.CopyRows(ctx, im.tx, `
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
	text = appendArray(append(text, '\t'), keys, func(text []byte, k *sealedKey) []byte { return pg.AppendTime(text, k.expires, "NULL") })
	text = appendArray(append(text, '\t'), keys, func(text []byte, k *sealedKey) []byte { return pg.AppendTime(text, k.until, "NULL") })
	return append(pg.AppendTime(append(text, '\t'), expiring, ""), '\n')
}
