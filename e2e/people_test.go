package e2e_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/workflows"
)

// stuck sells a line whose partner is down and whose next attempt is an hour away.
func (s *stack) stuck(retry keyturn.RetryPolicy) *db.Accepted {
	s.t.Helper()
	s.drill("acme", "always-500")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: retry})
	a := s.order("cad")
	s.awaitLine(fulfillment(a), keyturn.LineRetrying)
	s.failure(fulfillment(a))
	return a
}

func TestRetryNow(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	s.record(workflows.LineWorkflowID(fulfillment(a)), "open-retrying")
	s.drill("acme", "ok")
	next := s.decide(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionRetry})
	require.Zero(t, next.Wait, "at once")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

func TestHoldStopsAndReleaseGoesOn(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(every(200*time.Millisecond, time.Hour))
	f := fulfillment(a)
	s.decide(f, keyturn.Resolution{Action: keyturn.ActionHold, Reason: "fraud check"})
	require.Equal(t, keyturn.LineHeld, s.status(f))
	s.record(workflows.LineWorkflowID(f), "open-held")
	s.eventually(func() (bool, string) { // an attempt that was under way may still end
		return s.count(`SELECT count(*) FROM attempts WHERE outcome = 'running'`) == 0, "a call is under way"
	})
	calls := len(s.calls("acme", "create"))
	time.Sleep(time.Second) // five times the pause between tries
	require.Len(t, s.calls("acme", "create"), calls, "a held line calls nobody")
	require.Equal(t, keyturn.OrderPartialCompleted, keyturn.OrderStatus(s.texts(`SELECT status FROM orders`)[0]))
	s.drill("acme", "ok")
	s.decide(f, keyturn.Resolution{Action: keyturn.ActionExtend, Until: ptr(time.Now().Add(3 * time.Hour))})
	s.decide(f, keyturn.Resolution{Action: keyturn.ActionRelease})
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Equal(t, "PENDING RETRYING HELD RETRYING DELIVERED", s.path(f))
	require.Equal(t, "fraud check", s.texts(`SELECT reason FROM resolutions WHERE action = 'hold'`)[0])
	s.record(workflows.LineWorkflowID(f), "hold-extend-release")
}

func ptr[T any](v T) *T { return &v }

func TestHoldEndsByItself(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	s.drill("acme", "ok")
	s.decide(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionHold, Until: ptr(time.Now().Add(2 * time.Second))})
	require.Equal(t, keyturn.LineHeld, s.status(fulfillment(a)))
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Equal(t, "PENDING RETRYING HELD RETRYING DELIVERED", s.path(fulfillment(a)))
}

func TestHoldDoesNotStopTheDeadline(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	s.setDeadline("cad", time.Since(a.CreatedAt)+5*time.Second)
	s.decide(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionHold})
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, 2999, s.refunded(a))
}

