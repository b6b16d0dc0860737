package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/payment"
)

// again calls a use case until the database has answered, as Temporal does with an activity. Connection errors are
// expected; anything else is not.
func again(t *testing.T, do func() error) {
	t.Helper()
	for range 50 {
		err := do()
		switch keyturn.KindOf(err) {
		case "":
			return
		case keyturn.KindUnavailable, keyturn.KindConflict:
			time.Sleep(5 * time.Millisecond)
		default:
			t.Fatalf("%v: %v", err, fmt.Sprint(unwrapped(err)))
		}
	}
	t.Fatal("it does not get through")
}

func unwrapped(err error) error {
	if e, ok := errors.AsType[*keyturn.Error](err); ok {
		return e.Cause
	}
	return err
}

// useCase brings a line from nothing to its end through calls that may each lose their answer. It checks nothing: the
// invariants and the counts do.
type useCase func(t *testing.T, s *stack, a *db.Accepted)

func deliverFromPool(t *testing.T, s *stack, a *db.Accepted) {
	ctx, f := context.Background(), fulfillment(a)
	again(t, func() error { _, err := s.db.Claim(ctx, f, nil); return err })
	again(t, func() error {
		d, next, _, err := s.db.BeginDelivery(ctx, f, s.acts.Letters.Render)
		if err != nil || d == nil {
			// the lease of a lost answer runs out
			s.exec(`UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE status = 'SENDING'`)
			if next.Do == keyturn.DoNothing {
				return nil
			}
			return err
		}
		_, err = s.db.FinishDelivery(ctx, f, d, nil, false)
		if err != nil {
			s.exec(`UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE status = 'SENDING'`)
		}
		return err
	})
}

func refundALine(t *testing.T, s *stack, a *db.Accepted) {
	ctx, f := context.Background(), fulfillment(a)
	again(t, func() error { _, err := s.db.Claim(ctx, f, nil); return err })
	again(t, func() error {
		_, err := s.db.Resolve(ctx, f, keyturn.Resolution{ID: "one", Action: keyturn.ActionRefund, By: "operator"})
		return err
	})
	again(t, func() error {
		due, _, err := s.db.BeginRefund(ctx, f)
		if err != nil || due == nil {
			return err
		}
		id, err := payment.Sandbox{Ledger: s.db}.Refund(ctx,
			payment.Refund{
				IdempotencyKey: "refund-" + due.LineID, Reference: due.Reference, OrderID: due.OrderID,
				Amount: keyturn.Money{Minor: due.Minor, Currency: due.Currency},
			})
		if err != nil {
			return err
		}
		_, err = s.db.FinishRefund(ctx, f, id, s.acts.Letters.Render)
		return err
	})
}

func callAPartner(t *testing.T, s *stack, a *db.Accepted) {
	ctx, f := context.Background(), fulfillment(a)
	again(t, func() error {
		call, next, wait, err := s.db.BeginCall(ctx, f, func(keyturn.Integration) time.Duration { return time.Second },
			noRender)
		if wait > 0 { // the booked try of a lost answer runs out
			s.exec(`UPDATE attempts SET deadline_at = now() - interval '1 second' WHERE outcome = 'running'`)
		}
		if err != nil || call == nil {
			if err == nil {
				require.Equal(t, keyturn.DoDeliver, next.Do)
			}
			return err
		}
		again(t, func() error {
			_, err := s.db.FinishCall(ctx, f, success(call, keyturn.Secret("EMU-"+f)), nil)
			return err
		})
		return nil
	})
}

