package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

// purchase is one that live makes, first on the emulator and then at Stripe.
type purchase struct {
	name string
	card string
	do   func(*buyer) error // once it is paid
}

var purchases = []purchase{
	{"captured", emulator.CardGood, func(b *buyer) error { return b.capture(4990) }},
	{"captured in part", emulator.CardGood, func(b *buyer) error { return b.capture(3000) }},
	{"voided", emulator.CardGood, func(b *buyer) error {
		if err := b.step("void", func() (keyturn.ProcessorState, error) { return b.Void(b.ctx, b.ref, b.key("void")) }); err != nil {
			return err
		}
		return b.look("look at what was voided")
	}},
	{"refunded", emulator.CardGood, func(b *buyer) error {
		if err := b.capture(4990); err != nil {
			return err
		}
		for _, again := range []string{"refund", "refund again under the same key"} {
			if err := b.refund(again); err != nil {
				return err
			}
		}
		return b.look("look at what was refunded")
	}},
	{"disputed", emulator.CardDisputed, func(b *buyer) error {
		if err := b.capture(4990); err != nil {
			return err
		}
		b.wait() // Stripe opens it soon, not at once
		if err := b.look("look at what is disputed"); err != nil {
			return err
		}
		return b.refund("refund what is disputed")
	}},
}

// buyer makes one purchase at one of the two.
type buyer struct {
	stripe.Processor

	ctx  context.Context
	name string
	run  string // makes keys and IDs new each time
	ref  payment.Ref
	said []said
	pay  func(url, session, card string) error
	wait func()
}

// said is what a step came to: a state, or an error.
type said struct{ step, is string }

func (b *buyer) key(what string) string {
	return what + "-" + b.run + "-" + strings.ReplaceAll(b.name, " ", "-")
}

func (b *buyer) step(name string, do func() (keyturn.ProcessorState, error)) error {
	s, err := do()
	is := fmt.Sprintf("%s, authorized %s, captured %s, refunded %s, disputed %v, by %q, capture within days %d", s.Status,
		s.Authorized, s.Captured, s.Refunded, s.Disputed, s.Method, int(s.CaptureWithin.Hours()+1)/24)
	if err != nil {
		is = fmt.Sprintf("%s: %v", keyturn.KindOf(err), err)
	} else {
		b.ref.SessionReference, b.ref.PaymentReference = or(b.ref.SessionReference, s.SessionReference),
			or(b.ref.PaymentReference, s.PaymentReference)
	}
	b.said = append(b.said, said{name, is})
	return err
}

func or(before, now string) string {
	if before != "" {
		return before
	}
	return now
}

func (b *buyer) look(name string) error {
	return b.step(name, func() (keyturn.ProcessorState, error) { return b.Retrieve(b.ctx, b.ref) })
}

func (b *buyer) capture(minor int64) error {
	err := b.step("capture", func() (keyturn.ProcessorState, error) {
		return b.Processor.Capture(b.ctx, b.ref, keyturn.Money{Minor: minor, Currency: "EUR"}, b.key("capture"))
	})
	if err != nil {
		return err
	}
	return b.look("look at what was captured")
}

func (b *buyer) refund(name string) error {
	id, err := b.Processor.Refund(b.ctx, payment.Refund{
		IdempotencyKey: b.key("refund"), Reference: b.ref.PaymentReference, OrderID: b.run, ID: b.key("line"),
		Amount: keyturn.Money{Minor: 1000, Currency: "EUR"},
	})
	is := "made: " + fmt.Sprint(id != "")
	if err != nil {
		is = fmt.Sprintf("%s: %v", keyturn.KindOf(err), err)
	}
	b.said = append(b.said, said{name, is})
	return nil // a refusal is an answer, too
}

