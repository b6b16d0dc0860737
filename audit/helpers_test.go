package audit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) {
	testkit.AtOnce(6) // they wait for the database most of the time
	testkit.Main(m)
}

// shop is a database in which lines stand everywhere a line can stand, made by the use cases of package db, and what
// mailbox, partner and Temporal have seen of them.
type shop struct {
	*db.DB
	t     require.TestingT
	ctx   context.Context //nolint:containedctx // of one test
	x     *sql.DB
	outer *outside
}

// outside is the evidence beside the database. It is shared by the copies of one database and not changed.
type outside struct {
	Letters       []Letter
	Raw           map[string][]byte
	Calls         []PartnerCall
	Running       []OpenWorkflow
	HoneypotCalls []PartnerCall
	Heavies       []HeavyWorkflow
	Kept          map[string]*history.History // by workflow; others have the one of testdata that goes well
}

// template is the name of this process's masters, and the keys that they are encrypted with.
var template = sync.OnceValue(func() (out struct {
	name string
	keys *vault.Keys
},
) {
	dir, err := os.MkdirTemp("", "keyturn-audit-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.json")
	if err := vault.CreateKeys(path); err != nil {
		panic(err)
	}
	out.name = "keyturn/audit " + rand.Text()
	if out.keys, err = vault.LoadKeys(path); err != nil {
		panic(err)
	}
	return out
})

// master is a filled database that tests have copies of, with what others have seen of it.
type master struct {
	name  string
	also  string // what is done to it when it is filled
	outer outside
}

var (
	healthy = master{name: "healthy"}
	// lax lacks what keeps a database from being corrupted.
	lax = master{name: "lax", also: dropConstraintsSQL}
)

// newShop gives a copy of the healthy database.
func newShop(t *testing.T) *shop { return healthy.copied(t) }

// newLaxShop gives a copy of the healthy database that can be corrupted.
func newLaxShop(t *testing.T) *shop { return lax.copied(t) }

func (m *master) copied(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	dsn := testkit.Postgres(t, template().name+" "+m.name, func(dsn string) error {
		if _, err := db.Migrate(context.Background(), dsn); err != nil {
			return err
		}
		s := open(t, dsn)
		defer s.close()
		s.fill()
		if m.also != "" {
			s.exec(m.also)
		}
		m.outer = *s.outer
		return nil
	})
	s := open(t, dsn)
	seen := m.outer
	seen.Raw = maps.Clone(seen.Raw) // the tests run side by side, and what one appends must not be another's
	seen.Letters, seen.Calls = slices.Clip(seen.Letters), slices.Clip(seen.Calls)
	s.outer = &seen
	t.Cleanup(s.close)
	return s
}

func open(t testing.TB, dsn string) *shop {
	t.Helper()
	ctx := context.Background()
	d, err := db.Open(ctx, dsn, template().keys)
	require.NoError(t, err)
	x, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	return &shop{DB: d, t: t, ctx: ctx, x: x, outer: &outside{Raw: map[string][]byte{}}}
}

func (s *shop) close() { _, _ = s.DB.Close(), s.x.Close() }

func (s *shop) ok(err error) { require.NoError(s.t, err) }

// exec does what no use case does.
func (s *shop) exec(query string, args ...any) {
	_, err := s.x.ExecContext(s.ctx, query, args...)
	require.NoError(s.t, err, query)
}

func (s *shop) read(query string, args ...any) string {
	var v string
	require.NoError(s.t, s.x.QueryRowContext(s.ctx, query, args...).Scan(&v), query)
	return v
}

// order accepts an order and gives the fulfillments of its lines. In SQL, line_of('name/0') and the like name them.
func (s *shop) order(name string, lines ...keyturn.LineItem) []string {
	a, _, err := s.Accept(s.ctx, s.input(name, lines...))
	s.ok(err)
	out := make([]string, len(a.Order.LineItems))
	for i, l := range a.Order.LineItems {
		out[i] = l.FulfillmentID
	}
	return out
}

func (s *shop) input(name string, lines ...keyturn.LineItem) db.AcceptInput {
	hash := sha256.Sum256([]byte(name))
	return db.AcceptInput{
		Client: "shop", IdempotencyKey: "order-" + name, RequestHash: hash[:],
		Order: keyturn.Order{
			ID: name, Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay-" + name},
			Customer:  keyturn.Customer{ID: "c-" + name, Email: name + "@buyer.test", Country: "FR", Locale: "fr-FR"},
			LineItems: lines,
		},
		Respond: answer,
	}
}

