package db

import (
	"context"
	"embed"
	"io/fs"
	"strconv"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the database of the DSN to this version's schema, under a lock, so that several processes may try at
// once. It is a no-op on a database that is up to date. It returns the files that were applied. KindConfiguration on a
// database that another application has migrated.
func Migrate(ctx context.Context, dsn string) ([]string, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	x, err := pg.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = x.Close() }()
	switch applied, ours, err := schemaVersion(ctx, x); {
	case err != nil:
		return nil, err
	case applied > 0 && !ours:
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the database has the tables of another application: create "+
			"a database for Keyturn and set KEYTURN_DATABASE_URL to its address")
	}
	return pg.Migrate(ctx, dsn, files)
}

// CheckSchema says whether the database has the tables that this build works with. A newer schema is fine: migrations
// are additive, and the previous build runs beside the next one during a deploy. KindConfiguration.
func (d *DB) CheckSchema(ctx context.Context) error {
	applied, ours, err := schemaVersion(ctx, d.pg)
	if err != nil {
		return err
	}
	if applied == 0 || !ours {
		return keyturn.Errorf(keyturn.KindConfiguration,
			"the database has no tables of Keyturn's: run `keyturn migrate`, or "+
				"set KEYTURN_DATABASE_URL to the database that has them")
	}
	needed, err := neededVersion()
	if err == nil && applied < needed {
		return keyturn.Errorf(keyturn.KindConfiguration, "the database's schema is version %d and this build needs "+
			"version %d: run `keyturn migrate`", applied, needed)
	}
	return err
}

// schemaVersion is the number of the last migration that the database has, 0 if it has none, and whether they are
// Keyturn's: another application may have used the same tool, and may have a table of that name.
func schemaVersion(ctx context.Context, q sqlx.QueryerContext) (applied int64, ours bool, err error) {
	var found []bool
	if err := sqlx.SelectContext(ctx, q, &found, `
		SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('line_items') AND attname = 'fulfillment_id')
		WHERE to_regclass('goose_db_version') IS NOT NULL`); err != nil || len(found) == 0 {
		return 0, false, pg.AsKind(err)
	}
	err = sqlx.GetContext(ctx, q, &applied, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`)
	return applied, found[0], pg.AsKind(err)
}

// neededVersion is the number of the last migration of this build.
func neededVersion() (int64, error) {
	files, err := fs.ReadDir(migrations, "migrations") // sorted by name
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(files[len(files)-1].Name()[:5], 10, 64)
}
