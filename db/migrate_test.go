package db

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
)

func TestMigrateTwiceIsANoOp(t *testing.T) {
	t.Parallel()
	dsn := testkit.Postgres(t, "", nil)
	applied, err := Migrate(t.Context(), dsn)
	require.NoError(t, err)
	require.NotEmpty(t, applied)
	applied, err = Migrate(t.Context(), dsn)
	require.NoError(t, err)
	require.Empty(t, applied)
}

// Several processes of a new version start at the same time.
func TestConcurrentMigrations(t *testing.T) {
	t.Parallel()
	dsn := testkit.Postgres(t, "", nil)
	applied := make([][]string, 4)
	for _, err := range atOnce(4, func(i int) (err error) { applied[i], err = Migrate(t.Context(), dsn); return err }) {
		require.NoError(t, err)
	}
	var all []string
	for _, names := range applied {
		all = append(all, names...)
	}
	first, err := Migrate(t.Context(), testkit.Postgres(t, "", nil))
	require.NoError(t, err)
	require.ElementsMatch(t, first, all, "each file once")
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"":                          "must look like postgres://",
		"keyturn":                   "must look like postgres://",
		"mysql://localhost/keyturn": "must look like postgres://",
		"host=localhost":            "must look like postgres://",
		"postgres://keyturn:CANARY@127.0.0.1:1/keyturn?sslmode=disable": "check that PostgreSQL runs",
	} {
		_, err := Open(t.Context(), dsn, nil)
		require.ErrorContains(t, err, want, dsn)
		require.NotContains(t, err.Error(), "CANARY")
		_, err = Migrate(t.Context(), dsn)
		require.Error(t, err, dsn)
		require.NotContains(t, err.Error(), "CANARY")
	}
	_, err := Open(t.Context(), "postgres://keyturn@127.0.0.1:1/keyturn?sslmode=disable", nil)
	wantKind(t, err, keyturn.KindUnavailable)
}

// Files are numbered one after the other, so that every database applied the same ones in the same order.
func TestMigrationsAreNumberedInOrder(t *testing.T) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i, file := range files {
		require.Regexp(t, fmt.Sprintf(`^migrations/%05d_[a-z_]+\.sql$`, i+1), file)
	}
}

// Every time is a timestamptz: PostgreSQL's clock decides, and no time zone can shift a deadline.
func TestSchemaRules(t *testing.T) {
	s := newShop(t)
	require.Empty(t, reads[string](s, `
		SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%' AND data_type IN ('timestamp without time zone',
			'real', 'double precision', 'numeric', 'money', 'json', 'jsonb')`))
}

// A process that starts on another schema than its own says what to do, in one sentence.
func TestSchemaIsCheckedAtTheStart(t *testing.T) {
	t.Parallel()
	const none = "the database has no tables of Keyturn's: run `keyturn migrate`, or set KEYTURN_DATABASE_URL to the " +
		"database that has them"
	goose := `CREATE TABLE goose_db_version (id int GENERATED ALWAYS AS IDENTITY, version_id bigint, is_applied boolean);
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (999, true);`
	needed, err := neededVersion()
	require.NoError(t, err)
	for name, row := range map[string]struct{ migrate, sql, want, refused string }{
		"empty":    {want: none},
		"of other": {sql: `CREATE TABLE line_items (id int)`, want: none},
		"migrated by another application": {
			sql: goose + `CREATE TABLE line_items (id int)`, want: none,
			refused: "the database has the tables of another application",
		},
		"older": {
			migrate: "yes", sql: fmt.Sprintf(`DELETE FROM goose_db_version WHERE version_id = %d`, needed),
			want: fmt.Sprintf("the database's schema is version %d and this build needs version %d: run `keyturn migrate`",
				needed-1, needed),
		},
		"of this build": {migrate: "yes", sql: `SELECT 1`},
		"newer": {
			migrate: "yes", sql: `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := testkit.Postgres(t, "", nil)
			if row.migrate != "" {
				_, err := Migrate(t.Context(), dsn)
				require.NoError(t, err)
			}
			_, err := connectSQL(t, dsn).ExecContext(t.Context(), row.sql+";")
			require.NoError(t, err)
			d, err := Open(t.Context(), dsn, nil)
			require.NoError(t, err)
			defer d.Close()
			err = d.CheckSchema(t.Context())
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, row.want)
			wantKind(t, err, keyturn.KindConfiguration)
			if row.refused != "" {
				_, err = Migrate(t.Context(), dsn)
				require.ErrorContains(t, err, row.refused)
			}
		})
	}
}
