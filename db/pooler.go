package db

import (
	"context"

	"keyturn.dev/keyturn/pg"
)

// Pooler says what stands between this process and PostgreSQL does to connections.
type Pooler struct {
	Lost   []string // settings that each connection asks for, and that do not hold
	Shared bool     // connections of this process take turns on one of PostgreSQL's: transaction pooling
}

// Pooler finds out whether a pooler breaks what connections rely on: their settings, their prepared statements, and
// that nobody else uses them.
func (d *DB) Pooler(ctx context.Context) (p Pooler, err error) {
	if p.Lost, err = d.pg.LostSettings(ctx); err != nil {
		return p, pg.AsKind(err)
	}
	p.Shared, err = d.pg.Shared(ctx)
	return p, pg.AsKind(err)
}
