// Package sqlx has the shapes of the real one that the check looks at.
package sqlx

import (
	"context"
	"database/sql"
)

type DB struct{ *sql.DB }

func (*DB) GetContext(ctx context.Context, dest any, query string, args ...any) error { return nil }

func (*DB) NamedExecContext(ctx context.Context, query string, arg any) (sql.Result, error) {
	return nil, nil
}

type Tx struct{ *sql.Tx }

func (*Tx) GetContext(ctx context.Context, dest any, query string, args ...any) error { return nil }

type QueryerContext interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

type ExtContext interface {
	QueryerContext
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func NamedExecContext(ctx context.Context, e ExtContext, query string, arg any) (sql.Result, error) {
	return nil, nil
}

func SelectContext(ctx context.Context, q QueryerContext, dest any, query string, args ...any) error {
	return nil
}
