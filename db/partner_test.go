package db

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func (s *shop) partner() keyturn.PartnerState {
	s.t.Helper()
	p, err := s.PartnerState(s.ctx, "acme")
	require.NoError(s.t, err)
	return p
}

// down opens the breaker with as many failing lines as it takes, and gives their fulfillments.
func (s *shop) down() []string {
	s.t.Helper()
	fs := s.sellMany(breakerLines)
	for i, f := range fs {
		require.Equal(s.t, keyturn.BreakerClosed, s.partner().Breaker, "after %d", i)
		s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	}
	return fs
}

func (s *shop) partnerAlerts() []string {
	s.t.Helper()
	return reads[string](s,
		`SELECT cause || CASE WHEN closed_at IS NULL THEN ' open' ELSE ' closed' END FROM alerts
			WHERE subject = 'endpoint/acme' ORDER BY id`)
}

func TestBreakerOpensAndClosesByProbe(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{
		ID: "app", Sources: []keyturn.Source{fromEndpoint("acme")},
		Retry: keyturn.RetryPolicy{Schedule: []keyturn.Duration{keyturn.Duration(time.Hour)}},
	})
	failed := s.down()
	require.Equal(t, keyturn.BreakerOpen, s.partner().Breaker)
	require.Equal(t, []string{"PartnerDown open"}, s.partnerAlerts())

	// A line that was never tried is in trouble all the same: its customer waits. The partner's alert stands for its own.
	f := s.sell("app")
	next, _ := s.parked(f)
	require.Equal(t, keyturn.LineRetrying, next.Status)
	require.Zero(t, next.Wait, "the workflow is to wait in the activity, where it is dispatched without history")
	require.Equal(t, keyturn.OrderPartialCompleted, s.orderStatus(f))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM alerts WHERE line_id = $1 AND mailed_at IS NOT NULL`,
		s.lineID(f)))
	require.Empty(t, s.outcomes(f))
	_, wait := s.parked(f)
	shown, err := s.Fulfillment(s.ctx, f)
	require.NoError(t, err)
	require.True(t, shown.PartnerDown, "no time can be told")
	require.Nil(t, shown.NextAttemptAt)
	require.GreaterOrEqual(t, wait, sleepWhileDown)
	require.Less(t, wait, 2*sleepWhileDown)

	// Nobody is dispatched before the probe is due; then one line is, the oldest, and only it may go.
	require.Empty(t, s.dispatched())
	require.Equal(t, 6, s.partner().Waiting, "those whose failures opened the breaker wait in front")
	s.later(probeFirst)
	require.Equal(t, failed[:1], s.dispatched())
	s.parked(f)
	probe := s.beginCall(failed[0])
	require.True(t, probe.Probe)
	require.Equal(t, keyturn.BreakerProbing, s.partner().Breaker)
	s.parked(failed[1])
	s.parked(f)

	// The probe fails: the next one comes later, and it is the next oldest line's once this one's own delay says so.
	s.finishCall(failed[0], refused(probe, keyturn.KindUnavailable))
	state := s.partner()
	require.Equal(t, keyturn.BreakerOpen, state.Breaker)
	require.WithinDuration(t, time.Now().Add(2*probeFirst), *state.NextTryAt, 2*time.Second)
	s.later(2 * probeFirst)
	probe = s.beginCall(failed[0])
	next = s.finishCall(failed[0], answered(probe, "KEY-0"))
	require.Equal(t, keyturn.DoDeliver, next.Do)
	state = s.partner()
	require.Equal(t, keyturn.BreakerClosed, state.Breaker)
	require.Equal(t, 5, state.Waiting)
	require.Equal(t, []string{"PartnerDown closed", "PartnerBack closed"}, s.partnerAlerts())

	require.Equal(t, append(failed[1:], f), s.dispatched(), "a tenth of a second's calls")
	for i, f := range append(failed[1:], f) {
		s.finishCall(f, answered(s.beginCall(f), "KEY-"+itoa(i+1)))
	}
	require.Zero(t, s.partner().Waiting)
}

// One poisoned order does not close a partner to the others.
func TestOneLineDoesNotOpenTheBreaker(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	poisoned := s.sell("app")
	for range 3 * breakerLines {
		s.finishCall(poisoned, refused(s.beginCall(poisoned), keyturn.KindUnavailable))
	}
	require.Equal(t, keyturn.BreakerClosed, s.partner().Breaker)
	require.Equal(t, 1, s.partner().Failing)
	f := s.sell("app")
	s.finishCall(f, answered(s.beginCall(f), "KEY"))
	require.Zero(t, s.partner().Failing, "an answer forgets the failures")
}

// A partner that says no is there.
func TestRefusalsDoNotOpenTheBreaker(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	for _, f := range s.sellMany(2 * breakerLines) {
		s.finishCall(f, refused(s.beginCall(f), keyturn.KindRejected))
	}
	require.Equal(t, keyturn.PartnerState{Breaker: keyturn.BreakerClosed}, s.partner())
}

func TestRetryAfterHoldsAllLinesBack(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	fs := s.sellMany(2)
	r := refused(s.beginCall(fs[0]), keyturn.KindRateLimited)
	r.Failed.RetryAfter = 30 * time.Second
	s.finishCall(fs[0], r)
	next, wait := s.parked(fs[1])
	require.Equal(t, keyturn.LinePending, next.Status)
	require.InDelta(t, 30*time.Second, wait, float64(2*time.Second))
	s.later(31 * time.Second)
	s.finishCall(fs[1], answered(s.beginCall(fs[1]), "KEY"))
	require.Equal(t, keyturn.PartnerState{Breaker: keyturn.BreakerClosed}, s.partner())
}

func TestAPersonsRetryPassesAnOpenBreaker(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.down()
	f := s.sell("app")
	s.parked(f)
	next := s.resolve(f, keyturn.ActionRetry)
	require.Zero(t, next.Wait)
	call := s.beginCall(f)
	require.True(t, call.Probe)
	s.finishCall(f, answered(call, "KEY"))
	require.Equal(t, keyturn.BreakerClosed, s.partner().Breaker)
}

// A partner that is down keeps no line from its next source or its refund.
func TestAnOpenBreakerMissesNoDeadline(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{
		ID: "app", Sources: []keyturn.Source{fromEndpoint("acme"), fromPool("spare")},
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(time.Hour)},
	})
	s.down()
	s.put(keyturn.Product{
		ID: "last", Sources: []keyturn.Source{fromEndpoint("acme")},
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(2 * time.Minute)},
	})
	two, one := s.sell("app"), s.sell("last")
	s.parked(two)
	s.parked(one)
	_, wait := s.parked(one)
	require.Less(t, wait, 2*time.Minute+time.Second, "it comes at its deadline at the latest")
	s.later(2 * time.Minute)
	next, wait := s.parked(one)
	require.Zero(t, wait)
	require.Equal(t, keyturn.DoRefund, next.Do)
	s.later(time.Hour / 2)
	next, _ = s.parked(two)
	require.Equal(t, "pool/spare", next.Source)
	require.Equal(t, keyturn.DoClaim, next.Do)
	require.Zero(t, read[int](s, `SELECT count(*) FROM partner_queue WHERE line_id IN ($1, $2)`, s.lineID(one),
		s.lineID(two)))
}

// dispatched gives the fulfillments that are dispatched.
func (s *shop) dispatched() []string {
	s.t.Helper()
	due, _, err := s.DispatchWaiting(s.ctx, 0)
	require.NoError(s.t, err)
	var fs []string
	for _, d := range due {
		require.True(s.t, d.Called)
		fs = append(fs, d.Start.FulfillmentID)
	}
	return fs
}

// A small order that comes after a large one takes turns with it at their partner: it waits behind the lines of one
// turn, however slow the partner is, and the large order's last lines wait for no endless row of small ones.
func TestALargeOrderTakesTurnsAtItsPartner(t *testing.T) {
	s := newShop(t)
	s.limit(keyturn.Limits{MaxConcurrent: 1, PerSecond: 1000})
	s.beginCall(s.sell("app"))
	large := s.order("large", repeatLine(lineOf("app", 1), turnSize+10)...)
	small := s.sell("app")
	for i := len(large) - 1; i >= 0; i-- {
		s.parked(large[i])
	}
	s.parked(small)
	inQueue := func() []string {
		return reads[string](s, `SELECT l.fulfillment_id FROM partner_queue q JOIN line_items l ON l.id = q.line_id
			ORDER BY q.created_at, q.line_id`)
	}
	require.Equal(t, turnSize, slices.Index(inQueue(), small))
	s.later(5 * time.Second)
	next := s.sell("app")
	s.parked(next)
	require.InDelta(t, turnSize+1+5, slices.Index(inQueue(), next), 2, "the large order's lines grow older")
	s.exec(`UPDATE partner_queue SET due_at = now() + interval '1 hour'; UPDATE attempts SET outcome = 'success',
		ended_at = now() - interval '1 hour', started_at = now() - interval '1 hour'`)
	require.Subset(t, large[:turnSize], s.dispatched())
	_, wait := s.parked(large[turnSize+8])
	require.Positive(t, wait, "a line of a later turn does not go before those that wait")
}

// A look at those who wait that PostgreSQL undoes for the sake of other transactions is taken again soon, and is no
// error.
func TestDispatchThatIsUndoneComesAgain(t *testing.T) {
	s := newShop(t)
	s.limit(keyturn.Limits{MaxConcurrent: 1, PerSecond: 20})
	fs := s.sellMany(3)
	call := s.beginCall(fs[0])
	for _, f := range fs[1:] {
		s.parked(f)
	}
	s.finishCall(fs[0], answered(call, "KEY"))
	s.exec(`UPDATE partner_queue SET due_at = now() + interval '1 hour'`)
	s.exec(`CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected'; END $$`)
	s.exec(`CREATE TRIGGER deadlock BEFORE UPDATE ON partner_queue EXECUTE FUNCTION deadlock()`)
	due, soon, err := s.DispatchWaiting(s.ctx, 0)
	require.NoError(t, err)
	require.Empty(t, due)
	require.True(t, soon)
	s.exec(`DROP TRIGGER deadlock ON partner_queue`)
	require.Equal(t, fs[1:], s.dispatched())
}

