package e2e_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/workflows"
)

// pooled sells a game from a pool with one key.
func (s *stack) pooled(retry keyturn.RetryPolicy) {
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys")), Retry: retry}, "GAME-1")
}

func TestEmailIsSentUntilTheServerTakesIt(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{"4xx": inbox.Reject(451), "5xx": inbox.Reject(550)} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{})
			var faults atomic.Int64
			s.inbox.Fail(func(_, to string) error {
				if to == buyer && faults.Add(1) <= 2 {
					return fault
				}
				return nil
			})
			s.pooled(every(time.Second, 10*time.Minute))
			a := s.order("game")
			s.await(a, keyturn.OrderPartialCompleted)
			s.await(a, keyturn.OrderCompleted)
			s.atRest(a)
			require.Equal(t, "PENDING OBTAINED RETRYING DELIVERED", s.path(fulfillment(a)))
			require.Len(t, s.letters(buyer), 1)
			require.Equal(t, 3, s.count(`SELECT attempts FROM deliveries`))
			require.Len(t, s.alerts(fulfillment(a)), 1)
		})
	}
}

// A mail server that takes longer than a local activity may costs the customer no second e-mail, and shows no trouble:
// the e-mail under way comes to its end, and a regular activity waits for it.
func TestASlowMailServerGetsTheEmailOnce(t *testing.T) {
	s := start(t, options{})
	s.inbox.Fail(func(_, to string) error {
		if to == buyer {
			time.Sleep(5 * time.Second)
		}
		return nil
	})
	s.pooled(every(time.Second, 10*time.Minute))
	a := s.order("game")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(fulfillment(a)))
	require.Len(t, s.letters(buyer), 1)
	require.Equal(t, 1, s.count(`SELECT attempts FROM deliveries`))
	require.Equal(t, 1, s.eventsOf(workflows.LineWorkflowID(fulfillment(a)), enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
}

// The server took the e-mail and the connection broke before it said so: it is sent again, byte for byte, so that the
// customer's mailbox can tell that it is the same.
func TestRepeatedEmailIsTheSameByteForByte(t *testing.T) {
	s := start(t, options{})
	var faults atomic.Int64
	s.inbox.Fail(func(_, to string) error {
		if to == buyer && faults.Add(1) <= 2 {
			return inbox.ErrCut
		}
		return nil
	})
	s.pooled(every(time.Second, 10*time.Minute))
	a := s.order("game")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	letters := s.letters(buyer)
	require.Len(t, letters, 3)
	for _, l := range letters {
		require.Equal(t, letters[0].Raw, l.Raw)
		require.NotEmpty(t, l.MessageID)
	}
	require.Equal(t, 1, s.count(`SELECT count(*) FROM deliveries WHERE exposed AND status = 'SENT'`))
}

func TestMailServerIsDownForAWhile(t *testing.T) {
	s := start(t, options{})
	addr := s.inbox.SMTPAddr()
	require.NoError(t, s.inbox.Close())
	s.pooled(every(time.Second, 10*time.Minute))
	a := s.order("game")
	s.await(a, keyturn.OrderPartialCompleted)
	s.inbox = inbox.New(inbox.Config{SMTPAddr: addr, HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, s.inbox.Start())
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Len(t, s.letters(buyer), 1)
}

func TestResendOfADeliveredLine(t *testing.T) {
	s := start(t, options{})
	s.pooled(every(time.Second, 10*time.Minute))
	a := s.order("game")
	f := fulfillment(a)
	s.await(a, keyturn.OrderCompleted)
	id, err := s.db.Resend(context.Background(), f, "new@buyer.test", "operator", s.acts.Letters.Render)
	require.NoError(t, err)
	s.starter.Wake()
	s.atRest(a)
	letters := s.letters("new@buyer.test")
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Text, "GAME-1")
	require.NotEqual(t, s.letters(buyer)[0].MessageID, letters[0].MessageID, "a new e-mail")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM access_log WHERE by = 'operator'`))
	s.record(workflows.SendWorkflowID(id), "resend")
}

// The customer mistyped the address: the e-mail bounces, and a resend to the right one goes out at once, however long
// the policy would wait.
func TestResendOfAnUndeliveredLine(t *testing.T) {
	s := start(t, options{})
	s.inbox.Fail(s.refuse(550))
	s.pooled(patient)
	a := s.order("game")
	f := fulfillment(a)
	s.awaitLine(f, keyturn.LineRetrying)
	s.failure(f)
	_, err := s.db.Resend(context.Background(), f, "right@buyer.test", "operator", s.acts.Letters.Render)
	require.NoError(t, err)
	s.starter.Wake()
	s.await(a, keyturn.OrderCompleted)
	require.Len(t, s.letters("right@buyer.test"), 1)
	require.Empty(t, s.letters(buyer))
	require.Equal(t, "PENDING OBTAINED RETRYING DELIVERED", s.path(f))
}

func TestResendNeedsKeys(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "always-500")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: patient})
	f := fulfillment(s.order("cad"))
	s.awaitLine(f, keyturn.LineRetrying)
	_, err := s.db.Resend(context.Background(), f, "", "operator", s.acts.Letters.Render)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
}

// A process that finds another one sending an e-mail comes back when that one's time is up, by one attempt: the pauses
// between tries grow, and looks that count as tries would put it off for an hour.
func TestAnEmailWhoseSenderDiedIsSentWhenItsTimeIsUp(t *testing.T) {
	s := start(t, options{})
	s.pooled(every(time.Second, 10*time.Minute))
	a := s.order("game")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	// as a dead one left it 15 s ago
	s.exec(`UPDATE deliveries SET status = 'SENDING', lease_until = clock_timestamp() + interval '30 s'`)
	err := s.acts.SendFollowUpEmail(t.Context(), activities.Sending{DeliveryID: s.texts(`SELECT id FROM deliveries`)[0]})
	var again *temporal.ApplicationError
	require.ErrorAs(t, err, &again)
	require.False(t, again.NonRetryable())
	require.InDelta(t, 30, again.NextRetryDelay().Seconds(), 15, "what is left of its time")
	require.Less(t, again.NextRetryDelay(), 30*time.Second)
	require.Len(t, s.letters(buyer), 1)
}
