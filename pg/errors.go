package pg

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// AsKind gives an error of the driver a kind: KindUnavailable when the database did not answer, lacks a resource, or
// undid a transaction because of another one, KindInternal when it refused the statement, and for every other error,
// such as an answer that does not fit what it is read into. The driver's text stays in the cause, because PostgreSQL
// quotes values in it. Errors that have a kind, and ErrRollback, stay as they are.
func AsKind(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*keyturn.Error](err); ok || errors.Is(err, ErrRollback) {
		return err
	}
	pqErr, answered := errors.AsType[*pq.Error](err)
	switch {
	case answered && transient(string(pqErr.Code)):
		return keyturn.Errorf(keyturn.KindUnavailable, "the database did not answer (SQLSTATE %s): %w",
			string(pqErr.Code), err)
	case IsRetryable(err):
		return keyturn.Errorf(keyturn.KindUnavailable, "the database undid this for the sake of other transactions, each "+
			"time it was tried (SQLSTATE %s): try again: %w", string(pqErr.Code), err)
	case answered:
		return keyturn.Errorf(keyturn.KindInternal, "the database refused a statement (SQLSTATE %s, %s): %w",
			string(pqErr.Code), pqErr.Constraint, err)
	case noAnswer(err):
		return keyturn.Errorf(keyturn.KindUnavailable, "the database did not answer: %w", err)
	}
	return keyturn.Errorf(keyturn.KindInternal, "the database's answer is of no use here (%s): %w", wordsOf(err), err)
}

// noAnswer reports whether a connection or a wait failed.
func noAnswer(err error) bool {
	for _, known := range []error{
		driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded,
		context.Canceled, context.DeadlineExceeded, errSilent,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	_, network := errors.AsType[net.Error](err)
	_, system := errors.AsType[syscall.Errno](err)
	_, handshake := errors.AsType[*tls.CertificateVerificationError](err)
	return network || system || handshake || err.Error() == closedPool || neverSent(err)
}

// neverSent reports whether lib/pq could not send a byte of a request. It exports no type for that, and what it wraps,
// such as a connection that was reset, cannot be unwrapped.
func neverSent(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if fmt.Sprintf("%T", err) == "*pq.safeRetryError" {
			return true
		}
	}
	return false
}

// closedPool is what database/sql says after Close; it exports no error for it.
const closedPool = "sql: database is closed"

// wordsOf is what can be said of an error: its type where its text may quote values.
func wordsOf(err error) string {
	for _, known := range []error{sql.ErrNoRows, sql.ErrTxDone} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// asKind is AsKind for a statement that ran under ctx. A driver whose statement is interrupted because ctx is over may
// only say that the connection is bad: the error says why, too.
func asKind(ctx context.Context, err error) error {
	if _, hasKind := errors.AsType[*keyturn.Error](err); err != nil && !hasKind && !errors.Is(err, ErrRollback) {
		if over := ctx.Err(); over != nil && !errors.Is(err, over) {
			err = fmt.Errorf("%w: %w", over, err)
		}
	}
	return AsKind(err)
}

// transient reports whether an SQLSTATE belongs to a class that passes: the connection (08), resources such as disk,
// memory and connections (53), an administrator's intervention (57).
func transient(code string) bool {
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53") || strings.HasPrefix(code, "57")
}

// UniqueViolation is the SQLSTATE of a violated unique constraint or index.
const UniqueViolation = "23505"

// DivisionByZero is the SQLSTATE by which a statement of ours undoes itself.
const DivisionByZero = "22012"

// SQLState is the SQLSTATE of PostgreSQL's error; empty if err is none of its.
func SQLState(err error) string {
	if pqErr, ok := errors.AsType[*pq.Error](err); ok {
		return string(pqErr.Code)
	}
	return ""
}

// IsRetryable reports whether PostgreSQL undid a transaction because of another one: serialization failure or deadlock.
func IsRetryable(err error) bool { code := SQLState(err); return code == "40001" || code == "40P01" }

// IsUniqueViolation reports whether err is the violation of the named unique constraint or index.
func IsUniqueViolation(err error, constraint string) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	return ok && pqErr.Code == UniqueViolation && pqErr.Constraint == constraint
}

// NotFound turns sql.ErrNoRows into an error of KindNotFound that names what was looked for. Other errors get their
// kind (AsKind).
func NotFound(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return keyturn.Errorf(keyturn.KindNotFound, "%s", fmt.Sprintf(format, args...))
	}
	return AsKind(err)
}

// ExpectOne returns an error of KindInternal unless a statement changed exactly one row.
func ExpectOne(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return keyturn.Errorf(keyturn.KindInternal, "a statement changed %d rows instead of one", n)
	}
	return nil
}

// IsUndefinedTable reports whether a statement named a table that is not there: the database is not migrated.
func IsUndefinedTable(err error) bool { return SQLState(err) == "42P01" }