// Lines are dispatched evenly, few at first, and then about as many as go. One that does not come makes way, and is
// called again.
func TestLinesAreCalledUpAsTheyGo(t *testing.T) {
	s := newShop(t)
	s.limit(keyturn.Limits{MaxConcurrent: 1, PerSecond: 20})
	fs := s.sellMany(20)
	first := s.beginCall(fs[0])
	for _, f := range fs[1:] {
		s.parked(f)
	}
	s.exec(`UPDATE partner_queue SET due_at = now() + interval '1 hour'`)
	wentNow := func() { s.exec(`UPDATE attempts SET started_at = clock_timestamp()`) } // however long this test takes
	wentNow()
	require.Equal(t, fs[1:3], s.dispatched(), "a tenth of a second's calls")
	s.later(dispatchSlice)
	require.Equal(t, fs[3:5], s.dispatched())
	s.later(dispatchSlice)
	require.Equal(t, fs[5:7], s.dispatched(), "one call went lately")
	s.later(dispatchSlice)
	require.Empty(t, s.dispatched(), "the others are on their way")
	s.finishCall(fs[0], answered(first, "KEY-0"))
	s.later(dispatchSlice)
	s.beginCall(fs[1])
	wentNow()
	require.Equal(t, fs[7:9], s.dispatched(), "one went, and more may come")
	for _, f := range fs[2:9] {
		s.parked(f)
	}
	s.later(arrivesWithin)
	again := s.dispatched()
	require.Equal(t, fs[9:11], again, "those before are not waited for any more")
	s.later(redispatchAfter)
	require.Equal(t, fs[2:4], s.dispatched(), "the oldest, once more")
}

