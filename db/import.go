package db

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

const (
	maxKeyLength = 4096 // characters of one key
	importChunk  = 2000 // keys in one statement: enough to spread its cost, little enough to stream
	maxListed    = 1000 // rejected lines that are listed; all are counted
	serveChunk   = 100  // waiting lines served in one transaction
)

// errDryRun ends a transaction that was only to see what would happen.
var errDryRun = errors.New("dry run")

// Import adds keys to a pool, one per line, from a stream of any size in constant memory. White space around a key is
// cut off; empty lines are passed over; byte-order marks are ignored. All good lines are stored in one transaction, or
// none if the stream breaks or is not text. The same keys again add nothing. Afterwards lines that wait for the pool are
// served. KindInvalid names the line at which the stream is no text.
func (d *DB) Import(ctx context.Context, pool string, r io.Reader, by string, dryRun bool) (keyturn.ImportResult, error) {
	var out keyturn.ImportResult
	data := &onceReader{r: r}
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		if data.used {
			return keyturn.Errorf(keyturn.KindUnavailable, "the database undid the import: send it again")
		}
		out = keyturn.ImportResult{Rejected: []keyturn.RejectedKey{}, Counts: map[string]int{}, DryRun: dryRun}
		im := importer{d: d, tx: tx, pool: pool, batch: newID(), out: &out}
		var wrapped []byte
		if err := tx.GetContext(ctx, &wrapped, `SELECT data_key FROM pools WHERE id = $1 FOR KEY SHARE`, pool); err != nil {
			return notFound(err, "there is no pool %s in the catalog", pool)
		}
		dk, err := d.keys.dataKey(wrapped, "pool/"+pool)
		if err != nil {
			return err
		}
		im.dk = dk
		if _, err := tx.ExecContext(ctx, `INSERT INTO batches (id, pool_id, accepted, rejected, created_by) VALUES ($1, $2, 0, 0, $3)`, im.batch, pool, by); err != nil {
			return err
		}
		if err := im.run(ctx, data); err != nil {
			return err
		}
		return im.finish(ctx, dryRun)
	})
	if errors.Is(err, errDryRun) {
		return out, nil
	}
	if err != nil || dryRun {
		return out, err
	}
	out.Served, _ = d.serveAll(ctx, pool) // the keys are stored; whom it did not come to, the relay serves
	return out, nil
}

// serveAll serves waiting lines in transactions of their own, so that an import that serves thousands locks few at once.
func (d *DB) serveAll(ctx context.Context, pool string) (int, error) {
	total := 0
	for {
		n := 0
		err := d.tx(ctx, func(tx *sqlx.Tx) error {
			served, err := d.serveWaiting(ctx, tx, pool, "import", serveChunk)
			n = len(served)
			return err
		})
		total += n
		if err != nil || n < serveChunk {
			return total, err
		}
	}
}

// onceReader notes that a stream was read from, because a transaction cannot be run again on the rest of it.
type onceReader struct {
	r    io.Reader
	used bool
}

func (o *onceReader) Read(p []byte) (int, error) { o.used = true; return o.r.Read(p) }

type importer struct {
	d     *DB
	tx    *sqlx.Tx
	dk    dataKey
	pool  string
	batch string
	out   *keyturn.ImportResult

	lines        []int
	fingerprints [][]byte
	contents     [][]byte
	inChunk      map[string]bool
}

func (im *importer) run(ctx context.Context, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	im.inChunk = map[string]bool{}
	for n := 1; ; n++ {
		text, tooLong, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return keyturn.Errorf(keyturn.KindInvalid, "the keys stopped coming at line %d, nothing was stored: send all again: %w", n, err)
		}
		last := err != nil
		if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
			return &keyturn.Error{Kind: keyturn.KindInvalid, Message: "the file is not text in UTF-8, nothing was stored", Fields: []keyturn.FieldError{
				{Location: "line " + itoa(n), Message: "has bytes that are not UTF-8 text: save the file as UTF-8, one key per line"},
			}}
		}
		key := strings.TrimSpace(strings.TrimPrefix(string(text), "\uFEFF")) // files put together bring their marks along
		if err := im.add(ctx, n, key, tooLong); err != nil {
			return err
		}
		if last {
			return im.flush(ctx)
		}
	}
}

// readLine reads up to a line feed and gives at most what a key can be long; the rest of a longer line is passed over.
func readLine(in *bufio.Reader) (text []byte, tooLong bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(text)+len(part) <= 4*maxKeyLength+2 {
			text = append(text, part...)
		} else {
			tooLong = true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if tooLong { // what was cut may end inside a character
				text = nil
			}
			return text, tooLong, err
		}
	}
}

