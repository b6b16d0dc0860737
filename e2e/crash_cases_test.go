package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

// crashCase is a use case from an order to its end. Its steps are asked for by somebody outside, who asks again until
// they are done, also after a crash; after each of them a process may be another one.
type crashCase struct {
	name     string
	product  keyturn.Product
	keys     string
	units    int    // of its line; 0: 1
	drill    string // of its partner
	provider string // who has the money; "": till
	more     func(ctx context.Context, l *life, f string) error
	later    bool               // more comes after the delivery, and not while somebody is alerted
	status   keyturn.LineStatus // of its line; "": there is none
	link     *crashLink         // that sells it; nil: an order that came in paid
}

var crashCases = []crashCase{
	{
		name: "pool", product: keyturn.Product{Sources: sources(fromPool("games"))}, keys: "KEY-1\nKEY-2",
		status: keyturn.LineDelivered,
	},
	{
		name: "many units", product: keyturn.Product{Sources: sources(fromPool("games"))}, keys: manyKeys(700), units: 600,
		status: keyturn.LineDelivered,
	},
	{name: "partner", product: keyturn.Product{Sources: sources(fromEndpoint("acme"))}, status: keyturn.LineDelivered},
	{
		name: "partner that fails first", product: keyturn.Product{Sources: sources(fromEndpoint("acme"))},
		drill: "fail-1-then-ok", status: keyturn.LineDelivered,
	},
	{
		name: "nothing in stock until the deadline", status: keyturn.LineCanceled,
		product: keyturn.Product{
			Sources: sources(fromPool("games")),
			Retry:   every(200*time.Millisecond, 700*time.Millisecond),
		},
	},
	{
		name: "a key that is issued and never answered", drill: "timeout-after-issuing", status: keyturn.LineCanceled,
		product: keyturn.Product{
			Sources: sources(fromEndpoint("acme")),
			Retry:   every(200*time.Millisecond, 700*time.Millisecond),
		},
	},
	{
		name: "an import serves who waits", status: keyturn.LineDelivered,
		product: keyturn.Product{Sources: sources(fromPool("games"))},
		more: func(ctx context.Context, l *life, _ string) error {
			_, err := l.api.ImportKeys(ctx, "games", strings.NewReader("KEY-1\nKEY-2"), client.ImportOptions{})
			return err
		},
	},
	{
		name: "a person supplies", status: keyturn.LineDelivered, product: keyturn.Product{Sources: sources(byHand)},
		more: func(ctx context.Context, l *life, f string) error {
			_, err := l.api.Resolve(ctx, f, keyturn.ResolutionRequest{
				ID: "the one", Action: keyturn.ActionSupply,
				Keys: []string{"GIFT-1"},
			})
			return err
		},
	},
	{
		name: "a person refunds", status: keyturn.LineCanceled, product: keyturn.Product{Sources: sources(byHand)},
		more: func(ctx context.Context, l *life, f string) error {
			_, err := l.api.Resolve(ctx, f, keyturn.ResolutionRequest{ID: "the one", Action: keyturn.ActionRefund})
			return err
		},
	},
	{
		name: "a person confirms a refund by hand", provider: keyturn.PaymentManual, status: keyturn.LineCanceled,
		product: keyturn.Product{
			Sources: sources(fromPool("games")),
			Retry:   every(200*time.Millisecond, 700*time.Millisecond),
		},
		more: func(ctx context.Context, l *life, f string) error {
			_, err := l.api.ConfirmRefund(ctx, f, keyturn.RefundConfirmation{Reference: "WIRE-1", Reason: "nothing in stock"})
			return err
		},
	},
	{
		name: "an e-mail comes back, and its customer corrects the address", status: keyturn.LineDelivered, later: true,
		product: keyturn.Product{Sources: sources(fromPool("games"))}, keys: "KEY-1\nKEY-2",
		more: func(ctx context.Context, l *life, f string) error {
			return l.corrects(ctx, f, `SELECT CAST(id AS text) FROM deliveries WHERE number = 1`)
		},
	},
	{
		name: "a confirmation comes back, and its customer corrects the address", status: keyturn.LineDelivered, later: true,
		product: keyturn.Product{Sources: sources(fromPool("games"))}, keys: "KEY-1\nKEY-2",
		link: &crashLink{returns: true, payment: keyturn.PaymentCaptured},
		more: func(ctx context.Context, l *life, _ string) error {
			return l.corrects(ctx, "", `
				SELECT CAST(id AS text) FROM payment_mails WHERE kind = 'confirmation' AND change_id IS NULL`)
		},
	},
	{
		name: "a link", product: keyturn.Product{Sources: sources(fromPool("games"))}, keys: "KEY-1\nKEY-2",
		status: keyturn.LineDelivered, link: &crashLink{returns: true, payment: keyturn.PaymentCaptured},
	},
	{
		name: "a link at Stripe", product: keyturn.Product{Sources: sources(fromPool("games"))}, keys: "KEY-1\nKEY-2",
		status: keyturn.LineDelivered, link: &crashLink{stripe: true, returns: true, payment: keyturn.PaymentCaptured},
	},
	{
		name: "a link at Stripe that cannot be delivered", status: keyturn.LineCanceled,
		product: keyturn.Product{
			Sources: sources(fromPool("games")),
			Retry:   every(200*time.Millisecond, 700*time.Millisecond),
		},
		link: &crashLink{stripe: true, returns: true, payment: keyturn.PaymentVoided},
	},
	{
		name: "a link at Stripe whose customer withdraws", product: keyturn.Product{Sources: sources(fromPool("games"))},
		keys: "KEY-1\nKEY-2", status: keyturn.LineCanceled,
		link: &crashLink{stripe: true, returns: true, withdraws: true, payment: keyturn.PaymentCaptured},
	},
	{
		name: "a link whose capture is not answered", product: keyturn.Product{Sources: sources(fromPool("games"))},
		keys: "KEY-1\nKEY-2", status: keyturn.LineDelivered,
		link: &crashLink{trouble: "capture-lost", payment: keyturn.PaymentCaptured},
	},
	{
		name: "a link that cannot be delivered", status: keyturn.LineCanceled,
		product: keyturn.Product{
			Sources: sources(fromPool("games")),
			Retry:   every(200*time.Millisecond, 700*time.Millisecond),
		},
		link: &crashLink{payment: keyturn.PaymentVoided},
	},
	{
		name:    "a link that is paid after its session has ended",
		product: keyturn.Product{Sources: sources(fromPool("games"))},
		link:    &crashLink{trouble: "cannot-authorize", late: true, payment: keyturn.PaymentCaptured},
	},
	{
		name:    "a link whose means of payment is refused later",
		product: keyturn.Product{Sources: sources(fromPool("games"))},
		link:    &crashLink{trouble: "settles-not", payment: keyturn.PaymentFailed},
	},
	{
		name: "a link whose customer withdraws", product: keyturn.Product{Sources: sources(fromPool("games"))},
		keys: "KEY-1\nKEY-2", status: keyturn.LineCanceled,
		link: &crashLink{returns: true, withdraws: true, payment: keyturn.PaymentCaptured},
	},
	{
		name: "a link whose payment a person accepts", product: keyturn.Product{Sources: sources(fromPool("games"))},
		keys: "KEY-1\nKEY-2", status: keyturn.LineDelivered,
		link: &crashLink{
			trouble: "pays-other-amount", decides: keyturn.PaymentAccept, payment: keyturn.PaymentCaptured,
		},
	},
	{
		name:    "a link whose payment a person gives back",
		product: keyturn.Product{Sources: sources(fromPool("games"))},
		link: &crashLink{
			trouble: "pays-other-amount cannot-authorize", decides: keyturn.PaymentGiveBack, payment: keyturn.PaymentCaptured,
		},
	},
}