// A partner that takes one call in a minute has no line come in vain.
func TestASlowRateCallsNobodyInVain(t *testing.T) {
	s := newShop(t)
	s.limit(keyturn.Limits{PerSecond: 1.0 / 60})
	fs := s.sellMany(3)
	s.finishCall(fs[0], answered(s.beginCall(fs[0]), "KEY-0"))
	s.parked(fs[1])
	s.parked(fs[2])
	s.exec(`UPDATE partner_queue SET due_at = now() + interval '1 hour'`)
	require.Empty(t, s.dispatched())
	s.later(time.Minute)
	require.Equal(t, fs[1:2], s.dispatched())
	require.Empty(t, s.dispatched(), "it is on its way")
}

// Partners are dispatched for one by one: a queue of one holds up no other, and they are found by their lines, however
// many integrations there are.
func TestEachPartnersLinesAreCalledUp(t *testing.T) {
	s := newShop(t)
	var want []string
	for _, id := range []string{"acme", "beta", "gamma"} {
		s.product(id, fromEndpoint(id))
		_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{
			ID: id, BaseURL: "https://partner.test",
			Limits: keyturn.Limits{PerSecond: 1},
		})
		require.NoError(t, err)
		first, second := s.sell(id), s.sell(id)
		s.beginCall(first)
		s.parked(second)
		want = append(want, second)
	}
	s.exec(`UPDATE partner_queue SET due_at = now() + interval '1 hour'`)
	s.later(callTime + time.Second)
	require.ElementsMatch(t, want, s.dispatched())
}

