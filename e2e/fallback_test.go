package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/workflows"
)

// The partner makes a key and does not say so in time. The next source delivers, and the partner is told to cancel what
// it made, under the same ID; its late answer reaches nobody.
func TestFallbackTakesBackWhatTheAbandonedPartnerMade(t *testing.T) {
	t.Parallel()
	for _, drill := range []string{"timeout-after-issuing", "slow:1500ms"} {
		t.Run(drill, func(t *testing.T) {
			s := start(t, options{})
			s.drill("acme", drill)
			s.integration(keyturn.Integration{ID: "acme", Limits: keyturn.Limits{Timeout: keyturn.Duration(time.Second)}})
			acme := fromEndpoint("acme")
			acme.GiveUpAfter = keyturn.Duration(500 * time.Millisecond)
			s.product(keyturn.Product{ID: "cad", Sources: sources(acme, fromPool("spare"))}, "SPARE-1")
			a := s.order("cad")
			f := fulfillment(a)
			s.await(a, keyturn.OrderCompleted)
			s.atRest(a)

			require.Equal(t, "PENDING RETRYING DELIVERED", s.path(f))
			cancels := s.calls("acme", "cancel")
			require.Len(t, cancels, 1)
			require.Equal(t, f, cancels[0].FulfillmentID)
			made := s.partner.Issued()
			require.Len(t, made, 1)
			require.Equal(t, emulator.StatusCanceled, made[0].Status)
			creates := s.calls("acme", "create")
			require.True(t, cancels[0].Time.After(creates[len(creates)-1].Time.Add(time.Second)),
				"no create may reach the partner after its cancel")
			letters := s.letters(buyer)
			require.Len(t, letters, 1)
			require.Contains(t, letters[0].Text, "SPARE-1")
			require.NotContains(t, letters[0].Text, made[0].Keys[0])
			require.Equal(t, []string{"Unavailable closed"}, s.alerts(f))
			s.record(workflows.LineWorkflowID(f), "fallback")
			s.record(workflows.RevokeWorkflowID(f+"/endpoint/acme"), "revoke")
		})
	}
}

// A partner that does not acknowledge the cancel is told again, and operations hear of it.
func TestCancelIsRepeatedUntilThePartnerAcknowledges(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme",
		emulator.Settings{Drill: "fail-1-then-ok", DrillOps: []string{"cancel"}}))
	acme := fromEndpoint("acme")
	acme.GiveUpAfter = keyturn.Duration(100 * time.Millisecond)
	s.product(keyturn.Product{
		ID: "cad", PublisherProductID: "drill:always-500",
		Sources: sources(acme, fromPool("spare")),
	}, "SPARE-1")
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	cancels := s.calls("acme", "cancel")
	require.Len(t, cancels, 2)
	require.Equal(t, cancels[0].BodySHA256, cancels[1].BodySHA256)
	require.Contains(t, s.alerts(fulfillment(a)), "Revocation closed")
}

func noRender(db.CallFacts) ([]byte, error)     { return []byte("{}"), nil }
func aSecond(keyturn.Integration) time.Duration { return time.Second }
func success(call *db.Call, key keyturn.Secret) db.CallResult {
	return db.CallResult{
		Attempt: call.Attempt, UnitNo: call.UnitNo, Sent: true, HTTPStatus: 200,
		Codes: []keyturn.Secret{key},
	}
}

// frozen begins a call as a worker does that freezes right after, and lets its time pass.
func (s *stack) frozen(f string) *db.Call {
	s.t.Helper()
	call, _, _, err := s.db.BeginCall(context.Background(), f, aSecond, noRender)
	require.NoError(s.t, err)
	s.exec(`UPDATE attempts SET deadline_at = now() - interval '1 second' WHERE outcome = 'running'`)
	return call
}

// A worker freezes in the middle of a call and wakes up when another one has done the work: the key is the customer's,
// so nothing is taken back at the partner.
func TestSecondAnswerOfTheDeliveringPartnerTakesNothingBack(t *testing.T) {
	s := start(t, options{noWorker: true, noRelay: true})
	ctx := context.Background()
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	f := fulfillment(s.order("cad"))
	first := s.frozen(f)
	second, _, _, err := s.db.BeginCall(ctx, f, aSecond, noRender)
	require.NoError(t, err)
	next, err := s.db.FinishCall(ctx, f, success(second, "KEY-1"), nil)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	_, err = s.db.FinishCall(ctx, f, success(first, "KEY-1"), nil)
	require.NoError(t, err)
	require.Zero(t, s.count(`SELECT count(*) FROM revocations`))
	require.Equal(t, 1, s.count(`SELECT count(*) FROM deliverables`))
	s.audit()
}

// The same, but the line went on to another source meanwhile: what the partner made must be taken back, once.
func TestLateAnswerOfAnAbandonedPartnerIsTakenBack(t *testing.T) {
	s := start(t, options{noWorker: true, noRelay: true})
	ctx := context.Background()
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"), fromPool("spare"))}, "SPARE-1")
	f := fulfillment(s.order("cad"))
	first := s.frozen(f)
	second, _, _, err := s.db.BeginCall(ctx, f, aSecond, noRender)
	require.NoError(t, err)
	refusal := db.CallResult{
		Attempt: second.Attempt, Sent: true, HTTPStatus: 410,
		Failed: &db.StepFailure{Permanent: true, Failure: keyturn.Failure{Kind: keyturn.KindRejected, Message: "no"}},
	}
	next, err := s.db.FinishCall(ctx, f, refusal, nil)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoClaim, next.Do)
	_, err = s.db.FinishCall(ctx, f, success(first, "LATE-1"), nil)
	require.NoError(t, err)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM revocations WHERE status = 'OWED'`))
	require.Equal(t, 1, s.count(`SELECT count(*) FROM attempts WHERE outcome = 'late'`))
	require.Zero(t, s.count(`SELECT count(*) FROM deliverables`))
	next, err = s.db.Claim(ctx, f, nil)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	s.audit()
}
