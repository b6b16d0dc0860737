package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/workflows"
)

// soon has the relay look after accepted lines now instead of ten seconds after their acceptance.
func (s *stack) soon() { s.exec(`UPDATE line_items SET wake_at = now() WHERE wake_at IS NOT NULL`) }

// The process that accepted the order died before it started anything.
func TestRelayStartsWhatACrashLeft(t *testing.T) {
	s := start(t, options{noRelay: true})
	s.pooled(every(time.Second, 10*time.Minute))
	a := s.store(keyturn.Order{LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "1"}}})
	require.Equal(t, 1, s.count(`SELECT count(*) FROM line_items WHERE wake_at > now()`), "the relay knows of it")
	s.soon()
	s.startStarter()
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

// A process of the API that runs no relay starts what it accepts itself, and leaves to the others what it does not know
// of.
func TestWhoServesStartsWhatIsOfferedAndNoMore(t *testing.T) {
	s := start(t, options{noRelay: true})
	s.pooled(every(time.Second, 10*time.Minute))
	s.load("game-keys", "GAME-2")
	left := s.store(keyturn.Order{LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "1"}}})
	s.soon()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() { s.starter.Serve(ctx); close(served) }()
	offered := s.order("game")
	s.await(offered, keyturn.OrderCompleted)
	require.Equal(t, keyturn.LinePending, s.status(fulfillment(left)), "the relay's to start")
	stop()
	<-served
	s.startStarter()
	s.await(left, keyturn.OrderCompleted)
	s.atRest(offered, left)
}

// Nobody is there to do the work; the line is started, woken, and done once when a worker comes.
func TestWorkerIsAbsentForAWhile(t *testing.T) {
	s := start(t, options{noWorker: true})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("game", "cad")
	for i := range a.Starts {
		s.eventually(func() (bool, string) {
			d, err := s.temporal.DescribeWorkflowExecution(context.Background(), workflows.LineWorkflowID(fulfillment(a, i)), "")
			return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, "not started"
		})
	}
	s.soon() // the relay finds them late and wakes them, which must do no harm
	s.starter.Wake()
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM line_items WHERE wake_at IS NOT NULL`) == 0, "not woken"
	})
	s.startWorker()
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Len(t, s.letters(buyer), 2)
	require.Len(t, s.calls("acme", "create"), 1)
}

// Accepting needs no Temporal; what came in meanwhile is started when it is back.
func TestTemporalIsDownWhileOrdersComeIn(t *testing.T) {
	p := newProxy(t, "", faultproxy.GRPC)
	s := start(t, options{noWorker: true, temporal: p.Addr()})
	s.pooled(every(time.Second, 10*time.Minute))
	s.load("game-keys", "GAME-2", "GAME-3")
	var orders []*db.Accepted
	for range 3 {
		begun := time.Now()
		orders = append(orders, s.order("game"))
		require.Less(t, time.Since(begun), 2*time.Second)
	}
	require.Equal(t, 3, s.count(`SELECT count(*) FROM line_items WHERE status = 'PENDING'`))
	p.Target(testkit.Temporal(t))
	s.startWorker()
	s.eventually(func() (bool, string) {
		s.soon()
		return s.count(`SELECT count(*) FROM orders WHERE status = 'COMPLETED'`) == 3, "not all are completed"
	})
	s.atRest(orders...)
	require.Len(t, s.letters(buyer), 3)
}

// A workflow that somebody terminated is started again by the relay: the database knows that the line is not decided.
func TestTerminatedWorkflowIsStartedAgain(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	f := fulfillment(a)
	require.NoError(t, s.temporal.TerminateWorkflow(context.Background(), workflows.LineWorkflowID(f), "", "by mistake"))
	s.drill("acme", "ok")
	s.exec(`UPDATE line_items SET next_attempt_at = now() - CAST('1 second' AS interval)`)
	s.eventually(func() (bool, string) {
		n, err := s.db.WakeForgotten(context.Background(), 0)
		require.NoError(t, err)
		return n == 1, "the line is not overdue"
	})
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

func TestCancellationOfTheWorkflowDoesNotLoseTheLine(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(every(time.Second, 10*time.Minute))
	require.NoError(t, s.temporal.CancelWorkflow(context.Background(), workflows.LineWorkflowID(fulfillment(a)), ""))
	time.Sleep(1500 * time.Millisecond)
	s.drill("acme", "ok")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

// A worker loses the database for a moment in the middle of many lines.
func TestDatabaseConnectionsAreKilled(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, keys("GAME", 40)...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			_, _ = s.reader.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keyturn'`)
		}
	}()
	for i := range 40 { // an answer that is lost is asked for again, with the same key
		o := keyturn.Order{
			ID: fmt.Sprintf("KILL-%d", i), Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay"},
			Customer:  keyturn.Customer{ID: "user-1", Email: buyer, Country: "FR", Locale: "fr"},
			LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "1"}},
		}
		again(t, func() error {
			a, _, err := s.db.Accept(context.Background(), acceptInput(o))
			if a != nil && err == nil {
				s.starter.Enqueue(a.Starts)
			}
			return err
		})
	}
	<-done
	s.eventually(func() (bool, string) {
		s.soon()
		// of an answer that was lost: it runs out
		s.exec(`UPDATE deliveries SET lease_until = now() WHERE status = 'SENDING' AND lease_until < now() + interval '35 seconds'`)
		return s.count(`SELECT count(*) FROM orders WHERE status <> 'COMPLETED'`) == 0, "not all are completed"
	})
	s.atRest()
	require.Equal(t, "0/0/40/0", s.stock("game-keys"))
	require.GreaterOrEqual(t, len(s.letters(buyer)), 40)
	require.Equal(t, 40, s.count(`SELECT count(DISTINCT line_id) FROM pool_keys`))
}
