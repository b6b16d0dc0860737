package pg

import (
	"context"
	"database/sql/driver"
	"errors"
	"regexp"
	"sync/atomic"

	"github.com/lib/pq"
)

// connector opens connections that prepare each statement once: parsing and planning a few dozen statements anew every
// time costs PostgreSQL more than running them. lib/pq has no such cache of its own.
type connector struct {
	inner *pq.Connector
	watch *watch
	trips *atomic.Int64 // round trips so far
}

// Connect is part of database/sql's driver interface.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.watch.check(); err != nil {
		return nil, err
	}
	inner, err := c.inner.Connect(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.watch.failed(err)
		}
		return nil, err
	}
	full, ok := inner.(pqConn)
	if !ok {
		_ = inner.Close()
		return nil, errors.New("the PostgreSQL driver lacks an interface that Keyturn needs")
	}
	return &conn{pqConn: full, prepared: map[string]pqStmt{}, trips: c.trips}, nil
}

// Driver is part of database/sql's driver interface.
func (c connector) Driver() driver.Driver { return c.inner.Driver() }

type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type pqStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// maxPrepared bounds a connection's statements. Ours are constants, so it is never reached; if it ever is, further ones
// run unprepared.
const maxPrepared = 500

// planned are the statements that PostgreSQL plans: others gain nothing by being prepared. Several in one cannot be.
var planned = regexp.MustCompile(`(?i)^\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b[^;]*$`)

type conn struct {
	pqConn
	prepared map[string]pqStmt
	trips    *atomic.Int64
}

// statement gives the prepared form of a statement that PostgreSQL plans; nil: run it as it is.
func (c *conn) statement(ctx context.Context, query string, args int) (pqStmt, error) {
	c.trips.Add(1)
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	if args == 0 && !planned.MatchString(query) || len(c.prepared) >= maxPrepared { // SAVEPOINT and the like
		return nil, nil
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := s.(pqStmt)
	if !ok {
		return nil, s.Close()
	}
	c.prepared[query] = full
	return full, nil
}

// QueryContext is part of database/sql's driver interface.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query, len(args))
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.pqConn.QueryContext(ctx, query, args)
	}
	return s.QueryContext(ctx, args)
}

// ExecContext is part of database/sql's driver interface.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query, len(args))
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.pqConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// copyIn is a COPY of rows that are written as COPY reads them: lib/pq's own takes them one by one, value by value.
type copyIn struct {
	driver.Stmt
	in interface {
		CopyData(ctx context.Context, lines string) (driver.Result, error)
	}
}

// PrepareContext is part of database/sql's driver interface.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.pqConn.PrepareContext(ctx, query)
	if in, ok := s.(interface {
		CopyData(ctx context.Context, lines string) (driver.Result, error)
	}); ok && err == nil {
		return copyIn{s, in}, nil
	}
	return s, err
}

// ExecContext sends some lines; without arguments it ends the COPY.
func (c copyIn) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.Stmt.Exec(nil) //nolint:staticcheck // lib/pq has no other
	}
	lines, ok := args[0].Value.([]byte)
	if !ok || len(lines) == 0 {
		return nil, errors.New("COPY takes lines")
	}
	return c.in.CopyData(ctx, string(lines[:len(lines)-1])) // which adds the last line feed
}
