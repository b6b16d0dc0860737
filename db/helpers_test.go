package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/pg"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "20"); err != nil { // each is dozens of transactions; -rapid.checks=1000 for more
		panic(err)
	}
	testkit.AtOnce(4) // it reads the command's flags, which win over ours
	testkit.Main(m)
}

// errUndo undoes a transaction whose effects a test has seen.
var errUndo = fmt.Errorf("undone by the test: %w", pg.ErrRollback)

// importChunk is how many keys an import stores at a time: more than that take several steps.
const importChunk = 10_000

// testing is what both *testing.T and *rapid.T are.
type testingT interface {
	require.TestingT
	Helper()
	Logf(format string, args ...any)
}

// shop is a database of the test's own, with the catalog and the orders that the test puts there. When the test ends,
// every invariant of the data must hold.
type shop struct {
	*DB
	t       testingT
	ctx     context.Context //nolint:containedctx // of one test
	dsn     string
	keyFile string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	return openShop(t)
}

// openShop is newShop for benchmarks, which have the machine to themselves.
func openShop(t testing.TB) *shop {
	t.Helper()
	s := emptyShop(t)
	t.Cleanup(func() {
		if !t.Failed() {
			s.ctx = context.Background()
			s.invariants("")
		}
		require.NoError(t, s.Close())
	})
	return s
}

// emptyShop is a shop whose data nobody checks at the end, and that is its caller's to close.
func emptyShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{t: t, ctx: t.Context(), dsn: newDatabase(t), keyFile: filepath.Join(t.TempDir(), "keys.json")}
	require.NoError(t, vault.CreateKeys(s.keyFile))
	s.DB = s.open(t, s.dsn)
	return s
}

func newDatabase(t testing.TB) string {
	t.Helper()
	return testkit.Postgres(t, "keyturn/db "+schemaHash(t), func(dsn string) error {
		_, err := Migrate(context.Background(), dsn)
		return err
	})
}

// schemaHash changes with every migration, so that no test copies the template of another version.
func schemaHash(t testing.TB) string {
	t.Helper()
	h := sha256.New()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	require.NoError(t, err)
	for _, f := range files {
		text, err := fs.ReadFile(migrations, f)
		require.NoError(t, err)
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// open opens another connection pool to the shop's database with the same keys.
func (s *shop) open(t testing.TB, dsn string) *DB {
	t.Helper()
	keys, err := vault.LoadKeys(s.keyFile)
	require.NoError(t, err)
	d, err := Open(t.Context(), dsn, keys)
	require.NoError(t, err)
	return d
}

// with gives the same shop for a sub-test or a property's run.
func (s *shop) with(t testingT) *shop {
	c := *s
	c.t = t
	return &c
}

// exec changes what no use case changes, such as the clock.
func (s *shop) exec(query string, args ...any) {
	s.t.Helper()
	require.NoError(s.t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(s.ctx, query, args...)
		return err
	}))
}

// value reads one value.
func read[T any](s *shop, query string, args ...any) T {
	s.t.Helper()
	var v T
	require.NoError(s.t, s.pg.GetContext(s.ctx, &v, query, args...), query)
	return v
}

func reads[T any](s *shop, query string, args ...any) []T {
	s.t.Helper()
	var v []T
	require.NoError(s.t, s.pg.SelectContext(s.ctx, &v, query, args...), query)
	return v
}

// product puts a product with these sources into the catalog, with their pools and integrations.
func (s *shop) product(id string, sources ...keyturn.Source) {
	s.t.Helper()
	s.put(keyturn.Product{ID: id, Sources: sources})
}

func (s *shop) put(p keyturn.Product) {
	s.t.Helper()
	if p.Name == "" {
		p.Name = strings.ToUpper(p.ID)
	}
	for _, src := range p.Sources {
		if src.Type.HasPool() {
			if _, err := s.Stock().Pool(s.ctx, src.Pool); err != nil {
				_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: src.Pool})
				require.NoError(s.t, err)
			}
		}
		if src.Type.HasIntegration() {
			_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{ID: src.Integration, BaseURL: "https://partner.test"})
			require.NoError(s.t, err)
		}
	}
	require.NoError(s.t, p.Check())
	_, _, err := s.PutProduct(s.ctx, p)
	require.NoError(s.t, err)
}

