package stock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

const (
	importChunk = 10_000  // keys stored at a time: enough to spread the cost, little enough to stream
	chunkBytes  = 4 << 20 // of them, after which no key is added
	maxListed   = 1000    // rejected lines that are listed; all are counted
	maxRefused  = 100     // bad lines that a refusal names

	// settled is how long a transaction may be under way that gives a line a code, which has the time of its beginning.
	settled = 5 * time.Minute
)

// errDryRun ends a transaction that was only to see what would happen.
var errDryRun = fmt.Errorf("dry run: %w", pg.ErrRollback)

// Import adds keys to a pool from a file of any size, in constant memory. keyturn.CleanKey says what a key is; empty
// rows are passed over. The file is stored in one transaction or not at all: if it breaks off, is not text, or has a
// row that is bad (keyturn.RowMalformed and the like) and is not to be skipped, nothing is stored, and the error, of
// KindInvalid, names the lines. Keys that Keyturn has already are no mistake: the same file again adds nothing. It
// serves no waiting line.
//
// While the file comes, which may take hours, neither a transaction nor a connection is held: its keys wait encrypted
// in a temporary file, or in memory if they are few. KindUnavailable when there is no room for that.
func (s *Stock) Import(ctx context.Context, in ImportInput) (keyturn.ImportResult, error) {
	im, err := s.newImporter(ctx, in)
	if err != nil {
		return keyturn.ImportResult{}, err
	}
	defer im.spool.close()
	if err := im.receive(ctx); err != nil {
		return im.out, err
	}
	err = s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		im.begin(tx)
		if err := im.spool.each(func(c chunk) error { return im.store(ctx, c) }); err != nil {
			return err
		}
		if err := im.store(ctx, im.last); err != nil {
			return err
		}
		return im.finish(ctx)
	})
	if errors.Is(err, errDryRun) {
		return im.out, nil
	}
	return im.out, err
}

// importer is one import under way.
type importer struct {
	ImportInput
	pool    keyturn.Pool
	asOf    time.Time // of the pool: what it demands of keys
	file    *keyFile
	dk      vault.DataKey
	now     time.Time
	spool   spool
	last    chunk // of the file: the only one of most files
	refused []keyturn.FieldError

	fingerprint func(string) [vault.FingerprintSize]byte
	plain       []byte // of the key that is being sealed

	tx     *sqlx.Tx
	batch  string
	opened bool // the batch is stored
	out    keyturn.ImportResult
}

// chunk is some rows of the file, encrypted.
type chunk struct {
	rows []newKey
	bad  []keyturn.RejectedKey
	size int // bytes of the rows' contents
}

// newKey is a key as it is stored.
type newKey struct {
	line        int
	fingerprint [vault.FingerprintSize]byte
	content     []byte
	expires     time.Time // zero: never
}

func (s *Stock) newImporter(ctx context.Context, in ImportInput) (*importer, error) {
	im := &importer{ImportInput: in, fingerprint: s.keys.Fingerprinter()}
	row, err := s.readPool(ctx, in.Pool)
	if err != nil {
		return nil, err
	}
	im.pool, im.asOf, im.now = row.pool, row.UpdatedAt, row.Now
	if im.dk, err = s.keys.OpenDataKey(row.DataKey, DataKeyOwner(in.Pool)); err != nil {
		return nil, err
	}
	im.file, err = newKeyFile(in, im.pool)
	return im, err
}

// receive reads, checks and encrypts the file up to its end.
func (im *importer) receive(ctx context.Context) error {
	for {
		c, err := im.nextChunk(ctx)
		switch {
		case errors.Is(err, io.EOF):
			im.last = c
			return im.checkRefused()
		case err != nil:
			return err
		case im.refuses(): // reads on for what else is wrong
		default:
			if err := im.spool.add(c); err != nil {
				return err
			}
		}
	}
}