// answer is the answer to an order as the API makes it.
func answer(a db.Accepted) ([]byte, error) {
	v := keyturn.OrderView{
		ID: a.Order.ID, Currency: a.Order.Currency, GrossPrice: a.GrossPrice.String(),
		Links: &keyturn.Links{Page: "https://shop.test/o/" + a.PageToken},
	}
	for _, l := range a.Order.LineItems {
		v.LineItems = append(v.LineItems, keyturn.LineView{
			ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity, GrossPrice: l.GrossPrice,
			Operation: l.Operation, LicenseID: l.LicenseID,
		})
	}
	return json.Marshal(v)
}

func line(product string, quantity int) keyturn.LineItem {
	return keyturn.LineItem{ProductID: product, Quantity: quantity, GrossPrice: "10.00"}
}

func timeout(keyturn.Integration) time.Duration { return 10 * time.Second }

// call asks the partner, whose log is part of the evidence.
func (s *shop) call(f string, result func(*db.Call) db.CallResult) {
	call, _, _, err := s.BeginCall(s.ctx, f, timeout, renderCall)
	s.ok(err)
	require.NotNil(s.t, call)
	_, err = s.FinishCall(s.ctx, f, s.asked(call, result(call)), nil)
	s.ok(err)
}

func renderCall(f db.CallFacts) ([]byte, error) {
	if f.Stored != nil {
		return f.Stored, nil
	}
	return []byte(string(f.Operation) + " " + f.LicenseID + " " + rand.Text()), nil
}

func (s *shop) asked(c *db.Call, r db.CallResult) db.CallResult {
	sum := sha256.Sum256(c.Request)
	seen := PartnerCall{
		Time: time.Now(), Partner: c.Source.Integration, FulfillmentID: c.LicenseID, Op: string(c.Operation),
		OrderID: c.OrderID, BodySHA256: hex.EncodeToString(sum[:]),
	}
	for _, code := range r.Codes {
		seen.Issued = append(seen.Issued, s.Fingerprint(code.Reveal()))
	}
	s.outer.Calls = append(s.outer.Calls, seen)
	return r
}

func answers(codes ...string) func(*db.Call) db.CallResult {
	return func(c *db.Call) db.CallResult {
		r := db.CallResult{Attempt: c.Attempt, UnitNo: c.UnitNo, Sent: true, HTTPStatus: 200, Reply: []byte("{}")}
		for _, code := range codes {
			r.Codes = append(r.Codes, keyturn.Secret(code))
		}
		return r
	}
}

func isSilent(c *db.Call) db.CallResult {
	return db.CallResult{
		Attempt: c.Attempt, UnitNo: c.UnitNo, Sent: true, Unknown: true,
		Failed: &db.StepFailure{Failure: keyturn.Failure{Kind: keyturn.KindUnavailable, Message: "no answer"}},
	}
}

// render makes a small e-mail, stored as the real renderer stores it.
func render(f db.MailFacts) ([]byte, error) {
	var text strings.Builder
	for _, code := range f.Deliverables.Codes {
		text.WriteString(strings.ReplaceAll(code.Reveal(), "\n", "\r\n") + "\r\n")
	}
	data := fmt.Sprintf("From: <shop@shop.test>\r\nTo: <%s>\r\nSubject: keys\r\nDate: Mon, 02 Jan 2026 15:04:05 "+
		"+0000\r\nMessage-ID: <%s@shop.test>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: "+
		"text/plain\r\n\r\nHello\r\n%s\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>%s</p>\r\n--b--\r\n",
		f.To, f.DeliveryID, text.String(), text.String())
	return mail.Message{
		From: "shop@shop.test", To: f.To, MessageID: f.DeliveryID + "@shop.test",
		Data: []byte(data),
	}.MarshalBinary()
}

// arrives puts a sent e-mail into the mailbox.
func (s *shop) arrives(d *db.Delivery) {
	var m mail.Message
	s.ok(m.UnmarshalBinary(d.Message))
	id := fmt.Sprintf("m%03d", len(s.outer.Letters))
	s.outer.Letters = append(s.outer.Letters, Letter{ID: id, To: []string{m.To}, Received: time.Now()})
	s.outer.Raw[id] = m.Data
}