// manyKeys are more than have rows of their own after an import.
func manyKeys(n int) string {
	var file strings.Builder
	for i := range n {
		fmt.Fprintf(&file, "KEY-%d\n", i)
	}
	return file.String()
}

func (c crashCase) order() keyturn.Order {
	return keyturn.Order{
		ID: "ORDER-1", Currency: "EUR",
		Payment:   keyturn.Payment{Provider: cmp.Or(c.provider, "till"), Reference: "pay-1"},
		Customer:  keyturn.Customer{ID: "user-1", Email: buyer, Country: "FR", Locale: "en-GB"},
		LineItems: []keyturn.LineItem{{ProductID: "thing", Quantity: max(1, c.units), GrossPrice: "10.00"}},
	}
}

// prepare fills the catalog, past any proxy.
func (c crashCase) prepare(w *world) {
	ctx := context.Background()
	p := c.product
	p.ID, p.Name = "thing", "Thing"
	if p.Retry.GiveUpAfter == 0 {
		p.Retry = every(300*time.Millisecond, 10*time.Minute)
	}
	for _, pool := range []string{"games"} {
		_, _, err := w.books.PutPool(ctx, keyturn.Pool{ID: pool})
		require.NoError(w.t, err)
	}
	if c.keys != "" {
		_, err := w.books.Import(ctx, "games", strings.NewReader(c.keys), "test", false)
		require.NoError(w.t, err)
	}
	if c.drill != "" { // of creates: a cancel that is never answered would be owed for ever
		settings := w.partner.Partner("acme")
		settings.Drill, settings.DrillOps = c.drill, []string{"create"}
		require.NoError(w.t, w.partner.SetPartner("acme", settings))
	}
	_, _, err := w.books.PutIntegration(ctx, keyturn.Integration{
		ID: "acme", BaseURL: "http://" + w.toPartner.Addr() + "/p/acme",
		Limits: keyturn.Limits{Timeout: keyturn.Duration(time.Second)},
	})
	require.NoError(w.t, err)
	_, _, err = w.books.PutProduct(ctx, p)
	require.NoError(w.t, err)
	if c.provider == "" && c.link == nil {
		w.capture(c.order(), 1000)
	}
}

