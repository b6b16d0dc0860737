package db

import (
	"context"
	"embed"
	"io/fs"

	"keyturn.dev/keyturn/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the database of the DSN to this version's schema, under a lock, so that several processes may try at
// once. It is a no-op on a database that is up to date. It returns the files that were applied.
func Migrate(ctx context.Context, dsn string) ([]string, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return pg.Migrate(ctx, dsn, files)
}

// schemaVersions are the number of the last migration that the database has, and of the last that this build knows.
func schemaVersions(ctx context.Context, dsn string) (have, want int64, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, 0, err
	}
	return pg.Versions(ctx, dsn, files)
}