// The alert of the outage stands for those of the lines that wait. A line that fails on its own when the partner is
// back is told of, once.
func TestALineThatFailsAfterTheOutageIsToldOf(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	failed := s.down()
	f := s.sell("app")
	s.parked(f)
	mailed := func() (causes []string) {
		_, err := s.TakeAlerts(s.ctx, 100, func(alerts []Alert) error {
			for _, a := range alerts {
				causes = append(causes, string(a.Cause))
			}
			return nil
		})
		require.NoError(t, err)
		return causes
	}
	require.NotContains(t, s.mutedLines(), s.lineID(failed[0]))
	require.Contains(t, s.mutedLines(), s.lineID(f))
	require.Contains(t, mailed(), "PartnerDown")
	s.later(probeFirst)
	s.finishCall(failed[0], answered(s.beginCall(failed[0]), "KEY-0"))
	require.Equal(t, []string{"PartnerBack"}, mailed())
	for range 3 {
		s.later(time.Hour)
		for _, g := range append(failed[1:], f) {
			if s.lineID(g) != s.lineID(f) {
				s.exec(`DELETE FROM partner_queue WHERE line_id = $1`, s.lineID(g)) // only the one goes on
			}
		}
		s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
		s.exec(`UPDATE partner_gates SET failing = '{}'`)
	}
	require.Equal(t, []string{"Unavailable"}, mailed(), "once")
	require.Empty(t, mailed())
	require.NotContains(t, s.mutedLines(), s.lineID(f))
}

// mutedLines are those whose alert was not mailed because that of their partner stands for it.
func (s *shop) mutedLines() []string {
	s.t.Helper()
	return reads[string](s, `SELECT line_id FROM alerts WHERE line_id IS NOT NULL AND mailed_at = opened_at`)
}

// New credentials may be what a partner was missing: the next probe does not wait.
func TestAChangedIntegrationIsProbedAtOnce(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.down()
	require.NotNil(t, s.partner().NextTryAt)
	_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{ID: "acme", BaseURL: "https://new.partner.test"})
	require.NoError(t, err)
	require.Len(t, s.dispatched(), 1)
}

