package testkit

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Multiply copies every row of the tables n times, under new IDs, and refreshes PostgreSQL's statistics. The tables
// stand in the order of their references. What is copied has the same shape as what was sold, so the statistics are
// those of a shop with one product of each kind, one pool that came in one file, and one partner. other names
// columns, such as "outbox.due_at", whose copies get another value: an SQL expression.
func Multiply(t testing.TB, dsn string, n int, tables []string, other map[string]string) {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // what it did is committed
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // nothing is left to undo once it is committed
	for _, table := range tables {
		names, values := copyOf(t, tx, table, other)
		if _, err := tx.ExecContext(t.Context(), fmt.Sprintf(
			`INSERT INTO %[1]s (%[2]s) SELECT %[3]s FROM %[1]s, generate_series(1, %[4]d) AS g`,
			table, strings.Join(names, ", "), strings.Join(values, ", "), n)); err != nil {
			t.Fatalf("multiply %s: %v", table, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `ANALYZE`); err != nil { //keyturn:autocommit it may run twice
		t.Fatal(err)
	}
}

// copyOf gives the columns of a table, and the expressions that make the g-th copy of a row.
func copyOf(t testing.TB, tx *sql.Tx, table string, other map[string]string) (names, values []string) {
	t.Helper()
	rows, err := tx.QueryContext(t.Context(), `
		SELECT column_name, data_type FROM information_schema.columns
		WHERE table_name = $1 AND table_schema = 'public' AND is_identity <> 'YES' ORDER BY ordinal_position`, table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() // all of it was read
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		values = append(values, cmp.Or(other[table+"."+name], copyOfColumn(table, name, kind)))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names, values
}

// copiedNames are the columns of text that are unique, or name a row of another table that is copied.
var copiedNames = []string{
	"order_id", "customer_id", "reference", "key", "idempotency_key", "link_id", "session_reference",
	"payment_reference", "id",
}

func copyOfColumn(table, name, kind string) string {
	switch {
	case kind == "uuid" && name != "batch_id":
		return "CAST(md5(CAST(" + name + " AS text) || g) AS uuid)"
	case kind == "bytea" && (name == "fingerprint" || name == "email_tag" || strings.HasSuffix(name, "_hash") &&
		name != "request_hash"):
		return "decode(md5(encode(" + name + ", 'hex') || g), 'hex')"
	case table == "pool_keys" && name == "position":
		return "position + 1000 * g"
	case name == "created_at":
		return "created_at + g * interval '1 us'" // the originals come first
	case table == "outbox" && name == "subject":
		return "CAST(CAST(md5(subject || g) AS uuid) AS text)"
	case kind == "text" && slices.Contains(copiedNames, name):
		return name + " || '-' || g"
	}
	return name
}

// Reads watches what PostgreSQL reads in a database.
type Reads struct {
	db     *sql.DB
	before map[string]Read
}

// Read is how many rows of a table were read.
type Read struct {
	Table string
	Whole int64 // rows, by going through the table
	Index int64 // entries of its indexes
}

// WatchReads begins to watch. Nobody may be connected to the database.
func WatchReads(t testing.TB, dsn string) *Reads {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	r := &Reads{db: db}
	r.before = r.all(t)
	return r
}

// More gives the tables of which more than limit rows were read since the last call, in order. It waits for all others
// to disconnect: a process says what it read when it ends, at the latest.
func (r *Reads) More(t testing.TB, limit int64) []Read {
	t.Helper()
	after := r.all(t)
	var out []Read
	for table, a := range after {
		b := r.before[table]
		if a.Whole-b.Whole > limit || a.Index-b.Index > limit {
			out = append(out, Read{Table: table, Whole: a.Whole - b.Whole, Index: a.Index - b.Index})
		}
	}
	r.before = after
	slices.SortFunc(out, func(a, b Read) int { return strings.Compare(a.Table, b.Table) })
	return out
}

// String says what was read, for a test's report.
func (r Read) String() string {
	return fmt.Sprintf("%d rows of the table %s, %d of its indexes", r.Whole, r.Table, r.Index)
}

func (r *Reads) all(t testing.TB) map[string]Read {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		var n int
		if err := r.db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
		).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%d connections to the database are open", n)
		}
	}
	rows, err := r.db.QueryContext(t.Context(), `
		SELECT t.relname, coalesce(t.seq_tup_read, 0),
			coalesce((SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid), 0)
		FROM pg_stat_user_tables t`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() // all of it was read
	out := map[string]Read{}
	for rows.Next() {
		var read Read
		if err := rows.Scan(&read.Table, &read.Whole, &read.Index); err != nil {
			t.Fatal(err)
		}
		out[read.Table] = read
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
