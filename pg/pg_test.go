package pg_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/pg"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var schema = fstest.MapFS{"00001_tally.sql": {Data: []byte(`-- +goose Up
CREATE TABLE tally (n int PRIMARY KEY, at timestamptz, mark bytea);
`)}}

// newDB opens a database of its own with one table.
func newDB(t *testing.T) *pg.DB {
	t.Helper()
	dsn := testkit.Postgres(t, "", nil)
	applied, err := pg.Migrate(t.Context(), dsn, schema)
	require.NoError(t, err)
	require.Equal(t, []string{"00001_tally.sql"}, applied)
	d, err := pg.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func requireRows(t *testing.T, d *pg.DB, want ...int) {
	t.Helper()
	got := []int{}
	require.NoError(t, d.SelectContext(t.Context(), &got, `SELECT n FROM tally ORDER BY n`))
	require.Equal(t, want, got)
}

func insert(ctx context.Context, tx *sqlx.Tx, n int) error {
	return pg.ExpectOne(tx.ExecContext(ctx, `INSERT INTO tally (n) VALUES ($1)`, n))
}

func TestTxKeepsAllOrNothing(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	ctx := t.Context()
	require.NoError(t, d.Tx(ctx, func(tx *sqlx.Tx) error { return errors.Join(insert(ctx, tx, 1), insert(ctx, tx, 2)) }))

	onPurpose := fmt.Errorf("dry run: %w", pg.ErrRollback)
	err := d.Tx(ctx, func(tx *sqlx.Tx) error { return errors.Join(insert(ctx, tx, 3), onPurpose) })
	require.ErrorIs(t, err, pg.ErrRollback)
	require.PanicsWithValue(t, "bug", func() {
		_ = d.Tx(ctx, func(tx *sqlx.Tx) error { _ = insert(ctx, tx, 4); panic("bug") })
	})
	err = d.Tx(ctx, func(tx *sqlx.Tx) error { return errors.Join(insert(ctx, tx, 5), insert(ctx, tx, 1)) })
	require.True(t, pg.IsUniqueViolation(err, "tally_pkey"), "%v", err)
	require.False(t, pg.IsUniqueViolation(err, "another"))
	requireRows(t, d, 1, 2)
}

// Two transactions that lock the same rows in opposite order deadlock: PostgreSQL undoes one, and it runs again.
func TestTxRunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	ctx := t.Context()
	require.NoError(t, d.Tx(ctx, func(tx *sqlx.Tx) error { return errors.Join(insert(ctx, tx, 1), insert(ctx, tx, 2)) }))
	lock := func(tx *sqlx.Tx, n int) error {
		_, err := tx.ExecContext(ctx, `SELECT FROM tally WHERE n = $1 FOR UPDATE`, n)
		return err
	}
	locked, runs, done := make(chan int, 2), make(chan int, 10), make(chan error, 2)
	both := make(chan struct{})
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		go func() {
			again := false
			done <- d.Tx(ctx, func(tx *sqlx.Tx) error {
				runs <- order[0]
				if again { // in the order of the other one, so that there is one deadlock
					return errors.Join(lock(tx, order[1]), lock(tx, order[0]))
				}
				again = true
				if err := lock(tx, order[0]); err != nil {
					return err
				}
				locked <- order[0]
				<-both
				return lock(tx, order[1])
			})
		}()
	}
	<-locked
	<-locked
	close(both)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	require.Len(t, runs, 3, "one of the two ran again")
}

// A single-statement transaction is one round trip, an explicit one is three.
func TestImplicitIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	ctx := t.Context()
	d.SetMaxOpenConns(1) // which has prepared the statements after the first run
	var got []int
	implicit := func(n int) error {
		return d.Implicit().SelectContext(ctx, &got, `INSERT INTO tally (n) VALUES ($1) RETURNING n`, n)
	}
	require.NoError(t, implicit(1))
	before := d.RoundTrips()
	require.NoError(t, implicit(2))
	require.EqualValues(t, 1, d.RoundTrips()-before)
	before = d.RoundTrips()
	require.NoError(t, d.Tx(ctx, func(tx *sqlx.Tx) error { return insert(ctx, tx, 3) }))
	require.EqualValues(t, 3, d.RoundTrips()-before)

	err := implicit(1)
	require.Equal(t, keyturn.KindInternal, keyturn.KindOf(err))
	require.Equal(t, pg.UniqueViolation, pg.SQLState(err))
	requireRows(t, d, 1, 2, 3)
}

func TestStmtBuilderNumbersArguments(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	var b pg.StmtBuilder
	b.With("one", `INSERT INTO tally (n) VALUES (?), (?) RETURNING n`, 10, 20)
	b.With("two", `INSERT INTO tally (n) SELECT n + ? FROM one RETURNING n`, 5)
	b.WithMaterialized("three", `SELECT n FROM two WHERE n > ?`, 10)
	var got []int
	require.NoError(t, b.Select(t.Context(), d.Implicit(), &got, `SELECT n FROM three WHERE n > ? ORDER BY n`, 15))
	require.Equal(t, []int{25}, got)
	requireRows(t, d, 10, 15, 20, 25)
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	ctx := t.Context()
	var n int
	err := pg.NotFound(d.GetContext(ctx, &n, `SELECT n FROM tally`), "there is no tally %d", 7)
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err))
	require.ErrorContains(t, err, "there is no tally 7")
	require.True(t, pg.IsUndefinedTable(d.GetContext(ctx, &n, `SELECT n FROM nowhere`)))

	err = d.Tx(ctx, func(tx *sqlx.Tx) error {
		return pg.ExpectOne(tx.ExecContext(ctx, `UPDATE tally SET at = now() WHERE n = $1`, 7))
	})
	require.Equal(t, keyturn.KindInternal, keyturn.KindOf(err))
	err = d.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `SELECT CAST($1 AS int)`, "SECRET")
		return err
	})
	require.Equal(t, keyturn.KindInternal, keyturn.KindOf(err))

	err = d.Tx(ctx, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, `SELECT 'SECRET'`) })
	require.Equal(t, keyturn.KindInternal, keyturn.KindOf(err), "it did answer")
	require.ErrorContains(t, err, "is of no use here")
	require.ErrorContains(t, pg.AsKind(sql.ErrNoRows), "no rows")
	kinded, _ := errors.AsType[*keyturn.Error](err)
	require.NotContains(t, kinded.Message, "SECRET")

	closed, err := pg.Open(ctx, testkit.Postgres(t, "", nil))
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(pg.AsKind(closed.GetContext(ctx, &n, `SELECT 1`))))
	for _, err := range []error{io.EOF, driver.ErrBadConn, &net.OpError{Op: "read", Err: syscall.ECONNRESET}} {
		require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(pg.AsKind(fmt.Errorf("reading: %w", err))), err)
	}

	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(d.Tx(ended, func(*sqlx.Tx) error { return nil })))
	require.NoError(t, pg.AsKind(nil))
}

// COPY takes bytes and times exactly, in as many blocks as the rows fill.
func TestCopyRows(t *testing.T) {
	t.Parallel()
	d := newDB(t)
	ctx := t.Context()
	const rows = 10_000
	at := time.Date(2026, 11, 29, 12, 0, 0, 123456000, time.FixedZone("", 3600))
	mark := func(i int) []byte { return slices.Repeat([]byte{byte(i), '\n', '\\', 0}, 10) }
	var all iter.Seq[func([]byte) []byte] = func(yield func(func([]byte) []byte) bool) {
		for i := range rows {
			if !yield(func(text []byte) []byte {
				when := at
				if i%2 == 1 {
					when = time.Time{}
				}
				text = pg.AppendTime(fmt.Appendf(text, "%d\t", i), when)
				return append(pg.AppendHex(append(text, '\t'), mark(i)), '\n')
			}) {
				return
			}
		}
	}
	require.NoError(t, d.Tx(ctx, func(tx *sqlx.Tx) error {
		return pg.CopyRows(ctx, tx, `COPY tally (n, at, mark) FROM STDIN`, all)
	}))
	var got []struct {
		N    int        `db:"n"`
		At   *time.Time `db:"at"`
		Mark []byte     `db:"mark"`
	}
	require.NoError(t, d.SelectContext(ctx, &got, `SELECT n, at, mark FROM tally ORDER BY n`))
	require.Len(t, got, rows)
	for i, r := range got {
		require.Equal(t, mark(i), r.Mark)
		require.Equal(t, i%2 == 1, r.At == nil)
		if r.At != nil {
			require.True(t, at.Equal(*r.At))
		}
	}
}