// nextChunk reads the next rows; with those before the end of the file it gives io.EOF.
func (im *importer) nextChunk(ctx context.Context) (c chunk, err error) {
	for len(c.rows)+len(c.bad) < importChunk && c.size < chunkBytes {
		if err := ctx.Err(); err != nil {
			return c, keyturn.Errorf(keyturn.KindUnavailable, "the import was broken off; nothing was stored: %w", err)
		}
		row, err := im.file.next()
		if err == nil {
			err = im.seal(&c, row)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func (im *importer) seal(c *chunk, row keyRow) error {
	if row.bad == "" && !row.expires.IsZero() && !im.until(row.expires).After(im.now) {
		row.bad = keyturn.RowExpired
	}
	if row.bad != "" {
		c.bad = append(c.bad, keyturn.RejectedKey{Line: row.line, Reason: row.bad})
		if len(im.refused) < maxRefused {
			im.refused = append(im.refused, keyturn.FieldError{
				Location: "line " + strconv.Itoa(row.line), Message: keyturn.RowReasons[row.bad],
			})
		}
		return nil
	}
	k := newKey{line: row.line, fingerprint: im.fingerprint(row.key), expires: row.expires}
	im.plain = append(im.plain[:0], row.key...)
	var err error
	k.content, err = im.dk.Seal(im.plain, KeyPlace(im.Pool, k.fingerprint[:]))
	c.rows, c.size = append(c.rows, k), c.size+len(k.content)
	return err
}

// until is how long a key may be sold that expires then; zero: for ever.
func (im *importer) until(expires time.Time) time.Time {
	if expires.IsZero() {
		return expires
	}
	return expires.Add(-time.Duration(im.pool.MinValidity))
}

// refuses says that the file is going to be refused, whatever else is in it.
func (im *importer) refuses() bool { return len(im.refused) > 0 && !im.SkipBad && !im.DryRun }

func (im *importer) checkRefused() error {
	if !im.refuses() {
		return nil
	}
	return &keyturn.Error{
		Kind: keyturn.KindInvalid, Fields: im.refused,
		Message: "the file has lines that cannot be keys of this pool, nothing was stored: mend them, or skip them " +
			"(skipBad, --skip-bad)",
	}
}

func (im *importer) begin(tx *sqlx.Tx) {
	im.tx, im.batch, im.opened = tx, newID(), false
	im.out = keyturn.ImportResult{Rejected: []keyturn.RejectedKey{}, Counts: map[string]int{}, DryRun: im.DryRun}
}

// finish books the batch and the stock; a batch without a new key leaves no trace.
func (im *importer) finish(ctx context.Context) error {
	rejected := 0
	for _, n := range im.out.Counts {
		rejected += n
	}
	switch {
	case im.out.Accepted+rejected == 0:
		return &keyturn.Error{
			Kind: keyturn.KindInvalid, Message: "the file holds no key, nothing was stored",
			Fields: []keyturn.FieldError{
				{Location: "body", Message: "must hold one key per line"},
			},
		}
	case im.DryRun:
		im.out.Preview = im.file.preview()
		return errDryRun
	}
	im.out.Preview = im.file.preview()
	if im.out.Accepted == 0 {
		_, err := im.tx.ExecContext(ctx, `DELETE FROM batches WHERE id = $1`, im.batch)
		return err
	}
	if err := im.checkPool(ctx, `SHARE`); err != nil {
		return err
	}
	im.out.BatchID = im.batch
	if _, err := im.tx.ExecContext(ctx, `
		WITH b AS (
			UPDATE batches SET accepted = $2, rejected = $3, created_at = clock_timestamp(),
				last_key = nextval(CAST(pg_get_serial_sequence('pool_keys', 'id') AS regclass))
			WHERE id = $1
		)`+AddSQL(`$4`, ``, Figure{"available", `$2`}),
		im.batch, im.out.Accepted, rejected, im.Pool); err != nil {
		return err
	}
	return im.lookAgain(ctx)
}
