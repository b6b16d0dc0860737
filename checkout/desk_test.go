package checkout_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/metrics"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/vault"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// processor is the sandbox, behind a network that a test cuts.
type processor struct {
	payment.Sandbox

	fails   error
	refuses error                   // to open a session
	says    *keyturn.ProcessorState // instead of what it knows
}

func (p *processor) Open(ctx context.Context, o payment.Opening) (keyturn.ProcessorState, error) {
	if p.refuses != nil {
		return keyturn.ProcessorState{}, p.refuses
	}
	return p.Sandbox.Open(ctx, o)
}

func (p *processor) Retrieve(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	if p.fails != nil {
		return keyturn.ProcessorState{}, p.fails
	}
	if p.says != nil {
		return *p.says, nil
	}
	return p.Sandbox.Retrieve(ctx, ref)
}

// counter is a desk with a database and a processor of the test's own.
type counter struct {
	*checkout.Desk

	t         *testing.T
	processor *processor
}

func open(t *testing.T) *counter {
	t.Helper()
	t.Parallel()
	ctx := t.Context()
	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error { _, err := db.Migrate(ctx, dsn); return err })
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keyFile))
	keys, err := vault.LoadKeys(keyFile)
	require.NoError(t, err)
	d, err := db.Open(ctx, dsn, keys)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	_, _, err = d.PutPool(ctx, keyturn.Pool{ID: "p"})
	require.NoError(t, err)
	_, _, err = d.PutProduct(ctx, keyturn.Product{
		ID: "game", Name: "Game", Sources: []keyturn.Source{keyturn.FromPool("p")},
	})
	require.NoError(t, err)
	p := &processor{Sandbox: payment.Sandbox{
		Ledger: d, Sessions: d, PublicURL: "http://shop.test", Secret: []byte("secret"),
	}}
	return &counter{t: t, processor: p, Desk: &checkout.Desk{
		DB: d, Processors: payment.Processors{payment.SandboxName: p}, PublicURL: "http://shop.test",
		Providers: payment.Providers{payment.SandboxName: p}, Logger: slog.New(slog.DiscardHandler),
	}}
}

// paying begins a payment of a link of its own and opens its session.
func (c *counter) paying(key string) (paymentID string) {
	c.t.Helper()
	paymentID = c.begun(key)
	_, err := c.Open(c.t.Context(), paymentID)
	require.NoError(c.t, err)
	return paymentID
}

// begun begins a payment of a link of its own.
func (c *counter) begun(key string) (paymentID string) {
	c.t.Helper()
	ctx := c.t.Context()
	hash := sha256.Sum256([]byte(key))
	v, _, err := c.DB.CreateLink(ctx, db.LinkInput{
		Link: keyturn.CheckoutLink{
			Currency: "EUR", LineItems: []keyturn.LinkLine{{ProductID: "game", Name: "Game", UnitPrice: "10.00"}},
			Customer: keyturn.Customer{Email: "ada@buyer.test", Country: "FR", Locale: "fr-FR"},
		},
		Client: "shop", IdempotencyKey: key, RequestHash: hash[:],
		Complete: func(l keyturn.CheckoutLink, now time.Time) (keyturn.CheckoutLink, error) {
			return l.WithDefaults(now, payment.SandboxName), nil
		},
	})
	require.NoError(c.t, err)
	token := c.DB.LinkToken(v.ID)
	page, err := c.DB.CheckoutPage(ctx, token)
	require.NoError(c.t, err)
	begun, err := c.DB.BeginPayment(ctx, db.PaymentStart{
		Token: token, Version: page.Version, Customer: page.Customer, PayWithin: time.Hour,
		CheckAddress: func(string) error { return nil }, Respond: func(db.Accepted) ([]byte, error) { return nil, nil },
	})
	require.NoError(c.t, err)
	return begun.ID
}

func (c *counter) openAlerts() (causes []keyturn.AlertCause) {
	c.t.Helper()
	alerts, err := c.DB.Alerts(c.t.Context(), "", false, "", 0, 10)
	require.NoError(c.t, err)
	for _, a := range alerts {
		causes = append(causes, a.Cause)
	}
	return causes
}

func scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// What a processor tells is counted by what became of it.
func TestEventsAreCounted(t *testing.T) {
	c := open(t)
	pay := c.paying("a")
	facts, err := c.DB.Payment(t.Context(), pay)
	require.NoError(t, err)
	hooks := http.NewServeMux()
	hooks.HandleFunc("POST /hooks/{provider}", c.Hook)
	tell := func(e payment.Event, spoil string) int {
		body, header := c.processor.SignedEvent(e, time.Now())
		r := httptest.NewRequest(http.MethodPost, "/hooks/sandbox", strings.NewReader(string(body)+spoil))
		r.Header = header
		w := httptest.NewRecorder()
		hooks.ServeHTTP(w, r)
		return w.Code
	}
	event := payment.Event{ID: "evt_1", Type: "session.expired", SessionReference: facts.SessionReference}
	for range 2 {
		require.Equal(t, http.StatusOK, tell(event, ""))
	}
	require.Equal(t, http.StatusBadRequest, tell(event, " "))
	event.ID, event.SessionReference = "evt_2", "another's"
	require.Equal(t, http.StatusOK, tell(event, ""))
	for _, result := range []string{"booked", "known", "foreign", "refused"} {
		require.Contains(t, scrape(t), `keyturn_provider_events_total{processor="sandbox",result="`+result+`"} 1`)
	}
}

// People hear of a processor that does not answer, once, and of its return. Who does not wait for it proves nothing.
func TestAnOutageOfAProcessorIsToldOf(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	var pays []string
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		pays = append(pays, c.paying(key))
	}
	c.processor.fails = keyturn.Errorf(keyturn.KindUnavailable, "no answer")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for _, pay := range pays {
		_, err := c.Look(gone, pay)
		require.Error(t, err)
	}
	for i, pay := range pays {
		require.Empty(t, c.openAlerts(), i)
		_, err := c.Look(ctx, pay)
		require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	}
	require.Equal(t, []keyturn.AlertCause{keyturn.AlertProcessorDown}, c.openAlerts())
	require.Regexp(t, `keyturn_processor_seconds_count\{call="retrieve",outcome="failed",processor="sandbox"\} \d+`,
		scrape(t))
	c.processor.fails = nil
	_, err := c.Look(ctx, pays[2])
	require.NoError(t, err)
	require.Empty(t, c.openAlerts())
}

// A processor that refuses to open a payment is alerted once, with what to correct, until it opens one. The link stays
// open.
func TestAProcessorThatRefusesToOpenAPayment(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	c.processor.refuses = keyturn.Errorf(keyturn.KindConfiguration, "the key was revoked")
	for _, key := range []string{"a", "b"} {
		pay := c.begun(key)
		_, err := c.Open(ctx, pay)
		require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
		facts, err := c.DB.Payment(ctx, pay)
		require.NoError(t, err)
		require.Equal(t, keyturn.PaymentExpired, facts.Status)
		link, err := c.DB.Link(ctx, facts.LinkID)
		require.NoError(t, err)
		require.Equal(t, keyturn.LinkOpen, link.Status)
	}
	alerts, err := c.DB.Alerts(ctx, "", false, "", 0, 10)
	require.NoError(t, err)
	require.Len(t, alerts, 1)
	require.Equal(t, keyturn.AlertProcessorRefuses, alerts[0].Cause)
	require.Regexp(t, `^the payment provider sandbox refuses .* link lnk-\S+ \(Configuration\): its settings here`,
		alerts[0].Happened)
	require.NotContains(t, alerts[0].Happened, "revoked", "what a provider says is not ours to tell")
	require.True(t, alerts[0].Closable, "it may be one that is not used any more")
	c.processor.refuses = nil
	c.paying("c")
	require.Empty(t, c.openAlerts())
}

// A processor that does not know a session which it has opened is asked on: nobody knows whether the customer paid.
func TestAProcessorThatForgetsASession(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	pay := c.paying("a")
	c.processor.fails = keyturn.Errorf(keyturn.KindNotFound, "no such session")
	_, err := c.Look(ctx, pay)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err), "an activity that fails so is repeated")
	require.Equal(t, []keyturn.AlertCause{keyturn.AlertUnknownPayment}, c.openAlerts())
	c.processor.fails = nil
	_, err = c.Look(ctx, pay)
	require.NoError(t, err)
	require.Empty(t, c.openAlerts())
}

// A payment that comes after its customer was erased goes back like every other that comes too late.
func TestALatePaymentOfAnErasedCustomerGoesBack(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	pay := c.paying("a")
	_, err := c.Expire(ctx, pay)
	require.NoError(t, err)
	facts, err := c.DB.Payment(ctx, pay)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentExpired, facts.Status)
	_, err = c.DB.EraseCustomer(ctx, "", facts.LinkID, "ada")
	require.NoError(t, err)
	c.processor.says = &keyturn.ProcessorState{
		Status: keyturn.AtProcessorAuthorized, SessionReference: facts.SessionReference, Authorized: facts.Total,
	}
	out, err := c.Look(ctx, pay)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoVoid, out.Next.Do)
	require.Equal(t, []keyturn.AlertCause{keyturn.AlertLatePayment}, c.openAlerts())
	c.processor.says = &keyturn.ProcessorState{Status: keyturn.AtProcessorVoided}
	out, err = c.Void(ctx, pay)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentVoided, out.Next.Status)
}
