package pg

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"keyturn.dev/keyturn"
)

// Migrate applies the SQL files that the database of the DSN lacks, under a lock, so that several processes may try at
// once. It is a no-op on a database that is up to date. It returns the names of the files that it applied.
// KindUnavailable.
func Migrate(ctx context.Context, dsn string, files fs.FS) ([]string, error) {
	full, err := withParameters(dsn)
	if err != nil {
		return nil, err
	}
	x, err := sql.Open("postgres", full)
	if err != nil {
		return nil, err
	}
	defer func() { _ = x.Close() }()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // looks every second, for five minutes
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, x, files, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "the database could not be migrated (%s): %w", redactDSN(dsn),
			err)
	}
	var names []string
	for _, r := range done {
		names = append(names, fmt.Sprint(r.Source.Path))
	}
	return names, nil
}

// Versions are the number of the last migration that was applied to the database of the DSN, 0 if none was, and of the
// last of the files. It changes nothing. KindUnavailable.
func Versions(ctx context.Context, dsn string, files fs.FS) (have, want int64, err error) {
	x, err := Open(ctx, dsn)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = x.Close() }()
	err = x.GetContext(ctx, &have, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`)
	if err != nil && !IsUndefinedTable(err) {
		return 0, 0, AsKind(err)
	}
	names, err := fs.Glob(files, "*.sql")
	for _, name := range names {
		n, err := goose.NumericComponent(name)
		if err != nil {
			return 0, 0, err
		}
		want = max(want, n)
	}
	return have, want, err
}
