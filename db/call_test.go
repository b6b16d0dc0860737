package db

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// outcomes are what became of a line's attempts, in their order.
func (s *shop) outcomes(f string) []string {
	s.t.Helper()
	return reads[string](s, `SELECT outcome FROM attempts WHERE line_id = $1 ORDER BY no`, s.lineID(f))
}

func TestCallIsBookedBeforeItLeaves(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	call := s.beginCall(f)
	require.Equal(t, 1, call.Attempt)
	require.Equal(t, f, call.LicenseID)
	require.Equal(t, keyturn.OpCreate, call.Operation)
	require.Equal(t, "ada@buyer.test", call.Customer.Email)
	require.Equal(t, []string{"running"}, s.outcomes(f))

	next := s.finishCall(f, answered(call, "KEY"))
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.Equal(t, keyturn.LineObtained, next.Status)
	require.Equal(t, []string{"success"}, s.outcomes(f))
	require.Equal(t, rounded(next), rounded(s.finishCall(f, answered(call, "ANOTHER"))), "an attempt is finished once")
	require.Equal(t, []string{"KEY"}, s.keysOf(f))

	none, next, _, err := s.BeginCall(s.ctx, f, callTimeout, renderCall)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, keyturn.DoDeliver, next.Do)
}

// The request is rendered once and sent again byte for byte, whatever changed in the meantime.
func TestEveryTrySendsTheSameBytes(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	call := s.beginCall(f)
	first := string(call.Request)
	for range 3 {
		s.finishCall(f, refused(call, keyturn.KindRejected))
		s.put(keyturn.Product{ID: "app", Name: "Another name " + first[:8], Sources: []keyturn.Source{fromEndpoint("acme")}})
		call = s.beginCall(f)
		require.Equal(t, first, string(call.Request))
	}
	require.Equal(t, 4, call.Attempt)
}

func TestFailedCallPutsTheOrderInTroubleAtOnce(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	next := s.finishCall(f, refused(s.beginCall(f), keyturn.KindRejected))
	require.Equal(t, keyturn.LineRetrying, next.Status)
	require.Equal(t, keyturn.DoCall, next.Do)
	require.Equal(t, keyturn.KindRejected, next.Failure.Kind)
	require.Equal(t, "5s", next.Wait.String(), "the first delay of the default schedule")
	require.Equal(t, keyturn.OrderPartialCompleted, s.orderStatus(f))

	// The policy is data: an edited one reaches lines in flight.
	s.put(keyturn.Product{ID: "app", Sources: []keyturn.Source{fromEndpoint("acme")}, Retry: keyturn.RetryPolicy{
		Schedule: []keyturn.Duration{keyturn.Duration(time.Second), keyturn.Duration(time.Hour)},
	}})
	next = s.finishCall(f, refused(s.beginCall(f), keyturn.KindRejected))
	require.Equal(t, "1h", next.Wait.String())
}

func TestRetryAfterLengthensTheDelay(t *testing.T) {
	s := newShop(t)
	for after, want := range map[time.Duration]time.Duration{
		time.Second: 5 * time.Second, time.Hour: time.Hour,
		365 * 24 * time.Hour: maxRetryAfter,
	} {
		// other partners, because all lines of one wait with it
		s.product("app-"+after.String(), fromEndpoint("acme-"+after.String()))
		f := s.sell("app-" + after.String())
		r := refused(s.beginCall(f), keyturn.KindRateLimited)
		r.Failed.RetryAfter = after
		require.Equal(t, keyturn.Duration(want), s.finishCall(f, r).Wait)
	}
}

// While an attempt is under way nobody else may call; when its time is up, what became of it is unknown.
func TestOneCallAtATime(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	first := s.beginCall(f)
	_, _, wait, err := s.BeginCall(s.ctx, f, callTimeout, renderCall)
	wantKind(t, err, keyturn.KindConflict)
	require.Greater(t, wait, callTime-5*time.Second)
	require.LessOrEqual(t, wait, callTime)

	s.later(callTime)
	second := s.beginCall(f)
	require.Equal(t, first.Request, second.Request)
	require.Equal(t, []string{"unknown", "running"}, s.outcomes(f))
}

// A request that no retry can make is refunded at once; one that a corrected catalog makes waits for that.
func TestARequestThatCannotBeMade(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	for permanent, want := range map[bool]keyturn.LineStatus{true: keyturn.LineCanceling, false: keyturn.LineRetrying} {
		f := s.sell("app")
		call, next, _, err := s.BeginCall(s.ctx, f, callTimeout, func(CallFacts) ([]byte, error) {
			return nil, &keyturn.Error{
				Kind: keyturn.KindConfiguration, Message: "the signing secret is missing",
				Permanent: permanent,
			}
		})
		require.NoError(t, err)
		require.Nil(t, call)
		require.Equal(t, want, next.Status)
		require.Equal(t, keyturn.KindConfiguration, next.Failure.Kind)
	}
}

