package catalogfile_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// newClient speaks to an API with an empty catalog.
func newClient(t *testing.T) *client.Client {
	t.Helper()
	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	keysFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keysFile))
	keys, err := vault.LoadKeys(keysFile)
	require.NoError(t, err)
	d, err := db.Open(t.Context(), dsn, keys)
	require.NoError(t, err)
	const token = "test-token"
	server := httptest.NewServer(api.New(api.Config{
		Payments: []string{"sandbox"},
		DB:       d, DevToken: token,
		Logger: slog.New(slog.DiscardHandler),
	}).Handler())
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, d.Close())
	})
	return &client.Client{BaseURL: server.URL, Token: token}
}
