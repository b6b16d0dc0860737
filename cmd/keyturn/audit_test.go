package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) {
	testkit.AtOnce(6) // drill sheets wait for time-outs
	testkit.Main(m)
}

// auditedShop is an empty database that the command finds through its environment.
func auditedShop(t *testing.T) *sql.DB {
	t.Helper()
	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	keys := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keys))
	t.Setenv("KEYTURN_DATABASE_URL", dsn)
	t.Setenv("KEYTURN_KEYS", keys)
	x, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	return x
}

func TestAuditSaysWhatItLookedAtAndKeepsIt(t *testing.T) {
	x := auditedShop(t)
	out, err := execute(t, "audit")
	require.NoError(t, err)
	require.Contains(t, out, "B1  S0  ok           No key is on two units.")
	require.Contains(t, out, "0 pool keys, 0 codes of partners and people")
	require.Contains(t, out, "not checked")
	require.Contains(t, out, "no evidence: needs the mailbox")
	require.Contains(t, out, "0 violations")

	_, err = execute(t, "audit", "--no-store")
	require.NoError(t, err)
	var kept, good int
	require.NoError(t, x.QueryRow(`SELECT count(*), count(*) FILTER (WHERE ok) FROM audits`).Scan(&kept, &good))
	require.Equal(t, []int{1, 1}, []int{kept, good})
}

func TestAuditFailsOnAViolation(t *testing.T) {
	x := auditedShop(t)
	for range 30 {
		_, err := x.Exec(
			`INSERT INTO idempotency_keys (client, key, request_hash, order_id, response)
			VALUES ('shop', gen_random_uuid(), '', 'ghost', '')`)
		require.NoError(t, err)
	}
	out, err := execute(t, "audit")
	require.ErrorContains(t, err, "30 violations of A1")
	require.Contains(t, out, "order ghost: its request was answered, but there is no such order")
	require.Contains(t, out, "… and 10 more (--all)")

	out, err = execute(t, "audit", "--all")
	require.Error(t, err)
	require.NotContains(t, out, "more (--all)")

	out, err = execute(t, "audit", "--output", "json")
	require.Error(t, err)
	var report audit.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.OK)
	require.Equal(t, []string{"A1"}, report.Violated())
}

func TestAuditNamesEvidenceThatIsNotThere(t *testing.T) {
	auditedShop(t)
	for _, args := range [][]string{
		{"--mailbox", "/no/such/folder"},
		{"--partner-log", "/no/such/file"},
		{"--dev", "--data-dir", t.TempDir()},
	} {
		_, err := execute(t, append([]string{"audit"}, args...)...)
		require.Error(t, err, args)
	}
}

// With a key file of another database nothing can be compared: one sentence, no list of violations.
func TestAuditRefusesAnotherKeyFile(t *testing.T) {
	x := auditedShop(t)
	_, err := x.Exec(`INSERT INTO customers (id, data_key) VALUES ('c-1', '\x00')`)
	require.NoError(t, err)
	out, err := execute(t, "audit")
	require.ErrorContains(t, err, "the key file is not the one that this database was written with")
	require.Empty(t, out)
}