func TestConcurrentCallsOfOneLine(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	good := 0
	for _, err := range atOnce(8, func(int) error {
		_, _, _, err := s.BeginCall(s.ctx, f, callTimeout, renderCall)
		return err
	}) {
		if err == nil {
			good++
		} else {
			wantKind(t, err, keyturn.KindConflict)
		}
	}
	require.Equal(t, 1, good)
	require.Equal(t, []string{"running"}, s.outcomes(f))
}

// The answer of an attempt that was given up as unknown still counts while the line wants it. The other try's answer is
// then the same key again: it must not be taken back, because the customer has it.
func TestLateAnswerOfTheSameSourceIsDelivered(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	for _, lateFirst := range []bool{true, false} {
		f := s.sell("app")
		first := s.beginCall(f)
		s.later(callTime)
		second := s.beginCall(f)
		order := []*Call{first, second}
		if !lateFirst {
			order = []*Call{second, first}
		}
		require.Equal(t, keyturn.DoDeliver, s.finishCall(f, answered(order[0], "KEY-"+f)).Do)
		require.Equal(t, keyturn.DoDeliver, s.finishCall(f, answered(order[1], "KEY-"+f)).Do)
		require.Equal(t, []string{"KEY-" + f}, s.keysOf(f))
		require.Zero(t, read[int](s, `SELECT count(*) FROM revocations`), "late first: %v", lateFirst)
		s.delivered(f)
	}
}

// The answer of a source that the line has left is owed back to the partner.
func TestLateAnswerOfAnAbandonedSourceIsTakenBack(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"), byHand)
	f := s.sell("app")
	call := s.beginCall(f)
	require.NoError(t, s.StageSupply(s.ctx, f, "", []string{"BY-HAND"}))
	s.resolve(f, keyturn.ActionSupply)
	s.finishCall(f, answered(call, "LATE"))
	require.Equal(t, []string{"BY-HAND"}, s.keysOf(f))
	require.Equal(t, []string{"late"}, s.outcomes(f))
	require.Equal(t, []string{"OWED"}, reads[string](s, `SELECT status FROM revocations WHERE line_id = $1`, s.lineID(f)))
	s.delivered(f)
}

func TestLateAnswerAfterTheRefund(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	call := s.beginCall(f)
	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
	s.revoked(f, "endpoint/acme")
	next := s.finishCall(f, answered(call, "LATE"))
	require.Equal(t, keyturn.DoNothing, next.Do)
	require.Empty(t, s.keysOf(f))
	require.Equal(t, []string{"DONE"}, reads[string](s, `SELECT status FROM revocations`),
		"the cancel waited for the call's last moment: it covers this")
}

// A call that never left and comes back after the order was cancelled changes nothing.
func TestUnsentCallAfterTheRefund(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.order("o1", lineOf("app", 1))[0]
	call := s.beginCall(f)
	require.NoError(t, s.CancelOrder(s.ctx, "o1", "the customer asked"))
	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
	r := refused(call, keyturn.KindUnavailable)
	r.Sent, r.Unknown = false, false
	require.Equal(t, keyturn.DoNothing, s.finishCall(f, r).Do)
	require.Equal(t, []string{"failed"}, s.outcomes(f))
}

func TestUnitsAreCalledOneAfterTheOther(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.order("o1", lineOf("app", 3))[0]
	ids := map[string]bool{}
	for i, code := range []string{"A", "B", "C"} {
		call := s.beginCall(f)
		require.Equal(t, i, call.UnitNo)
		require.Equal(t, 1, call.Units)
		ids[call.LicenseID] = true
		if i == 1 { // a failed attempt does not move on
			s.finishCall(f, refused(call, keyturn.KindRejected))
			again := s.beginCall(f)
			require.Equal(t, call.LicenseID, again.LicenseID)
			require.Equal(t, call.Request, again.Request)
			call = again
		}
		next := s.finishCall(f, answered(call, code))
		require.Equal(t, i == 2, next.Do == keyturn.DoDeliver)
	}
	require.Len(t, ids, 3)
	require.Contains(t, ids, f)
	require.Equal(t, []string{"A", "B", "C"}, s.keysOf(f))
}

func TestOneCallBringsAllUnits(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{ID: "app", QuantityMode: keyturn.OneCall, Sources: []keyturn.Source{fromEndpoint("acme")}})
	f := s.order("o1", lineOf("app", 3))[0]
	call := s.beginCall(f)
	require.Equal(t, 3, call.Units)
	require.Equal(t, keyturn.DoDeliver, s.finishCall(f, answered(call, "A", "B", "C")).Do)
	require.Equal(t, []string{"A", "B", "C"}, s.keysOf(f))
}