func (s *shop) deliver(f string) {
	d, _, _, err := s.BeginDelivery(s.ctx, f, render)
	s.ok(err)
	require.NotNil(s.t, d)
	s.arrives(d)
	_, err = s.FinishDelivery(s.ctx, f, d, nil, false)
	s.ok(err)
}

func (s *shop) resolve(f string, action keyturn.Action) {
	_, err := s.Resolve(s.ctx, f, keyturn.Resolution{Action: action, By: "ops"})
	s.ok(err)
}

// refund pays a line back and sends the news.
func (s *shop) refund(f string) {
	s.payBack(f)
	s.send(s.read(`SELECT d.id FROM deliveries d JOIN line_items l ON l.id = d.line_id WHERE l.fulfillment_id = $1
		AND d.kind = 'canceled'`, f))
}

func (s *shop) payBack(f string) {
	due, _, err := s.BeginRefund(s.ctx, f)
	s.ok(err)
	require.NotNil(s.t, due)
	id := "nothing-to-refund" // as payment.Providers does
	if due.Minor > 0 {
		id, err = s.sandbox().Refund(s.ctx, payment.Refund{
			IdempotencyKey: "refund-" + due.LineID, Reference: due.Reference, OrderID: due.OrderID,
			Amount: keyturn.Money{Minor: due.Minor, Currency: due.Currency},
		})
		s.ok(err)
	}
	_, err = s.FinishRefund(s.ctx, f, id, render)
	s.ok(err)
}

func (s *shop) send(id string) {
	d, _, err := s.BeginSend(s.ctx, id)
	s.ok(err)
	s.arrives(d)
	s.ok(s.FinishSend(s.ctx, &db.Delivery{ID: id}, nil))
}

// revoke tells the partner of an abandoned source to cancel.
func (s *shop) revoke(f, source string) {
	for {
		call, err := s.BeginRevocation(s.ctx, f, source, timeout, renderCall)
		s.ok(err)
		if call == nil {
			break
		}
		done, err := s.FinishRevocation(s.ctx, f, source, s.asked(call, answers()(call)))
		s.ok(err)
		if done {
			break
		}
	}
}

// audit runs an audit with all evidence.
func (s *shop) audit() *Report {
	return s.auditWith(func(*Evidence) {})
}

func (s *shop) auditWith(change func(*Evidence)) *Report {
	e := Evidence{
		DB: s.DB, Mailbox: fakeMailbox{s.outer}, Partner: fakePartner{s.outer}, Temporal: fakeTemporal{s.outer},
		Honeypots: fakeHoneypots{s.outer},
	}
	change(&e)
	report, err := Run(s.ctx, e)
	s.ok(err)
	return report
}

type fakeMailbox struct{ o *outside }

func (m fakeMailbox) List(context.Context) ([]Letter, error)           { return m.o.Letters, nil }
func (m fakeMailbox) Raw(_ context.Context, id string) ([]byte, error) { return m.o.Raw[id], nil }

type fakePartner struct{ o *outside }

func (p fakePartner) Calls(context.Context, func(string) []byte) ([]PartnerCall, error) {
	return p.o.Calls, nil
}

type fakeHoneypots struct{ o *outside }

func (d fakeHoneypots) Calls(context.Context, func(string) []byte) ([]PartnerCall, error) {
	return d.o.HoneypotCalls, nil
}

type fakeTemporal struct{ o *outside }

func (f fakeTemporal) Heavy(context.Context, int64, int64) ([]HeavyWorkflow, error) {
	return f.o.Heavies, nil
}

func (f fakeTemporal) History(_ context.Context, id string) (*history.History, error) {
	if h, ok := f.o.Kept[id]; ok {
		return h, nil
	}
	if strings.HasPrefix(id, "cancel-") {
		return nil, nil //nolint:nilnil // Temporal has none
	}
	return pastHistory(), nil
}

// pastHistory is one of the replay corpus.
func pastHistory() *history.History {
	file, err := os.Open("../workflows/testdata/histories/pool-ok@2026-11-29.json")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	h, err := client.HistoryFromJSON(file, client.HistoryJSONOptions{})
	if err != nil {
		panic(err)
	}
	return h
}

func (f fakeTemporal) Open(context.Context) ([]OpenWorkflow, error) { return f.o.Running, nil }

func (f fakeTemporal) Running(_ context.Context, id string) (bool, error) {
	for _, w := range f.o.Running {
		if w.ID == id {
			return true, nil
		}
	}
	return false, nil
}