// home is where customers look at their keys from.
var home = netip.MustParseAddr("192.0.2.7")

var (
	fromPool     = keyturn.FromPool
	fromEndpoint = keyturn.FromIntegration
	byHand       = keyturn.Source{Type: keyturn.SourceManual}
)

// stock imports keys.
func (s *shop) stock(pool string, keys ...string) keyturn.ImportResult {
	s.t.Helper()
	r, err := s.Import(s.ctx, pool, strings.NewReader(strings.Join(keys, "\n")), "test", false)
	require.NoError(s.t, err)
	require.Equal(s.t, len(keys), r.Accepted)
	return r
}

func lineOf(product string, quantity int) keyturn.LineItem {
	return keyturn.LineItem{ProductID: product, Quantity: quantity, GrossPrice: "10.00"}
}

func orderOf(id string, lines ...keyturn.LineItem) AcceptInput {
	hash := sha256.Sum256([]byte(id))
	return AcceptInput{
		Client: "shop", IdempotencyKey: "order-" + id, RequestHash: hash[:],
		Order: keyturn.Order{
			ID: id, Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay-" + id},
			Customer: keyturn.Customer{
				ID: "c-" + id, Email: "ada@buyer.test", Country: "FR", Locale: "fr-FR", FirstName: "Ada",
				LastName: "Lovelace",
			},
			LineItems: lines,
		},
		Respond: func(a Accepted) ([]byte, error) { return []byte("answer to " + a.Order.ID + " " + a.PageToken), nil },
	}
}

// order accepts an order and gives the fulfillments of its lines.
func (s *shop) order(id string, lines ...keyturn.LineItem) []string {
	s.t.Helper()
	a, _, err := s.Accept(s.ctx, orderOf(id, lines...))
	require.NoError(s.t, err)
	out := make([]string, len(a.Order.LineItems))
	for i, l := range a.Order.LineItems {
		out[i] = l.FulfillmentID
	}
	return out
}

// sell accepts an order of one unit and gives its line's fulfillment.
func (s *shop) sell(product string) string {
	s.t.Helper()
	return s.order(uuid.NewString(), lineOf(product, 1))[0]
}

func (s *shop) status(fulfillment string) keyturn.LineStatus {
	s.t.Helper()
	return read[keyturn.LineStatus](s, `SELECT status FROM line_items WHERE fulfillment_id = $1`, fulfillment)
}

func (s *shop) orderStatus(fulfillment string) keyturn.OrderStatus {
	s.t.Helper()
	return read[keyturn.OrderStatus](s,
		`SELECT o.status FROM orders o JOIN line_items l ON l.order_id = o.id WHERE l.fulfillment_id = $1`, fulfillment)
}

// lineID is the line of a fulfillment.
func (s *shop) lineID(fulfillment string) string {
	s.t.Helper()
	return read[string](s, `SELECT id FROM line_items WHERE fulfillment_id = $1`, fulfillment)
}

// keysOf are the keys that a line has, decrypted, in the order of its units.
func (s *shop) keysOf(fulfillment string) []string {
	s.t.Helper()
	out, err := s.deliverables(s.ctx, s.pg, s.lineID(fulfillment), s.customerIDOf(fulfillment))
	require.NoError(s.t, err)
	keys := []string{}
	for _, c := range out.Codes {
		keys = append(keys, c.Reveal())
	}
	return keys
}

func (s *shop) customerIDOf(fulfillment string) string {
	s.t.Helper()
	return read[string](s,
		`SELECT o.customer_id FROM orders o JOIN line_items l ON l.order_id = o.id WHERE l.fulfillment_id = $1`, fulfillment)
}

// The steps below are what the activities do around their effects.

func (s *shop) claimed(fulfillment string) keyturn.Next {
	s.t.Helper()
	next, err := s.Claim(s.ctx, fulfillment, nil)
	require.NoError(s.t, err)
	return next
}

