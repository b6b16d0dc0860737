package db

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
)

// Measure is what `keyturn bench pools` measures, next to what it compares with. It leaves keys behind that belong to no
// line: it is for a database of its own.
type Measure struct{ d *DB }

// NewMeasure opens as many connections as there are clients and makes the tables of the comparison.
func NewMeasure(ctx context.Context, d *DB, clients int) (*Measure, error) {
	d.pg.SetMaxOpenConns(clients + 4)
	d.pg.SetMaxIdleConns(clients + 4)
	return &Measure{d}, d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			CREATE TABLE IF NOT EXISTS bench_plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line_id uuid NOT NULL, what text NOT NULL);
			DROP TABLE IF EXISTS bench_copy;
			CREATE TABLE bench_copy (LIKE pool_keys INCLUDING DEFAULTS INCLUDING IDENTITY)`)
		return err
	})
}

// Insert is a plain insert-and-commit: one statement, which is a transaction of its own.
func (m *Measure) Insert(ctx context.Context) error {
	var w pg.StmtBuilder
	w.With("plain", `INSERT INTO bench_plain (line_id, what) VALUES (?, ?) RETURNING id`, newID(), "a row like any other")
	return w.Select(ctx, m.d.pg.Implicit(), &[]int64{}, `SELECT id FROM plain`)
}

// Claim takes keys for a line that there is not, as a line's first claim does: one statement, which is a transaction
// of its own, and which claims of the same moment share. Other claimers may hold the last keys for a moment: it asks again.
func (m *Measure) Claim(ctx context.Context, pool string, units int) error {
	for {
		taken, err := m.d.claims.take(ctx, m.d, pool, &claimant{id: newID(), units: units})
		if err != nil || len(taken) == units {
			return err
		}
	}
}

// Copy stores the keys of a file, encrypted, with COPY into a table that has the columns of pool_keys and neither index nor
// check, and says how long that took. The encryption is not counted.
func (m *Measure) Copy(ctx context.Context, pool string, file io.Reader) (rows int, d time.Duration, err error) {
	im, err := m.d.newImporter(ctx, ImportInput{Pool: pool, File: file, By: "bench"})
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go im.prepare(ctx)
	err = m.d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		im.begin(tx)
		var some []sealedKey // for COPY, many at a time: it is what is compared with
		for {
			c := im.next(ctx)
			some = append(some, c.rows...)
			if c.err == nil && len(some) < 5*importChunk {
				continue
			}
			start := time.Now()
			if err := im.copyPlain(ctx, some); err != nil {
				return err
			}
			rows, d, some = rows+len(some), d+time.Since(start), some[:0]
			switch {
			case errors.Is(c.err, io.EOF):
				return nil
			case c.err != nil:
				return c.err
			}
		}
	})
	return rows, d, err
}

// copyPlain stores keys with a row each.
func (im *importer) copyPlain(ctx context.Context, rows []sealedKey) error {
	return pg.CopyRows(ctx, im.tx, `COPY bench_copy (pool_id, batch_id, position, fingerprint, content, expires_at, give_until) FROM STDIN`,
		func(yield func(func([]byte) []byte) bool) {
			for i, k := range rows {
				if !yield(func(text []byte) []byte {
					text = append(append(append(append(text, im.Pool...), '\t'), im.batch...), '\t')
					text = append(strconv.AppendInt(text, int64(i), 10), '\t')
					text = append(pg.AppendHex(text, k.fingerprint[:]), '\t')
					text = append(pg.AppendHex(text, k.content), '\t')
					text = append(pg.AppendTime(text, k.expires, `\N`), '\t')
					return append(pg.AppendTime(text, k.until, `\N`), '\n')
				}) {
					return
				}
			}
		})
}

// Figures asks for what the API shows of a pool.
func (m *Measure) Figures(ctx context.Context, pool string) (keyturn.PoolView, error) {
	return m.d.Pool(ctx, pool)
}

// Vacuum says how often PostgreSQL cleaned up the keys by itself.
func (m *Measure) Vacuum(ctx context.Context) (text string, err error) {
	var n int
	err = m.d.pg.GetContext(ctx, &n, `SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'pool_keys'`)
	return fmt.Sprintf("%d automatic vacuums", n), pg.AsKind(err)
}
