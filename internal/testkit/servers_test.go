package testkit_test

import (
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func connect(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestPostgresGivesEveryTestACopyOfTheMigratedTemplate(t *testing.T) {
	t.Parallel()
	var migrations atomic.Int32
	migrate := func(dsn string) error {
		migrations.Add(1)
		db, err := sql.Open("postgres", dsn)
		if err != nil {
			return err
		}
		_, err = db.Exec("CREATE TABLE shelf (book text)")
		return errors.Join(err, db.Close())
	}
	template := t.Name()
	t.Run("tests", func(t *testing.T) {
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				db := connect(t, testkit.Postgres(t, template, migrate))
				_, err := db.ExecContext(t.Context(), "INSERT INTO shelf VALUES ('mine')")
				require.NoError(t, err)
				var books int
				require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM shelf").Scan(&books))
				require.Equal(t, 1, books, "nobody else's book is on the shelf")
			})
		}
	})
	require.LessOrEqual(t, migrations.Load(), int32(1), "at most once; not at all when an earlier run left the template")
}

func TestPostgresDropsTheDatabase(t *testing.T) {
	t.Parallel()
	var dsn string
	t.Run("a test", func(t *testing.T) {
		dsn = testkit.Postgres(t, "", nil)
		require.NoError(t, connect(t, dsn).PingContext(t.Context()))
	})
	require.ErrorContains(t, connect(t, dsn).PingContext(t.Context()), "does not exist")
}

func TestTemporalServes(t *testing.T) {
	t.Parallel()
	c, err := client.Dial(client.Options{HostPort: testkit.Temporal(t)})
	require.NoError(t, err)
	c.Close()
}
