package e2e_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/workflows"
)

// refuse is a fault of the inbox for the buyer's mail alone.
func (s *stack) refuse(code int) func(from, to string) error {
	return func(_, to string) error {
		if to == buyer {
			return inbox.Reject(code)
		}
		return nil
	}
}

func TestDeadlineEndsInARefund(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "always-500")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	a := s.order("cad", "game")
	f := fulfillment(a)
	s.eventually(func() (bool, string) { return len(s.calls("acme", "create")) >= 2, "it is not tried again" })
	s.setDeadline("cad", time.Second)
	s.await(a, keyturn.OrderPartialCanceled)
	s.atRest(a)
	require.Equal(t, "PENDING RETRYING CANCELING CANCELED", s.path(f))
	require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(fulfillment(a, 1)))
	require.Equal(t, 2999, s.refunded(a), "the line's price, once")
	require.Len(t, s.calls("acme", "cancel"), 1)
	news := 0
	for _, l := range s.letters(buyer) {
		if strings.Contains(l.Text, "29.99 EUR") && !strings.Contains(l.Text, "GAME-1") {
			news++
		}
	}
	require.Equal(t, 1, news, "the customer is told once")
	s.record(workflows.LineWorkflowID(f), "give-up-refund")
}

// Keys of a line whose e-mail never went out are sold again; keys that the mail server may have taken are not.
func TestGiveUpAfterTheKeysWereOurs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault error
		stock string
	}{"refused": {inbox.Reject(451), "1/0/0/0"}, "unknown": {inbox.ErrCut, "0/0/0/1"}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{})
			var over atomic.Bool
			s.inbox.Fail(func(_, to string) error {
				if to == buyer && !over.Load() {
					return test.fault
				}
				return nil
			})
			s.product(keyturn.Product{
				ID: "game", Sources: sources(fromPool("game-keys")),
				Retry: every(300*time.Millisecond, 2*time.Second),
			}, "GAME-1")
			a := s.order("game")
			s.await(a, keyturn.OrderCanceled)
			over.Store(true)
			s.atRest(a)
			require.Equal(t, "PENDING OBTAINED RETRYING CANCELING CANCELED", s.path(fulfillment(a)))
			require.Equal(t, test.stock, s.stock("game-keys"))
			require.Equal(t, 2999, s.refunded(a))
		})
	}
}

// A process that dies between the mail server's answer and the database leaves SENDING behind: the key counts as seen.
func TestKeysOfAnEmailWhoseProcessDiedAreNotSoldAgain(t *testing.T) {
	s := start(t, options{noWorker: true, noRelay: true})
	ctx := context.Background()
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	f := fulfillment(s.order("game"))
	_, err := s.db.Claim(ctx, f, nil)
	require.NoError(t, err)
	delivery, _, _, err := s.db.BeginDelivery(ctx, f, s.acts.Letters.Render)
	require.NoError(t, err)
	require.NotNil(t, delivery)
	_, err = s.db.Resolve(ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund, By: "operator"})
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "while the e-mail may be on its way nothing is refunded")
	s.exec(`UPDATE deliveries SET lease_until = now() - interval '1 second'`)
	_, err = s.db.Resolve(ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund, By: "operator"})
	require.NoError(t, err)
	require.Equal(t, "0/0/0/1", s.stock("game-keys"))
	s.audit()
}

// One line of three can never be fulfilled, and the merchant sells all or nothing: the delivered one is revoked, the
// pending one stopped, everything refunded.
func TestCancelOrderWhenOneLineFails(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "always-500")
	s.integration(keyturn.Integration{ID: "acme"})
	s.product(keyturn.Product{ID: "cad", OnGiveUp: keyturn.CancelOrder, Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	s.product(keyturn.Product{ID: "antique", Sources: sources(byHand)})
	a := s.order("cad", "game", "antique")
	s.awaitLine(fulfillment(a, 1), keyturn.LineDelivered)
	s.awaitLine(fulfillment(a), keyturn.LineRetrying)
	s.setDeadline("cad", time.Second)
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, "PENDING RETRYING CANCELING CANCELED", s.path(fulfillment(a, 0)))
	require.Equal(t, "PENDING OBTAINED DELIVERED CANCELING CANCELED", s.path(fulfillment(a, 1)))
	require.Equal(t, "PENDING CANCELING CANCELED", s.path(fulfillment(a, 2)))
	require.Equal(t, 3*2999, s.refunded(a))
	require.Equal(t, "0/0/0/1", s.stock("game-keys"), "a key that was seen is nobody else's")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM licenses WHERE status = 'Canceled'`))
	require.Len(t, s.letters(buyer), 4, "the keys of one line, and the news of three")
}

func TestCancelACompletedOrder(t *testing.T) {
	s := start(t, options{})
	ctx := context.Background()
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	a := s.order("cad", "game")
	s.await(a, keyturn.OrderCompleted)
	require.NoError(t, s.db.CancelOrder(ctx, a.Order.ID, "the customer changed their mind"))
	require.NoError(t, s.db.CancelOrder(ctx, a.Order.ID, "again"), "asking twice is asking once")
	s.starter.Wake()
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, 2*2999, s.refunded(a))
	require.Equal(t, emulator.StatusCanceled, s.partner.Issued()[0].Status, "the partner's key is revoked")
	require.Len(t, s.calls("acme", "cancel"), 1)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(s.db.CancelOrder(ctx, a.Order.ID, "once more")))
	for _, l := range s.letters(buyer) {
		if !strings.Contains(l.Text, "GAME-1") && !strings.Contains(l.Text, "EMU-") {
			require.Contains(t, l.Text, "on request")
		}
	}
	s.record(workflows.CancelWorkflowID(fulfillment(a)), "cancel-delivered")
}

// The order is cancelled while the e-mail with its keys is under way: the e-mail's outcome comes first, then the line
// is taken back.
func TestCancelMeetsAnEmailOnItsWay(t *testing.T) {
	s := start(t, options{})
	sending, canceled, once := make(chan struct{}), make(chan struct{}), atomic.Bool{}
	s.inbox.Fail(func(_, to string) error {
		if to == buyer && once.CompareAndSwap(false, true) {
			close(sending)
			<-canceled
			time.Sleep(300 * time.Millisecond) // for the cancellation to find the e-mail under way
		}
		return nil
	})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	a := s.order("game")
	<-sending
	require.NoError(t, s.db.CancelOrder(context.Background(), a.Order.ID, "changed my mind"))
	s.starter.Wake()
	close(canceled)
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, "PENDING OBTAINED DELIVERED CANCELING CANCELED", s.path(fulfillment(a)))
	require.Equal(t, "0/0/0/1", s.stock("game-keys"))
}