// buy makes a purchase up to its end.
func (b *buyer) buy(p purchase) error {
	b.name, b.ref = p.name, payment.Ref{PaymentID: b.key("payment"), Since: time.Now()}
	var url string
	err := b.step("open", func() (keyturn.ProcessorState, error) {
		s, err := b.Open(b.ctx, payment.Opening{
			Key: b.key("open"), PaymentID: b.ref.PaymentID, OrderID: b.run, Currency: "EUR", Email: "jean@example.com",
			Lines: []payment.OpeningLine{
				{Name: "Orbit Editor (" + p.name + ")", UnitPrice: keyturn.Money{Minor: 4990, Currency: "EUR"}, Quantity: 1},
			},
			Total: keyturn.Money{Minor: 4990, Currency: "EUR"}, Locale: "en-GB", AuthorizeFirst: true,
			ExpiresAt: time.Now().Add(2 * time.Hour), ReturnURL: "https://example.com/paid", BackURL: "https://example.com/back",
		})
		url = s.URL
		return s, err
	})
	if err != nil {
		return err
	}
	if err := b.look("look before it is paid"); err != nil {
		return err
	}
	if err := b.pay(url, b.ref.SessionReference, p.card); err != nil {
		return err
	}
	if err := b.look("look at what is paid"); err != nil {
		return err
	}
	return p.do(b)
}

// place is where purchases are made.
type place struct {
	key  keyturn.Secret
	url  string
	pay  func(b *buyer, url, session, card string) error
	wait func()
}

// runAt makes all purchases at one place, and gives what each step came to and what was sent.
func runAt(ctx context.Context, at place, run string) (all []said, exchanges []emulator.Exchange, err error) {
	r, err := startRecorder(at.url)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = r.close() }()
	x, err := stripe.New(stripe.Config{
		Key: at.key, Authorize: stripe.DefaultAuthorize, Installation: "stripecheck", URL: r.url,
	})
	if err != nil {
		return nil, nil, err
	}
	for _, p := range purchases {
		b := &buyer{Processor: x, ctx: ctx, run: run, wait: at.wait}
		b.pay = func(url, session, card string) error { return at.pay(b, url, session, card) }
		err := b.buy(p)
		for _, s := range b.said {
			all = append(all, said{p.name + ": " + s.step, s.is})
		}
		if err != nil {
			return all, r.all(), fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return all, r.all(), nil
}

// live makes the purchases on the emulator and at Stripe, and prints where the two differ. A person pays.
func live(out io.Writer) error {
	key := keyturn.Secret(os.Getenv("KEYTURN_STRIPE_KEY"))
	if text := key.Reveal(); !strings.HasPrefix(text, "sk_test_") && !strings.HasPrefix(text, "rk_test_") {
		return fmt.Errorf("KEYTURN_STRIPE_KEY must be a key of Stripe's test mode: sk_test_… or rk_test_…. " +
			"With one of the live mode nothing is done")
	}
	return compare(context.Background(), out, place{
		key: key, url: "https://api.stripe.com", wait: func() { time.Sleep(20 * time.Second) },
		pay: func(b *buyer, url, _, card string) error {
			fmt.Fprintf(out, "\nPay this one with the card %s, any date to come and any code:\n  %s\n", card, url)
			for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(3 * time.Second) {
				s, err := b.Retrieve(b.ctx, b.ref)
				if err == nil && s.Status != keyturn.AtProcessorOpen {
					return nil
				}
			}
			return fmt.Errorf("nobody has paid for an hour")
		},
	})
}

// compare makes the purchases on the emulator and at another place, and prints the differences.
func compare(ctx context.Context, out io.Writer, other place) error {
	e := emulator.New(emulator.Config{})
	if err := e.Start(); err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	run := time.Now().UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:6]) // two of one second differ
	here, sentHere, err := runAt(ctx, place{
		key: emulator.Key, url: e.URL(), wait: func() {},
		pay: func(_ *buyer, _, session, card string) error {
			_, err := e.Pay(session, emulator.Card(card))
			return err
		},
	}, run)
	if err != nil {
		return fmt.Errorf("on the emulator: %w", err)
	}
	there, sentThere, wrong := runAt(ctx, other, run)
	c, err := newChecker()
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	for _, x := range sentThere {
		c.exchange(x)
	}
	differences := differ(here, there)
	differences = append(differences, differShapes(sentHere, sentThere)...)
	for about, faults := range c.faults {
		for _, f := range faults {
			differences = append(differences, about+": Stripe's answer is not as its document says: "+f)
		}
	}
	for _, d := range differences {
		fmt.Fprintln(out, "- "+d)
	}
	fmt.Fprintf(out, "%d purchases, %d steps, %d exchanges at Stripe: %d differences\n", len(purchases), len(there),
		len(sentThere), len(differences))
	return wrong
}