// What was decided meanwhile is not dispatched, and makes way.
func TestDecidedLinesLeaveTheQueue(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.down()
	fs := s.sellMany(2)
	for _, f := range fs {
		s.parked(f)
	}
	s.resolve(fs[0], keyturn.ActionRefund)
	s.resolve(fs[1], keyturn.ActionHold)
	require.Equal(t, 2, read[int](s, `SELECT count(*) FROM partner_queue`),
		"the held one, and the one whose failure opened the breaker")
	s.exec(`DELETE FROM partner_gates`)
	s.dispatched()
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM partner_queue`))
}

// A frozen process may come back with its answer while another attempt of the same call sleeps until the partner is
// back: that one is woken, so that the workflow hears of it.
func TestALineThatIsAnsweredWhileItSleepsIsWoken(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	first := s.beginCall(f)
	s.later(2 * callTime)
	s.down()
	s.parked(f)
	s.finishCall(f, answered(first, "KEY-1"))
	s.delivered(f)
	s.exec(`DELETE FROM partner_gates`)
	require.Contains(t, s.dispatched(), f)
	require.NotContains(t, s.dispatched(), f, "once")
}

// A process may also freeze before its call, and make it when it wakes up, while another run sleeps until the partner
// is back: that one hears of the answer, or of none, and a run that was dispatched is not woken.
func TestACallOfAFrozenProcessWakesWhoSleeps(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.down()
	fs := s.sellMany(3)
	for _, f := range fs {
		s.parked(f)
	}
	s.exec(`DELETE FROM partner_gates`)
	woken := func() (fs []string) {
		due, err := s.TakeDue(s.ctx, 100)
		require.NoError(t, err)
		for _, d := range due {
			fs = append(fs, d.Start.FulfillmentID)
		}
		return fs
	}
	woken() // those whose failures opened the breaker
	s.finishCall(fs[0], answered(s.beginCall(fs[0]), "KEY-1"))
	require.Equal(t, fs[:1], woken())
	s.beginCall(fs[1]) // its process dies
	require.Empty(t, woken())
	s.later(2 * callTime)
	require.Contains(t, woken(), fs[1])
	for !slices.Contains(s.dispatched(), fs[2]) {
		s.later(redispatchAfter)
	}
	s.finishCall(fs[2], answered(s.beginCall(fs[2]), "KEY-3"))
	s.later(relayLease)
	require.NotContains(t, woken(), fs[2])
}

// A line whose call is under way, and which somebody wakes meanwhile, is not put to sleep until its deadline: its
// workflow would not hear that the call has failed.
func TestALineThatIsWokenDuringItsCallLooksAgainSoon(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.down()
	s.parked(f)
	next, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Greater(t, time.Duration(next.Wait), time.Minute)
	s.exec(`DELETE FROM partner_gates`)
	call := s.beginCall(f)
	next, err = s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoCall, next.Do)
	require.LessOrEqual(t, time.Duration(next.Wait), 2*callTime)
	s.finishCall(f, answered(call, "KEY-1"))
	s.delivered(f)
}

// Operations hear of a certificate that expires soon once, and it is over when there is another.
func TestExpiringCertificatesAreAlerted(t *testing.T) {
	s := newShop(t)
	open := func() int {
		return read[int](s, `SELECT count(*) FROM alerts WHERE cause = 'CertificateExpiring' AND subject = 'endpoint/acme'
			AND closed_at IS NULL`)
	}
	for range 2 {
		require.NoError(t, s.WatchCertificates(s.ctx, map[string]string{"acme": "its certificate expires"}))
		require.Equal(t, 1, open())
	}
	require.NoError(t, s.WatchCertificates(s.ctx, nil))
	require.Zero(t, open())
}