// An acknowledgement without a code, a link, a file: all of it is a deliverable.
func TestAnswersWithoutACode(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	r := answered(s.beginCall(f))
	r.Links, r.Files = []string{"https://partner.test/d/1"}, []File{{
		Name: "a.lic", ContentType: "application/octet-stream",
		Data: []byte{0, 1, 2},
	}}
	r.Additional = map[string][]string{"seats": {"5"}}
	require.Equal(t, keyturn.DoDeliver, s.finishCall(f, r).Do)
	out, err := s.Deliverables(s.ctx, f, "ops")
	require.NoError(t, err)
	require.Equal(t, Deliverables{Links: r.Links, Files: r.Files, Additional: r.Additional}, out)

	bare := s.sell("app")
	require.Equal(t, keyturn.DoDeliver, s.finishCall(bare, answered(s.beginCall(bare))).Do)
}

func TestPermanentFailureGoesToTheNextSourceAndThenEnds(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"), fromEndpoint("backup"))
	f := s.sell("app")
	r := refused(s.beginCall(f), keyturn.KindRejected)
	r.Failed.Permanent = true
	next := s.finishCall(f, r)
	require.Equal(t, "endpoint/backup", next.Source)
	require.Equal(t, keyturn.LineRetrying, next.Status)
	require.Zero(t, next.Wait, "at once")
	require.Equal(t, []string{"endpoint/acme"}, reads[string](s, `SELECT source FROM revocations`))

	r = refused(s.beginCall(f), keyturn.KindRejected)
	r.Failed.Permanent = true
	next = s.finishCall(f, r)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	require.Equal(t, []string{"RETRYING", "CANCELING"},
		reads[string](s, `SELECT to_status FROM line_log ORDER BY version`))
	require.Equal(t, []string{"endpoint/acme", "endpoint/backup"},
		reads[string](s, `SELECT source FROM revocations ORDER BY source`))
	s.refunded(f)
}

// A request that cannot be made is the line's failure, not the worker's: somebody mends the catalog, and it goes on.
func TestRequestThatCannotBeRendered(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	bad := func(CallFacts) ([]byte, error) {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the template names a field that is not there")
	}
	call, next, _, err := s.BeginCall(s.ctx, f, callTimeout, bad)
	require.NoError(t, err)
	require.Nil(t, call)
	require.Equal(t, keyturn.KindConfiguration, next.Failure.Kind)
	require.Equal(t, keyturn.OrderPartialCompleted, s.orderStatus(f))
	require.Equal(t, keyturn.DoDeliver, s.finishCall(f, answered(s.beginCall(f), "KEY")).Do)
}

// An integration that is gone all the same (a restored backup, a hand in the database) is the line's failure, too.
func TestIntegrationThatIsGone(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.exec(`DELETE FROM integrations`)
	call, next, _, err := s.BeginCall(s.ctx, f, callTimeout, renderCall)
	require.NoError(t, err)
	require.Nil(t, call)
	require.Equal(t, keyturn.KindConfiguration, next.Failure.Kind)
	require.Equal(t, keyturn.LineRetrying, s.status(f))
}

// A person's hold does not lose an answer that is under way.
func TestAnswerToAHeldLine(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	call := s.beginCall(f)
	s.resolve(f, keyturn.ActionHold)
	next := s.finishCall(f, answered(call, "KEY"))
	require.Equal(t, keyturn.LineHeld, next.Status)
	require.Equal(t, keyturn.DoAwait, next.Do)
	require.Equal(t, keyturn.DoDeliver, s.resolve(f, keyturn.ActionRelease).Do)
	s.delivered(f)

	g := s.sell("app")
	call = s.beginCall(g)
	s.resolve(g, keyturn.ActionHold)
	require.Equal(t, keyturn.LineHeld, s.finishCall(g, refused(call, keyturn.KindRejected)).Status)
}

func TestUnknownFulfillmentsAndAttempts(t *testing.T) {
	s := newShop(t)
	const nobody = "3b241101-e2bb-4255-8caf-4136c566a962"
	_, _, unsent := s.BeginSend(s.ctx, nobody)
	for _, err := range []error{
		second(s.Claim(s.ctx, nobody, nil)), second(s.FinishCall(s.ctx, nobody, CallResult{}, nil)),
		second(s.Review(s.ctx, nobody)),
		second(s.Resolve(s.ctx, nobody, keyturn.Resolution{Action: keyturn.ActionRetry})),
		second(s.FinishDelivery(s.ctx, nobody, &Delivery{ID: nobody}, nil, false)),
		second(s.FinishRefund(s.ctx, nobody, "", renderMail)), second(s.Fulfillment(s.ctx, nobody)), unsent,
		s.StageSupply(s.ctx, nobody, "", nil), s.CancelOrder(s.ctx, nobody, ""),
	} {
		wantKind(t, err, keyturn.KindNotFound)
	}
}

func second[T any](_ T, err error) error { return err }

func TestStepsEndWithTheirContext(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	f := s.sell("game")
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.Claim(ctx, f, nil)
	wantKind(t, err, keyturn.KindUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, keyturn.LinePending, s.status(f))
}
