package e2e_test

import (
	"context"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	stripeemulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

// crashLink is how a checkout link is bought.
type crashLink struct {
	stripe  bool   // it is paid at Stripe
	trouble string // that the sandbox makes
	returns bool   // the customer comes back after paying; otherwise the sandbox's event tells of it, or nobody
	late    bool   // the processor says that the session has ended, and takes the customer's money all the same
	payment keyturn.PaymentStatus
	decides keyturn.PaymentAction // what a person decides on the payment; empty: there is nothing to decide
	// withdraws: the customer withdraws from what was delivered
	withdraws bool
}

// buys makes a link and buys by it. A customer whose page shows an error presses the button again.
func (s *succession) buys(c *crashLink) {
	link := keyturn.CheckoutLink{
		OrderID: "ORDER-1", Currency: "EUR", Customer: keyturn.Customer{Email: buyer, Country: "FR", Locale: "en-GB"},
		LineItems: []keyturn.LinkLine{{ProductID: "thing", Name: "Thing", UnitPrice: "10.00"}}, Provider: payment.SandboxName,
	}
	if c.stripe {
		link.Provider = stripe.Name
	}
	if c.trouble != "" {
		link.AdditionalData = map[string]string{"sandbox": c.trouble}
	}
	var token string
	s.ask(func(ctx context.Context, l *life) error {
		v, _, err := l.api.CreateCheckoutLink(ctx, "the-link", link)
		token = v.URL[strings.LastIndex(v.URL, "/")+1:]
		return err
	})
	var id string
	s.ask(func(ctx context.Context, l *life) error {
		page, err := l.db.CheckoutPage(ctx, token)
		if err != nil {
			return err
		}
		begun, err := l.db.BeginPayment(ctx, db.PaymentStart{
			Token: token, Version: page.Version, Customer: page.Customer, PayWithin: 10 * time.Minute,
			CheckAddress: mail.CheckAddress, Respond: func(db.Accepted) ([]byte, error) { return nil, nil },
			Withdrawal: map[bool]keyturn.Withdrawal{true: keyturn.WithdrawalOffered}[c.withdraws],
		})
		if err != nil {
			return err
		}
		id = begun.ID
		_, err = l.desk.Open(ctx, id)
		return err
	})
	if c.late {
		_, err := s.w.books.Reconcile(context.Background(), id,
			keyturn.ProcessorState{Status: keyturn.AtProcessorExpired}, "test", nil)
		require.NoError(s.w.t, err)
	}
	s.ask(func(ctx context.Context, l *life) error {
		facts, err := l.db.Payment(ctx, id)
		if err != nil {
			return err
		}
		if c.stripe {
			_, err = s.w.stripe.Pay(facts.SessionReference, stripeemulator.Card(""))
			return err
		}
		_, err = l.sandbox.Act(ctx, facts.SessionURL[strings.LastIndex(facts.SessionURL, "/")+1:], keyturn.SandboxPay)
		return err
	})
	if c.returns {
		s.ask(func(ctx context.Context, l *life) error {
			_, err := l.desk.Look(ctx, id)
			return err
		})
	}
	if c.late { // without an event, nobody asks for a payment that has ended
		s.ask(func(ctx context.Context, l *life) error { return l.db.LookAtPayment(ctx, id) })
	}
	if c.decides != "" {
		s.decides(id, c.decides)
	}
	if c.withdraws {
		s.ask(func(ctx context.Context, l *life) error {
			if s.w.one(`SELECT count(*) FROM line_items WHERE status IN ('DELIVERED', 'CANCELING', 'CANCELED')`) == "0" {
				return keyturn.Errorf(keyturn.KindConflict, "nothing is delivered yet")
			}
			return l.db.Withdraw(ctx, l.db.PageToken("ORDER-1"))
		})
	}
}

// decides has a person decide on a payment of another sum, who looks at it before asking again.
func (s *succession) decides(id string, a keyturn.PaymentAction) {
	s.ask(func(ctx context.Context, l *life) error {
		switch status := s.w.one(`SELECT status FROM payments`); status {
		case "MISMATCH":
			return l.desk.Resolve(ctx, id, keyturn.PaymentResolution{Action: a, Reason: "another sum"}, "ana")
		case "CREATED", "OPEN", "PROCESSING":
			return keyturn.Errorf(keyturn.KindConflict, "the payment is %s", status)
		default:
			return nil
		}
	})
}