func (im *importer) add(ctx context.Context, n int, key string, tooLong bool) error {
	switch {
	case tooLong || utf8.RuneCountInString(key) > maxKeyLength:
		im.reject(n, "too_long")
		return nil
	case key == "":
		return nil
	case !keyturn.CleanText(key, 1, maxKeyLength):
		im.reject(n, "malformed")
		return nil
	}
	fp := im.d.keys.fingerprint(key)
	if im.inChunk[string(fp)] {
		im.reject(n, "duplicate_in_file")
		return nil
	}
	im.inChunk[string(fp)] = true
	content, err := im.dk.seal([]byte(key), poolKeyAt(im.pool, fp))
	if err != nil {
		return err
	}
	im.lines, im.fingerprints, im.contents = append(im.lines, n), append(im.fingerprints, fp), append(im.contents, content)
	if len(im.lines) < importChunk {
		return nil
	}
	return im.flush(ctx)
}

func (im *importer) reject(n int, reason string) {
	im.out.Counts[reason]++
	if len(im.out.Rejected) < maxListed {
		im.out.Rejected = append(im.out.Rejected, keyturn.RejectedKey{Line: n, Reason: reason})
	}
}

// flush stores a chunk and finds out why what was not stored was not.
func (im *importer) flush(ctx context.Context) error {
	if len(im.lines) == 0 {
		return nil
	}
	var stored [][]byte
	if err := im.tx.SelectContext(ctx, &stored, `
		INSERT INTO pool_keys (pool_id, batch_id, position, fingerprint, content)
		SELECT $1, $2, nextval('pool_key_position'), f, c
		FROM unnest(CAST($3 AS bytea[]), CAST($4 AS bytea[])) WITH ORDINALITY AS t (f, c, n) ORDER BY n
		ON CONFLICT (fingerprint) DO NOTHING
		RETURNING fingerprint`, im.pool, im.batch, pq.Array(im.fingerprints), pq.Array(im.contents)); err != nil {
		return err
	}
	im.out.Accepted += len(stored)
	if len(stored) < len(im.lines) {
		if err := im.explain(ctx, stored); err != nil {
			return err
		}
	}
	im.lines, im.fingerprints, im.contents = im.lines[:0], im.fingerprints[:0], im.contents[:0]
	clear(im.inChunk)
	return nil
}

func (im *importer) explain(ctx context.Context, stored [][]byte) error {
	isNew := map[string]bool{}
	for _, fp := range stored {
		isNew[string(fp)] = true
	}
	var there []struct {
		Fingerprint []byte `db:"fingerprint"`
		PoolID      string `db:"pool_id"`
		BatchID     string `db:"batch_id"`
	}
	if err := im.tx.SelectContext(ctx, &there, `SELECT fingerprint, pool_id, batch_id FROM pool_keys WHERE fingerprint = ANY($1)`, pq.Array(im.fingerprints)); err != nil {
		return err
	}
	why := map[string]string{}
	for _, t := range there {
		switch {
		case t.BatchID == im.batch:
			why[string(t.Fingerprint)] = "duplicate_in_file"
		case t.PoolID == im.pool:
			why[string(t.Fingerprint)] = "duplicate_in_pool"
		default:
			why[string(t.Fingerprint)] = "duplicate_in_other_pool"
		}
	}
	for i, fp := range im.fingerprints {
		if !isNew[string(fp)] {
			im.reject(im.lines[i], why[string(fp)])
		}
	}
	return nil
}

// finish books the batch and the stock; a batch without a new key leaves no trace.
func (im *importer) finish(ctx context.Context, dryRun bool) error {
	slices.SortFunc(im.out.Rejected, func(a, b keyturn.RejectedKey) int { return a.Line - b.Line })
	rejected := 0
	for _, n := range im.out.Counts {
		rejected += n
	}
	if im.out.Accepted+rejected == 0 {
		return &keyturn.Error{Kind: keyturn.KindInvalid, Message: "the file holds no key, nothing was stored", Fields: []keyturn.FieldError{
			{Location: "body", Message: "must hold one key per line"},
		}}
	}
	if dryRun {
		return errDryRun
	}
	if im.out.Accepted == 0 {
		_, err := im.tx.ExecContext(ctx, `DELETE FROM batches WHERE id = $1`, im.batch)
		return err
	}
	im.out.BatchID = im.batch
	_, err := im.tx.ExecContext(ctx, `
		WITH b AS (UPDATE batches SET accepted = $2, rejected = $3, created_at = clock_timestamp() WHERE id = $1)
		UPDATE pool_stock SET available = available + $2 WHERE pool_id = $4 AND slot = 0`, im.batch, im.out.Accepted, rejected, im.pool)
	return err
}
