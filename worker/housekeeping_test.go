package worker_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/stock"
	"keyturn.dev/keyturn/vault"
	"keyturn.dev/keyturn/worker"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// A mail server that accepts a connection and says nothing takes half a minute of the job that mails alerts, and
// nothing of the others: a line that waits gets its key meanwhile.
func TestASilentMailServerHoldsUpNothingElse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keyFile))
	keys, err := vault.LoadKeys(keyFile)
	require.NoError(t, err)
	d, err := db.Open(ctx, dsn, keys)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	connected := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			connected <- c
		}
	}()
	sender, err := mail.NewSender(mail.Config{Addr: silent.Addr().String(), TLS: mail.TLSNone})
	require.NoError(t, err)

	_, _, err = d.PutPool(ctx, keyturn.Pool{ID: "p"})
	require.NoError(t, err)
	_, _, err = d.PutProduct(ctx, keyturn.Product{
		ID: "game", Name: "Game",
		Sources: []keyturn.Source{keyturn.FromPool("p")},
	})
	require.NoError(t, err)
	a, _, err := d.Accept(ctx, db.AcceptInput{
		Client: "shop", IdempotencyKey: "o1", RequestHash: []byte("o1"),
		Order: keyturn.Order{
			ID: "o1", Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay"},
			Customer:  keyturn.Customer{ID: "c1", Email: "ada@buyer.test", Country: "FR", Locale: "fr-FR"},
			LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "10.00"}},
		},
		Respond: func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.NoError(t, err)
	f := a.Starts[0].FulfillmentID
	next, err := d.Claim(ctx, f, nil)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineWaitingForStock, next.Status)

	done := make(chan struct{})
	go func() {
		defer close(done)
		(&worker.Housekeeping{
			DB: d, Mail: sender, From: "keyturn@keyturn.test", To: "ops@keyturn.test", Logger: slog.New(slog.DiscardHandler),
			Every: 50 * time.Millisecond, HistoryLink: func(string) string { return "" },
		}).Run(ctx)
	}()
	conn := <-connected // the job that mails hangs from here on, until the sender's time is up
	defer func() { _ = conn.Close() }()
	_, err = d.Stock().Import(ctx, stockInput("p", "K-1")) // which serves nobody by itself
	require.NoError(t, err)
	for {
		next, err := d.Review(ctx, f)
		require.NoError(t, err)
		if next.Do == keyturn.DoDeliver {
			break
		}
		require.Empty(t, connected, "it is served before the sender has given up and tried anew")
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	<-done
}

func stockInput(pool, keys string) stock.ImportInput {
	return stock.ImportInput{Pool: pool, File: strings.NewReader(keys), By: "test"}
}
