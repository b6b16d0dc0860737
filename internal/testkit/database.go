package testkit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/lib/pq"
)

// Postgres makes a database for the test alone and gives its connection string; it is dropped when the test ends. With
// a nil migrate it is empty. Otherwise it is a copy of a template that migrate has been run on once for all tests, also
// those of other packages, that give the same template name: change the name with the migrations, for instance by their
// hash. migrate closes its connections before it returns.
func Postgres(t testing.TB, template string, migrate func(dsn string) error) string {
	t.Helper()
	needMain(t)
	admin, err := server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text()[:16])
	create := "CREATE DATABASE " + pq.QuoteIdentifier(name)
	if migrate != nil {
		source, err := admin.template(t.Context(), template, migrate)
		if err != nil {
			t.Fatal(err)
		}
		create += " TEMPLATE " + pq.QuoteIdentifier(source) + admin.strategy
	}
	if err := admin.run(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context has ended by now.
		if err := admin.run(context.Background(),
			"DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(name)+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return admin.dsn(name)
}

// adminDB makes and drops databases on the server of the tests.
type adminDB struct {
	*sql.DB
	url      *url.URL
	strategy string // the fastest way to copy a template: as files, which newer versions have to be told

	mu        sync.Mutex
	templates map[string]bool // those that are known to be there
}

var server = func() func(context.Context) (*adminDB, error) {
	var (
		mu    sync.Mutex
		admin *adminDB
	)
	return func(ctx context.Context) (*adminDB, error) {
		mu.Lock()
		defer mu.Unlock()
		if admin != nil {
			return admin, nil
		}
		dsn := os.Getenv(DatabaseURLEnv)
		if dsn == "" {
			pg, err := own.Postgres(ctx)
			if err != nil {
				return nil, err
			}
			dsn = pg.DSN("postgres")
		}
		parsed, err := url.Parse(dsn)
		if err != nil {
			return nil, fmt.Errorf("read %s, which must be a URL: %w", DatabaseURLEnv, err)
		}
		db, err := sql.Open("postgres", dsn)
		if err != nil {
			return nil, fmt.Errorf("connect to the PostgreSQL of the tests: %w", err)
		}
		db.SetMaxOpenConns(4)
		made := &adminDB{DB: db, url: parsed, templates: map[string]bool{}}
		err = db.QueryRowContext(ctx,
			"SELECT CASE WHEN CAST(current_setting('server_version_num') AS int) >= 150000 THEN ' STRATEGY file_copy' ELSE "+
				"'' END").Scan(&made.strategy)
		if err != nil {
			return nil, fmt.Errorf("connect to the PostgreSQL of the tests: %w", err)
		}
		admin = made
		return admin, nil
	}
}()

func (a *adminDB) dsn(database string) string {
	u := *a.url
	u.Path = "/" + database
	return u.String()
}

// template returns the name of a migrated database. The advisory lock keeps other test processes from making the same
// one at the same time, and a template gets its name when it is complete.
func (a *adminDB) template(ctx context.Context, name string, migrate func(dsn string) error) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	hash := sha256.Sum256([]byte(name))
	source := "template_" + hex.EncodeToString(hash[:8])
	if a.templates[source] {
		return source, nil
	}
	lock, err := a.Conn(ctx)
	if err != nil {
		return "", fmt.Errorf("connect to the PostgreSQL of the tests: %w", err)
	}
	defer lock.Close() //nolint:errcheck // goes back to the pool
	//keyturn:autocommit it outlives a transaction on purpose, and taking it twice does no harm
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock(hashtext($1))", source); err != nil {
		return "", fmt.Errorf("wait for the test template: %w", err)
	}
	unlock := context.WithoutCancel(ctx)
	//keyturn:autocommit as above
	defer lock.ExecContext(unlock, "SELECT pg_advisory_unlock(hashtext($1))", source) //nolint:errcheck // a broken one has let go
	var exists bool
	if err := lock.QueryRowContext(ctx,
		"SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", source).Scan(&exists); err != nil {
		return "", fmt.Errorf("look for the test template: %w", err)
	}
	if !exists {
		if err := a.makeTemplate(ctx, source, migrate); err != nil {
			return "", err
		}
	}
	a.templates[source] = true
	return source, nil
}

func (a *adminDB) makeTemplate(ctx context.Context, source string, migrate func(dsn string) error) error {
	part := source + "_new"
	quoted := pq.QuoteIdentifier(part)
	if err := errors.Join(a.run(ctx, "DROP DATABASE IF EXISTS "+quoted+" WITH (FORCE)"),
		a.run(ctx, "CREATE DATABASE "+quoted)); err != nil {
		return err
	}
	if err := migrate(a.dsn(part)); err != nil {
		return fmt.Errorf("migrate the test template: %w", err)
	}
	// A template that somebody is connected to cannot be copied, and autovacuum is somebody.
	if err := a.run(ctx, "ALTER DATABASE "+quoted+" ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	return a.run(ctx, "ALTER DATABASE "+quoted+" RENAME TO "+pq.QuoteIdentifier(source))
}

// run executes a statement that PostgreSQL does not allow in a transaction.
func (a *adminDB) run(ctx context.Context, statement string) error {
	if _, err := a.ExecContext(ctx, statement); err != nil { //keyturn:autocommit see above
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