// The connection is cut after PostgreSQL has carried out a statement, at every statement in turn, by FIN and by RST:
// calling again gives one effect. No key is taken twice, none leaks.
func TestLostAnswersOfTheDatabase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		product string
		do      useCase
		check   func(t *testing.T, s *stack, a *db.Accepted)
	}{
		"deliver": {"game", deliverFromPool, func(t *testing.T, s *stack, a *db.Accepted) {
			require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(fulfillment(a)))
			require.Equal(t, 1, s.count(`SELECT count(*) FROM deliveries d JOIN line_items l ON l.id = d.line_id WHERE order_id = $1`, a.Order.ID))
			require.Equal(t, 1, s.count(`SELECT count(*) FROM licenses i JOIN line_items l ON l.id = i.line_id WHERE order_id = $1`, a.Order.ID))
		}},
		"refund": {"game", refundALine, func(t *testing.T, s *stack, a *db.Accepted) {
			require.Equal(t, "PENDING OBTAINED CANCELING CANCELED", s.path(fulfillment(a)))
			require.Equal(t, 100, s.refunded(a))
			require.Equal(t, 1, s.count(`SELECT count(*) FROM outbox WHERE workflow = 'SendFollowUpEmail' AND subject IN (SELECT CAST(d.id AS text) FROM deliveries d JOIN line_items l ON l.id = d.line_id WHERE order_id = $1)`, a.Order.ID))
		}},
		"call": {"cad", callAPartner, func(t *testing.T, s *stack, a *db.Accepted) {
			require.Equal(t, "PENDING OBTAINED", s.path(fulfillment(a)))
			require.Equal(t, 1, s.count(`SELECT count(*) FROM deliverables d JOIN line_items l ON l.id = d.line_id WHERE order_id = $1`, a.Order.ID))
			require.Zero(t, s.count(`SELECT count(*) FROM revocations`))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var p *faultproxy.Proxy
			s := start(t, options{noWorker: true, noRelay: true, dsn: func(dsn string) string {
				u, err := url.Parse(dsn)
				require.NoError(t, err)
				p = newProxy(t, u.Host, faultproxy.Postgres)
				u.Host = p.Addr()
				return u.String()
			}})
			s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, keys("GAME", 200)...)
			s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
			cuts := 0
			for _, reset := range []bool{false, true} {
				for after := 0; ; after++ {
					require.Less(t, after, 200)
					a := s.store(keyturn.Order{LineItems: []keyturn.LineItem{{ProductID: test.product, Quantity: 1, GrossPrice: "1"}}})
					p.Lose(faultproxy.Loss{After: after, Reset: reset})
					test.do(t, s, a)
					fired := disarm(p)
					test.check(t, s, a)
					if !fired {
						break
					}
					cuts++
				}
			}
			s.audit()
			t.Logf("%d connections were cut", cuts)
			require.Greater(t, cuts, 10)
			require.Equal(t, 200, s.count(`SELECT sum(available + claimed + delivered + quarantined) FROM pool_stock`))
		})
	}
}

// The same for what is stored from outside: an order is accepted once, keys are imported once.
func TestLostAnswersOfIntakeAndImport(t *testing.T) {
	var p *faultproxy.Proxy
	s := start(t, options{noWorker: true, noRelay: true, dsn: func(dsn string) string {
		u, err := url.Parse(dsn)
		require.NoError(t, err)
		p = newProxy(t, u.Host, faultproxy.Postgres)
		u.Host = p.Addr()
		return u.String()
	}})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))})
	orders, batch := 0, 0
	for _, reset := range []bool{false, true} {
		for after := 0; ; after++ {
			orders++
			o := keyturn.Order{
				ID: fmt.Sprintf("ORDER-%d", orders), Currency: "EUR",
				Payment:   keyturn.Payment{Provider: "sandbox", Reference: "pay"},
				Customer:  keyturn.Customer{ID: fmt.Sprintf("user-%d", orders), Email: buyer, Country: "FR", Locale: "fr"},
				LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "1"}},
			}
			p.Lose(faultproxy.Loss{After: after, Reset: reset})
			again(t, func() error {
				_, answer, err := s.db.Accept(context.Background(), db.AcceptInput{
					Order: o, Client: "test", IdempotencyKey: o.ID, RequestHash: []byte(o.ID),
					Respond: func(a db.Accepted) ([]byte, error) { return []byte(a.PageToken), nil },
				})
				if err == nil {
					require.Equal(t, s.db.PageToken(o.ID), string(answer))
				}
				return err
			})
			fired := disarm(p)
			require.Equal(t, orders, s.count(`SELECT count(*) FROM line_items`))

			batch++
			imported := keys(fmt.Sprintf("BATCH-%d", batch), 3)
			p.Lose(faultproxy.Loss{After: after, Reset: reset})
			again(t, func() error {
				_, err := s.db.Import(context.Background(), "game-keys", strings.NewReader(strings.Join(imported, "\n")), "test",
					false)
				return err
			})
			fired = disarm(p) || fired
			require.Equal(t, 3*batch, s.count(`SELECT count(*) FROM pool_keys`))
			if !fired {
				break
			}
		}
	}
	s.audit()
	require.Greater(t, batch, 10)
}
