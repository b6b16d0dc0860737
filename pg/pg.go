// Package pg is the PostgreSQL side of the packages that hold SQL: connections that prepare each statement once,
// transactions that are repeated when PostgreSQL undid them, single-statement transactions, a builder of statements
// with several writes, read-only snapshots, errors with kinds, COPY, and migrations. It knows no table.
package pg

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// DB is a pool of connections to one database. It is safe for concurrent use. The embedded handle is for reads: writes
// go through Tx or Implicit (the autocommit linter sees to it).
type DB struct {
	*sqlx.DB
	trips *atomic.Int64
	dsn   string // with what every connection asks for
}

// MaxConns bounds the connections of one process: PostgreSQL's default is 100 for all, and each is busy for a
// millisecond at a time.
const MaxConns = 12

// Open connects to the database of the DSN (a postgres:// URL) and checks that it answers. The caller closes it.
// KindInvalid when the DSN is malformed, KindUnavailable when the database does not answer; errors never show a
// password.
func Open(ctx context.Context, dsn string) (*DB, error) {
	full, err := withParameters(dsn)
	if err != nil {
		return nil, err
	}
	inner, err := pq.NewConnector(full)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the database address is not valid (%s): %w", redactDSN(dsn), err)
	}
	probe, err := pq.NewConnector(full)
	if err != nil {
		return nil, err
	}
	w := &watch{probe: probe, conns: map[*watchedConn]bool{}}
	inner.Dialer(w)
	trips := new(atomic.Int64)
	x := sqlx.NewDb(sql.OpenDB(connector{inner, w, trips}), "postgres")
	x.MapperFunc(snakeCase)
	if err := x.PingContext(ctx); err != nil {
		_ = x.Close()
		if strings.Contains(err.Error(), "unsupported startup parameter") { // PgBouncer's own words
			return nil, keyturn.Errorf(keyturn.KindUnavailable, "a pooler stands before the database (%s) and refuses what "+
				"connections ask for: name PostgreSQL itself, because Keyturn pools its connections: %w", redactDSN(dsn), err)
		}
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "the database does not answer (%s): check that PostgreSQL runs "+
			"and that the address, user and password are right: %w", redactDSN(dsn), err)
	}
	x.SetMaxOpenConns(MaxConns)
	x.SetMaxIdleConns(MaxConns)
	x.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{DB: x, trips: trips, dsn: full}, nil
}

// RoundTrips is how often this process has asked PostgreSQL for something and waited for the answer.
func (d *DB) RoundTrips() int64 { return d.trips.Load() }

// withParameters adds what every connection needs. binary_parameters sends a statement with its arguments in one round
// trip; sslmode is written out because lib/pq says that its default will change. Statements use indexes, whatever
// PostgreSQL's statistics say at the moment, and one plan for all arguments (decision 13); AllowSeqScans is the
// exception.
func withParameters(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "postgres") {
		return "", keyturn.Errorf(keyturn.KindInvalid,
			"the database address must look like postgres://user:password@host:5432/keyturn?sslmode=verify-full")
	}
	q := u.Query()
	for k, v := range map[string]string{
		"binary_parameters": "yes", "sslmode": "verify-full", "connect_timeout": "5", "application_name": "keyturn",
		"statement_timeout": "30000", "idle_in_transaction_session_timeout": "60000", "timezone": "UTC",
		"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan", "jit": "off",
	} {
		if !q.Has(k) {
			q.Set(k, v)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func redactDSN(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "unreadable address"
	}
	return u.Redacted()
}
