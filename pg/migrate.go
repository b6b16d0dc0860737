package pg

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"

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
	u, err := url.Parse(full)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Set("statement_timeout", "0") // an index of a large table takes its time
	u.RawQuery = q.Encode()
	x, err := sql.Open("postgres", u.String())
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
