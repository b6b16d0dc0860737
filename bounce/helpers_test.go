package bounce

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// shop is a database with delivered lines.
type shop struct {
	Books

	t      *testing.T
	sql    *sql.DB
	logged *bytes.Buffer
	orders int
}

func open(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	ctx := context.Background()
	s := &shop{t: t, logged: new(bytes.Buffer)}
	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error { _, err := db.Migrate(ctx, dsn); return err })
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keyFile))
	keys, err := vault.LoadKeys(keyFile)
	require.NoError(t, err)
	opened, err := db.Open(ctx, dsn, keys)
	require.NoError(t, err)
	s.Books = Books{DB: opened, Logger: slog.New(slog.NewTextHandler(s.logged, nil))}
	s.sql, err = sql.Open("postgres", dsn)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.sql.Close())
		require.NoError(t, opened.Close())
	})
	_, _, err = s.DB.PutPool(ctx, keyturn.Pool{ID: "keys"})
	require.NoError(t, err)
	_, err = s.DB.Import(ctx, "keys", strings.NewReader("K-1\nK-2\nK-3\nK-4\nK-5\nK-6\nK-7\nK-8\nK-9"), "test", false)
	require.NoError(t, err)
	_, _, err = s.DB.PutProduct(ctx, keyturn.Product{
		ID: "game", Name: "Game", Sources: []keyturn.Source{keyturn.FromPool("keys")},
	})
	require.NoError(t, err)
	return s
}

// sent gives the ID of an e-mail that went out.
func (s *shop) sent() string {
	s.t.Helper()
	ctx := context.Background()
	s.orders++
	o := keyturn.Order{
		ID: fmt.Sprintf("ORD-%d", s.orders), Currency: "EUR",
		Payment:   keyturn.Payment{Provider: "sandbox", Reference: fmt.Sprintf("pay-%d", s.orders)},
		Customer:  keyturn.Customer{ID: "c-1", Email: "jean@buyer.test", Country: "FR"},
		LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "10.00"}},
	}
	a, _, err := s.DB.Accept(ctx, db.AcceptInput{
		Order: o, Client: "test", IdempotencyKey: o.ID, RequestHash: []byte(o.ID),
		Respond: func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	require.NoError(s.t, err)
	f := a.Order.LineItems[0].FulfillmentID
	_, err = s.DB.Claim(ctx, f, nil)
	require.NoError(s.t, err)
	d, _, _, err := s.DB.BeginDelivery(ctx, f, func(db.MailFacts) ([]byte, error) { return []byte("a letter"), nil })
	require.NoError(s.t, err)
	_, err = s.DB.FinishDelivery(ctx, f, d, nil, false)
	require.NoError(s.t, err)
	return d.ID
}

// booked are the kinds of what was reported of an e-mail, with their status.
func (s *shop) booked(deliveryID string) string {
	s.t.Helper()
	var out string
	require.NoError(s.t, s.sql.QueryRow(`
		SELECT coalesce(string_agg(trim(kind || ' ' || status), ', ' ORDER BY at), '') FROM bounces
		WHERE delivery_id = $1`, deliveryID).Scan(&out))
	return out
}

func (s *shop) count(query string) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.sql.QueryRow(query).Scan(&n))
	return n
}

// report is what a server sends back of an e-mail.
func (s *shop) report(deliveryID, status string) []byte {
	return []byte(strings.ReplaceAll(fmt.Sprintf(`From: MAILER-DAEMON@relay.test
To: bounce+%[1]s@mail.shop.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.test

Final-Recipient: rfc822; jean@buyer.test
Action: failed
Status: %[2]s

--b
Content-Type: text/rfc822-headers

X-Keyturn-Ref: %[1]s

--b--
`, s.DB.MailRef(deliveryID), status), "\n", "\r\n"))
}