// succession are the processes of a case, one after another: each but the last dies at the point.
type succession struct {
	c       crashCase
	w       *world
	dies    func() func(point string) bool // made anew for each life
	left    int                            // deaths to come
	deaths  int
	current *life
	effects []string // of the first life
}

// now gives the process that lives; where the one before has died it is buried and another begins.
func (s *succession) now() *life {
	if s.current != nil && !s.current.isDead() {
		return s.current
	}
	s.bury()
	var dies func(string) bool
	if s.left > 0 {
		s.left--
		dies = s.dies()
	}
	s.current = s.w.live(dies)
	s.current.work()
	return s.current
}

func (s *succession) bury() {
	if s.current == nil {
		return
	}
	if s.current.isDead() {
		s.deaths++
	}
	s.current.end()
	if s.effects == nil {
		s.current.mu.Lock()
		s.effects = s.current.seen
		s.current.mu.Unlock()
	}
	s.current = nil
}

// ask repeats what somebody outside asks for until it is done, whoever lives: for three minutes, because an e-mail
// whose sender died waits for the end of its lease.
func (s *succession) ask(do func(ctx context.Context, l *life) error) {
	for range 1800 {
		l := s.now()
		ctx, cancel := context.WithTimeout(context.Background(), crashPatience)
		err := do(ctx, l)
		cancel()
		if err == nil {
			return
		}
		if kind := keyturn.KindOf(err); !l.isDead() && kind != keyturn.KindUnavailable && kind != keyturn.KindConflict {
			s.w.t.Fatalf("%v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.w.t.Fatal("it does not get through")
}

// run plays a case in which as many processes as deaths die at a point, and audits the end. It says how many died, and
// gives the effects of the first.
func (c crashCase) run(t *testing.T, deaths int, dies func() func(point string) bool) (died int, effects []string) {
	t.Helper()
	w := newWorld(t)
	c.prepare(w)
	s := &succession{c: c, w: w, left: deaths, dies: dies}
	defer func() { // also where the test fails: what still ran would disturb the others
		s.bury()
		died, effects = s.deaths, s.effects
	}()
	if c.link != nil {
		s.buys(c.link)
	} else {
		s.ask(func(ctx context.Context, l *life) error {
			_, _, err := l.api.CreateOrder(ctx, "the-order", c.order())
			return err
		})
	}
	if c.more != nil {
		f := w.one(`SELECT CAST(fulfillment_id AS text) FROM line_items`)
		s.ask(func(ctx context.Context, l *life) error {
			waits := w.one(`SELECT count(*) FROM alerts WHERE line_id IS NOT NULL`) == "0" // nobody was asked yet
			if c.later {
				waits = w.one(`SELECT status FROM line_items`) != string(keyturn.LineDelivered)
			}
			if waits {
				return keyturn.Errorf(keyturn.KindConflict, "the line is still under way")
			}
			return c.more(ctx, l, f)
		})
	}
	w.rest(s.now, 3*time.Minute)
	for s.current.mayDieWithin(2 * time.Second) { // of what its loops do
		w.rest(s.now, 3*time.Minute)
	}
	require.Equal(t, string(c.status), w.one(`SELECT coalesce((SELECT status FROM line_items), '')`))
	if c.link != nil {
		require.Equal(t, string(c.link.payment), w.one(`SELECT status FROM payments`))
	}
	return 0, nil // see above
}