const callTime = 10 * time.Second

func callTimeout(keyturn.Integration) time.Duration { return callTime }

func renderCall(f CallFacts) ([]byte, error) {
	if f.Stored != nil {
		return f.Stored, nil
	}
	return []byte(string(f.Operation) + " " + f.LicenseID + " " + uuid.NewString()), nil
}

func (s *shop) beginCall(fulfillment string) *Call {
	s.t.Helper()
	call, _, _, err := s.BeginCall(s.ctx, fulfillment, callTimeout, renderCall)
	require.NoError(s.t, err)
	require.NotNil(s.t, call)
	return call
}

// answered is a partner's good answer to a call.
func answered(c *Call, codes ...string) CallResult {
	r := c.Result()
	r.Sent, r.HTTPStatus, r.Duration, r.Reply = true, 200, time.Millisecond, []byte("{}")
	for _, code := range codes {
		r.Codes = append(r.Codes, keyturn.Secret(code))
	}
	return r
}

// refused is a partner's answer that says no, or none at all.
func refused(c *Call, kind keyturn.Kind) CallResult {
	r := c.Result()
	r.Sent, r.Unknown, r.Duration = true, kind == keyturn.KindUnavailable, time.Millisecond
	r.Failed = &StepFailure{Failure: keyturn.Failure{Kind: kind, Message: "the partner said no"}}
	return r
}

func (s *shop) finishCall(fulfillment string, r CallResult) keyturn.Next {
	s.t.Helper()
	next, err := s.FinishCall(s.ctx, fulfillment, r, nil)
	require.NoError(s.t, err)
	return next
}

func renderMail(f MailFacts) ([]byte, error) {
	text := string(f.Kind) + " to " + f.To + " " + f.DeliveryID
	for _, c := range f.Deliverables.Codes {
		text += " " + c.Reveal()
	}
	return []byte(text), nil
}

func (s *shop) beginDelivery(fulfillment string) *Delivery {
	s.t.Helper()
	d, _, _, err := s.BeginDelivery(s.ctx, fulfillment, renderMail)
	require.NoError(s.t, err)
	require.NotNil(s.t, d)
	return d
}

func (s *shop) delivered(fulfillment string) {
	s.t.Helper()
	d := s.beginDelivery(fulfillment)
	next, err := s.FinishDelivery(s.ctx, fulfillment, d, nil, false)
	require.NoError(s.t, err)
	require.Equal(s.t, keyturn.LineDelivered, next.Status)
}

// resolve decides on a line and requires that the decision is taken.
func (s *shop) resolve(fulfillment string, action keyturn.Action) keyturn.Next {
	s.t.Helper()
	next, err := s.Resolve(s.ctx, fulfillment, keyturn.Resolution{Action: action, By: "ops"})
	require.NoError(s.t, err)
	return next
}

// refunded pays a cancelled line back.
func (s *shop) refunded(fulfillment string) {
	s.t.Helper()
	due, _, err := s.BeginRefund(s.ctx, fulfillment)
	require.NoError(s.t, err)
	require.NotNil(s.t, due)
	if due.Minor > 0 { // as payment.Providers does
		_, err = s.LedgerRefund(s.ctx, "refund-"+due.LineID, due.Reference, due.OrderID,
			keyturn.Money{Minor: due.Minor, Currency: due.Currency}, never)
		require.NoError(s.t, err)
	}
	next, err := s.FinishRefund(s.ctx, fulfillment, "provider-id", renderMail)
	require.NoError(s.t, err)
	require.Equal(s.t, keyturn.LineCanceled, next.Status)
}

func never(int) bool { return false }

// wantKind requires an error of the kind, with these fields if any are named.
func wantKind(t testingT, err error, kind keyturn.Kind, fields ...string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, keyturn.KindOf(err), "%v", err)
	if len(fields) > 0 {
		e, _ := errors.AsType[*keyturn.Error](err)
		got := []string{}
		for _, f := range e.Fields {
			got = append(got, f.Location)
		}
		require.Equal(t, fields, got)
	}
}
