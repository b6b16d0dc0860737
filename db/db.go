// Package db holds what is true, in PostgreSQL: migrations and queries, one file per aggregate. Every exported method
// is one use case in one transaction; every effect has a unique constraint behind it, so that a commit whose answer was
// lost is settled by calling the method again. The database decides what a line needs next (keyturn.Next); the workflow
// obeys.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/vault"
)

// DB gives access to Keyturn's database. It is safe for concurrent use.
type DB struct {
	x      *sqlx.DB
	keys   *vault.Keys
	trips  *atomic.Int64
	fronts fronts
	claims claims
	doors  doors

	packing packing

	integrations recent[readIntegration]
	fresh        recent[line]
}

// maxConns bounds one process: PostgreSQL's default is 100 for all, and each of ours is busy for a millisecond at a time.
const maxConns = 12

// Open connects to the database of the DSN (a postgres:// URL) and checks that it answers. keys encrypt and decrypt
// what is secret in it. The caller closes it.
func Open(ctx context.Context, dsn string, keys *vault.Keys) (*DB, error) {
	full, err := withParameters(dsn)
	if err != nil {
		return nil, err
	}
	inner, err := pq.NewConnector(full)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the database address is not valid (%s): %w", redactDSN(dsn), err)
	}
	trips := new(atomic.Int64)
	x := sqlx.NewDb(sql.OpenDB(connector{inner, trips}), "postgres")
	if err := x.PingContext(ctx); err != nil {
		_ = x.Close()
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "the database does not answer (%s): check that PostgreSQL runs and that the address, user and password are right: %w", redactDSN(dsn), err)
	}
	x.SetMaxOpenConns(maxConns)
	x.SetMaxIdleConns(maxConns)
	x.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{x: x, keys: keys, trips: trips, packing: defaultPacking}, nil
}

// Close closes the connections.
func (d *DB) Close() error { return d.x.Close() }

// Ping says whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.x.PingContext(ctx) }

// withParameters adds what every connection of ours needs. binary_parameters sends a statement with its arguments in
// one round trip; sslmode is written out because lib/pq says that its default will change. Our statements go by indexes,
// whatever PostgreSQL's statistics say at the moment, and by one plan for all arguments (decision 13), but for those that
// say wholeTables.
func withParameters(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "postgres") {
		return "", keyturn.Errorf(keyturn.KindInvalid, "the database address must look like postgres://user:password@host:5432/keyturn?sslmode=verify-full")
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

// maxTries bounds how often a transaction that PostgreSQL undid (deadlock, serialization) is run again.
const maxTries = 4

// tx runs fn in one transaction. fn may run more than once, so it must set its results anew each time. An error of the
// commit means that the outcome is unknown: the caller's caller tries again and finds what is true by its keys.
func (d *DB) tx(ctx context.Context, fn func(*sqlx.Tx) error) error {
	for try := 1; ; try++ {
		err := d.txOnce(ctx, fn)
		if isUndone(err) && try < maxTries {
			continue
		}
		return asKind(err)
	}
}

func (d *DB) txOnce(ctx context.Context, fn func(*sqlx.Tx) error) (err error) {
	tx, err := d.x.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			_ = tx.Rollback()
			panic(p)
		}
	}()
	if err := fn(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// asKind gives every error of the driver a kind; its text stays in the cause, because PostgreSQL quotes values in it.
func asKind(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*keyturn.Error](err); ok || isContended(err) || errors.Is(err, errDryRun) {
		return err
	}
	if pqErr, ok := errors.AsType[*pq.Error](err); ok && !strings.HasPrefix(string(pqErr.Code), "08") && !strings.HasPrefix(string(pqErr.Code), "57") && !strings.HasPrefix(string(pqErr.Code), "53") { // 53: no disk, memory or connection left
		return keyturn.Errorf(keyturn.KindInternal, "the database refused a statement (SQLSTATE %s, %s): %w", string(pqErr.Code), pqErr.Constraint, err)
	}
	return keyturn.Errorf(keyturn.KindUnavailable, "the database did not answer: %w", err)
}

const uniqueViolation = "23505"

// pqCode is the SQLSTATE of what PostgreSQL said; empty if it said nothing.
func pqCode(err error) string {
	if pqErr, ok := errors.AsType[*pq.Error](err); ok {
		return string(pqErr.Code)
	}
	return ""
}

// isUndone says that PostgreSQL undid a transaction because of another one: serialization or deadlock.
func isUndone(err error) bool { code := pqCode(err); return code == "40001" || code == "40P01" }

// isUnique says that err is the violation of the named unique constraint or index.
func isUnique(err error, constraint string) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	return ok && pqErr.Code == uniqueViolation && pqErr.Constraint == constraint
}

// notFound turns sql.ErrNoRows into an error of KindNotFound that names what was looked for.
func notFound(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return keyturn.Errorf(keyturn.KindNotFound, "%s", fmt.Sprintf(format, args...))
	}
	return asKind(err)
}

// mustAffect checks that a statement changed exactly one row.
func mustAffect(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return keyturn.Errorf(keyturn.KindInternal, "a statement changed %d rows instead of one", n)
	}
	return nil
}
