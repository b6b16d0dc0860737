package stock

import (
	"context"
	"errors"
	"fmt"
	"io"
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
func (s *Stock) Import(ctx context.Context, in ImportInput) (keyturn.ImportResult, error) {
	im, err := s.newImporter(ctx, in)
	if err != nil {
		return keyturn.ImportResult{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go im.prepare(ctx)
	// a file of one chunk is read before the transaction begins, one that is no file never begins one
	first := im.next(ctx)
	if first.err != nil && !errors.Is(first.err, io.EOF) {
		return im.out, first.err
	}
	used := false
	err = s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if used {
			return keyturn.Errorf(keyturn.KindUnavailable, "the database undid the import: send it again")
		}
		im.begin(tx)
		c := first
		for {
			if err := im.store(ctx, c); err != nil {
				return err
			}
			if c.err != nil {
				break
			}
			used = true
			c = im.next(ctx)
		}
		if !errors.Is(c.err, io.EOF) {
			return c.err
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
	pool   keyturn.Pool
	file   *keyFile
	dk     vault.DataKey
	now    time.Time
	chunks chan chunk

	fingerprint func(string) [vault.FingerprintSize]byte
	plain       []byte // of the key that is being sealed

	tx      *sqlx.Tx
	batch   string
	opened  bool // the batch is stored
	refused []keyturn.FieldError
	out     keyturn.ImportResult
}

// chunk is some rows of the file, encrypted, and what ended it: nil, io.EOF or an error.
type chunk struct {
	rows []newKey
	size int // bytes of their contents
	bad  []keyRow
	err  error
}

// newKey is a key as it is stored.
type newKey struct {
	line           int
	fingerprint    [vault.FingerprintSize]byte
	content        []byte
	expires, until *time.Time
}

func (s *Stock) newImporter(ctx context.Context, in ImportInput) (*importer, error) {
	im := &importer{ImportInput: in, chunks: make(chan chunk), fingerprint: s.keys.Fingerprinter()}
	row, err := s.readPool(ctx, in.Pool)
	if err != nil {
		return nil, err
	}
	im.pool = row.pool
	im.now = row.Now
	if im.dk, err = s.keys.OpenDataKey(row.DataKey, DataKeyOwner(in.Pool)); err != nil {
		return nil, err
	}
	im.file, err = newKeyFile(in, im.pool)
	return im, err
}

// prepare reads, checks and encrypts the file while the database stores what came before.
func (im *importer) prepare(ctx context.Context) {
	room := 1000
	for {
		c := chunk{rows: make([]newKey, 0, room)}
		for c.err == nil && len(c.rows)+len(c.bad) < importChunk && c.size < chunkBytes {
			var row keyRow
			if row, c.err = im.file.next(); c.err == nil {
				c.err = im.seal(&c, row)
			}
		}
		room = importChunk
		select {
		case im.chunks <- c:
		case <-ctx.Done():
			return
		}
		if c.err != nil {
			return
		}
	}
}

// next waits for the chunk that prepare makes, which ends without a word when ctx does.
func (im *importer) next(ctx context.Context) chunk {
	select {
	case c := <-im.chunks:
		return c
	case <-ctx.Done():
		return chunk{err: keyturn.Errorf(keyturn.KindUnavailable, "the import was broken off; nothing was stored: %w",
			ctx.Err())}
	}
}

func (im *importer) seal(c *chunk, row keyRow) error {
	k := newKey{line: row.line}
	if !row.expires.IsZero() && row.bad == "" {
		until := row.expires.Add(-time.Duration(im.pool.MinValidity))
		k.expires, k.until = &row.expires, &until
		if !until.After(im.now) {
			row.bad = keyturn.RowExpired
		}
	}
	if row.bad != "" {
		c.bad = append(c.bad, row)
		return nil
	}
	k.fingerprint = im.fingerprint(row.key)
	im.plain = append(im.plain[:0], row.key...)
	var err error
	k.content, err = im.dk.Seal(im.plain, KeyPlace(im.Pool, k.fingerprint[:]))
	c.rows, c.size = append(c.rows, k), c.size+len(k.content)
	return err
}

func (im *importer) begin(tx *sqlx.Tx) {
	im.tx, im.batch, im.opened, im.refused = tx, newID(), false, nil
	im.out = keyturn.ImportResult{Rejected: []keyturn.RejectedKey{}, Counts: map[string]int{}, DryRun: im.DryRun}
}

// refuses says that the file is going to be refused, whatever else is in it.
func (im *importer) refuses() bool { return len(im.refused) > 0 && !im.SkipBad && !im.DryRun }

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
	case im.refuses():
		return &keyturn.Error{
			Kind: keyturn.KindInvalid, Fields: im.refused,
			Message: "the file has lines that cannot be keys of this pool, nothing was stored: mend them, or skip them " +
				"(skipBad, --skip-bad)",
		}
	}
	im.out.Preview = im.file.preview()
	if im.out.Accepted == 0 {
		_, err := im.tx.ExecContext(ctx, `DELETE FROM batches WHERE id = $1`, im.batch)
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