// A line is held before its first attempt came back, and the attempt succeeds: the key is kept until the release.
func TestHoldMeetsASuccess(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{Latency: keyturn.Duration(time.Second)}))
	s.integration(keyturn.Integration{ID: "acme", Limits: keyturn.Limits{Timeout: keyturn.Duration(5 * time.Second)}})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	f := fulfillment(a)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM attempts WHERE outcome = 'running'`) == 1, "no call"
	})
	s.decide(f, keyturn.Resolution{Action: keyturn.ActionHold})
	s.eventually(func() (bool, string) { return s.count(`SELECT count(*) FROM deliverables`) == 1, "no key" })
	require.Equal(t, keyturn.LineHeld, s.status(f))
	require.Empty(t, s.letters(buyer))
	s.decide(f, keyturn.Resolution{Action: keyturn.ActionRelease})
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Len(t, s.calls("acme", "create"), 1)
}

// The policy's own deadline passes without effect once a person has set a later one.
func TestExtendMovesTheDeadline(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(every(300*time.Millisecond, time.Hour))
	f := fulfillment(a)
	next := s.decide(f, keyturn.Resolution{Action: keyturn.ActionExtend, Until: ptr(time.Now().Add(3 * time.Hour))})
	require.InDelta(t, 3*time.Hour, time.Duration(next.Left), float64(time.Minute))
	s.setDeadline("cad", time.Second)
	s.eventually(func() (bool, string) {
		calls := s.calls("acme", "create")
		return calls[len(calls)-1].Time.After(a.CreatedAt.Add(2 * time.Second)), "it is not tried after the policy's deadline"
	})
	require.Equal(t, keyturn.LineRetrying, s.status(f))
	s.drill("acme", "ok")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

func TestRefundAndSupplyByAPerson(t *testing.T) {
	s := start(t, options{})
	a, b := s.stuck(patient), s.order("cad")
	s.awaitLine(fulfillment(b), keyturn.LineRetrying)
	s.decide(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionRefund, Reason: "the customer asked"})
	require.NoError(t, s.db.StageSupply(context.Background(), fulfillment(b), "", []string{"HAND-1"}))
	s.signal(fulfillment(b), keyturn.Resolution{Action: keyturn.ActionSupply})
	s.await(a, keyturn.OrderCanceled)
	s.await(b, keyturn.OrderCompleted)
	s.atRest(a, b)
	require.Equal(t, 2999, s.refunded(a))
	require.Zero(t, s.refunded(b))
	require.Len(t, s.calls("acme", "cancel"), 2, "both lines left the partner")
	_, err := s.update(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionRetry})
	require.Error(t, err, "the line is decided")
}

func TestTheSameDecisionTwiceIsOne(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	for range 3 {
		s.decide(fulfillment(a), keyturn.Resolution{
			ID: "decision-1", Action: keyturn.ActionExtend,
			Until: ptr(time.Now().Add(time.Hour)),
		})
	}
	require.Equal(t, 1, s.count(`SELECT count(*) FROM resolutions`))
}

func TestBadSignalsAndUpdatesChangeNothing(t *testing.T) {
	s := start(t, options{})
	a := s.stuck(patient)
	f := fulfillment(a)
	version := `SELECT version FROM line_items`
	before, events := s.count(version), len(s.history(workflows.LineWorkflowID(f)).Events)
	for _, r := range []keyturn.Resolution{
		{Action: "explode"},
		{Action: keyturn.ActionRelease},
		{Action: keyturn.ActionExtend},
		{},
		{Action: keyturn.ActionRetry, Reason: "control \x00 character"},
	} {
		_, err := s.update(f, r)
		require.Error(t, err, "%+v", r)
	}
	_, err := s.update(f, map[string]any{"action": "supply", "keys": []string{"MISPLACED-KEY"}})
	require.Error(t, err, "keys do not travel through Temporal")
	require.Len(t, s.history(workflows.LineWorkflowID(f)).Events, events, "what is refused leaves no event")
	for _, r := range []keyturn.Resolution{ // whether it is too late is for the database's clock to say
		{Action: keyturn.ActionHold, Until: ptr(time.Now().Add(-time.Hour))},
		{Action: keyturn.ActionExtend, Until: ptr(time.Now().AddDate(10, 0, 0))},
	} {
		_, err := s.update(f, r)
		require.ErrorContains(t, err, "until must be in the future", "%+v", r)
	}

	bad := []any{
		keyturn.Resolution{Action: "explode"},
		keyturn.Resolution{Action: keyturn.ActionRelease},
		"retry", 42, nil,
		[]string{"retry"},
		map[string]any{"action": "retry", "when": "tomorrow"},
		map[string]any{"action": map[string]any{}},
		[]byte{0xff, 0x00},
	}
	for _, payload := range bad {
		s.signal(f, payload)
	}
	s.eventually(func() (bool, string) {
		n := s.state(f).IgnoredSignals
		return n == len(bad), "not all signals are counted"
	})
	require.Equal(t, before, s.count(version))
	require.Zero(t, s.count(`SELECT count(*) FROM resolutions`))
	require.Equal(t, keyturn.LineRetrying, s.status(f))
	s.signal(f, map[string]any{"action": "refund", "reason": "asked on the phone"})
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
}

// A partner succeeds while a person refunds: many times over, each line ends in exactly one of the two.
func TestRefundRacesSuccess(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{Latency: keyturn.Duration(150 * time.Millisecond)}))
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	var orders []*db.Accepted
	var wg sync.WaitGroup
	for i := range 30 {
		a := s.order("cad")
		orders = append(orders, a)
		wg.Go(func() {
			time.Sleep(time.Duration(i*10) * time.Millisecond)
			// accepted or too late
			_, _ = s.update(fulfillment(a), keyturn.Resolution{Action: keyturn.ActionRefund, By: "operator"})
		})
	}
	wg.Wait()
	s.atRest(orders...)
	delivered, refunded := 0, 0
	for _, a := range orders {
		if s.refunded(a) > 0 {
			refunded++
		} else {
			require.Equal(t, keyturn.LineDelivered, s.status(fulfillment(a)))
			delivered++
		}
	}
	t.Logf("%d delivered, %d refunded", delivered, refunded)
	require.Equal(t, len(orders), delivered+refunded)
	require.Equal(t, refunded, s.count(`SELECT count(*) FROM refunds`))
}
