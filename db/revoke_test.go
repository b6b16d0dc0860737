package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func (s *shop) beginRevocation(f, source string) *Call {
	s.t.Helper()
	call, err := s.BeginRevocation(s.ctx, f, source, callTimeout, renderCall)
	require.NoError(s.t, err)
	require.NotNil(s.t, call)
	return call
}

// revoked tells a partner to cancel all it may have issued and has it acknowledge.
func (s *shop) revoked(f, source string) (licenses []string) {
	s.t.Helper()
	for {
		call := s.beginRevocation(f, source)
		licenses = append(licenses, call.LicenseID)
		done, err := s.FinishRevocation(s.ctx, f, source, answered(call))
		require.NoError(s.t, err)
		if done {
			return licenses
		}
	}
}

func TestGivenUpLineOwesItsPartnerACancel(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.order("o1", lineOf("app", 2))[0]
	first := s.beginCall(f)
	s.finishCall(f, answered(first, "A"))
	second := s.beginCall(f)
	s.finishCall(f, refused(second, keyturn.KindUnavailable)) // it may have issued the second
	s.resolve(f, keyturn.ActionRefund)

	due, err := s.TakeDue(s.ctx, 10)
	require.NoError(t, err)
	require.Empty(t, due, "not before the last call is certainly over: no create may reach the partner after its cancel")
	s.later(callTime)
	due, err = s.TakeDue(s.ctx, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, WorkflowRevoke, due[0].Workflow)
	require.Equal(t, f+"/endpoint/acme", due[0].Subject)

	require.Equal(t, []string{first.LicenseID, second.LicenseID}, s.revoked(f, "endpoint/acme"))
	require.Equal(t, "DONE", read[string](s, `SELECT status FROM revocations`))
	call, err := s.BeginRevocation(s.ctx, f, "endpoint/acme", callTimeout, renderCall)
	require.NoError(t, err)
	require.Nil(t, call, "nothing is owed any more")
	s.refunded(f)
}

// Nothing is owed for a call that never left.
func TestNothingIsOwedForUnsentCalls(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	r := refused(s.beginCall(f), keyturn.KindUnavailable)
	r.Sent, r.Unknown = false, false
	s.finishCall(f, r)
	s.resolve(f, keyturn.ActionRefund)
	require.Zero(t, read[int](s, `SELECT count(*) FROM revocations`))
}

func TestRevocationIsTriedAgainAndAlerts(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, answered(s.beginCall(f), "A"))
	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
	var first string
	for i := range 3 {
		call := s.beginRevocation(f, "endpoint/acme")
		require.Equal(t, keyturn.OpCancel, call.Operation)
		require.Equal(t, f, call.LicenseID, "the fulfillmentId of the create")
		if i == 0 {
			first = string(call.Request)
		}
		require.Equal(t, first, string(call.Request))
		done, err := s.FinishRevocation(s.ctx, f, "endpoint/acme", refused(call, keyturn.KindUnavailable))
		require.NoError(t, err)
		require.False(t, done)
	}
	require.Equal(t, 1, s.alerts("cause = 'Revocation' AND closed_at IS NULL"))
	s.revoked(f, "endpoint/acme")
	require.Zero(t, s.alerts("cause = 'Revocation' AND closed_at IS NULL"))
}

// Two workers revoke at once: both units are cancelled all the same.
func TestConcurrentRevocations(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.order("o1", lineOf("app", 2))[0]
	a := s.beginCall(f)
	s.finishCall(f, answered(a, "A"))
	b := s.beginCall(f)
	s.finishCall(f, answered(b, "B"))
	s.resolve(f, keyturn.ActionRefund)
	one, two := s.beginRevocation(f, "endpoint/acme"), s.beginRevocation(f, "endpoint/acme")
	require.Equal(t, one.LicenseID, two.LicenseID)
	for _, call := range []*Call{one, two} {
		done, err := s.FinishRevocation(s.ctx, f, "endpoint/acme", answered(call))
		require.NoError(t, err)
		require.False(t, done)
	}
	require.Equal(t, []string{b.LicenseID}, s.revoked(f, "endpoint/acme"))
}

func TestRevocationEndsAfterAWeek(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, answered(s.beginCall(f), "A"))
	s.resolve(f, keyturn.ActionRefund)
	s.later(keyturn.DefaultGiveUp + revokeFor + time.Hour)
	done, err := s.FinishRevocation(s.ctx, f, "endpoint/acme",
		refused(s.beginRevocation(f, "endpoint/acme"), keyturn.KindUnavailable))
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, "IMPOSSIBLE", read[string](s, `SELECT status FROM revocations`))
	require.Equal(t, 1, s.alerts("cause = 'Revocation' AND closed_at IS NULL"), "a person has to see it")
}

// A dynamic URL has no way to be told: operations are.
func TestRevocationOfADynamicURLIsImpossible(t *testing.T) {
	s := newShop(t)
	s.product("app", keyturn.Source{Type: keyturn.SourceDynamicURL, URL: "https://partner.test/key"})
	f := s.sell("app")
	s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	s.resolve(f, keyturn.ActionRefund)
	call, err := s.BeginRevocation(s.ctx, f, "dynamicurl", callTimeout, renderCall)
	require.NoError(t, err)
	require.Nil(t, call)
	require.Equal(t, "IMPOSSIBLE", read[string](s, `SELECT status FROM revocations`))
	require.Equal(t, 1, s.alerts("cause = 'Revocation' AND closed_at IS NULL"))
}

// The merchant changes a product's sources while its lines are on their way. What the old source may have issued is
// owed back all the same, and its partner is told as long as its integration is in the catalog.
func TestSourcesThatWereTakenAwayAreOwedTheirCancel(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	s.product("app", fromEndpoint("other"))
	require.Equal(t, "endpoint/other", s.beginCall(f).Source.Name())
	s.resolve(f, keyturn.ActionRefund)
	require.Equal(t, []string{"endpoint/acme", "endpoint/other"},
		reads[string](s, `SELECT source FROM revocations ORDER BY source`))

	wantKind(t, s.DeleteIntegration(s.ctx, "acme"), keyturn.KindConflict)
	require.Equal(t, []string{f}, s.revoked(f, "endpoint/acme"))
	require.NoError(t, s.DeleteIntegration(s.ctx, "acme"))
}

// Somebody is told if nobody can be told any more.
func TestRevocationAtAnIntegrationThatIsGone(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	s.product("app", fromEndpoint("other"))
	s.resolve(f, keyturn.ActionRefund)
	s.exec(`DELETE FROM integrations WHERE id = 'acme'`)
	call, err := s.BeginRevocation(s.ctx, f, "endpoint/acme", callTimeout, renderCall)
	require.NoError(t, err)
	require.Nil(t, call)
	require.Equal(t, "IMPOSSIBLE", read[string](s, `SELECT status FROM revocations WHERE source = 'endpoint/acme'`))
	require.Equal(t, 1, s.alerts("cause = 'Revocation' AND closed_at IS NULL"))
}

// A revocation that is done is not owed again when the line goes further down.
func TestDoneRevocationStaysDone(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"), fromEndpoint("backup"))
	f := s.sell("app")
	r := refused(s.beginCall(f), keyturn.KindUnavailable)
	r.Failed.Permanent = true
	s.finishCall(f, r)
	s.revoked(f, "endpoint/acme")
	s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	s.resolve(f, keyturn.ActionRefund)
	require.Equal(t, []string{"DONE", "OWED"}, reads[string](s, `SELECT status FROM revocations ORDER BY source`))
}

// A cancel at the old partner does not keep the new one waiting.
func TestRunningRevocationDoesNotBlockTheNextSource(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"), fromEndpoint("backup"))
	f := s.sell("app")
	r := refused(s.beginCall(f), keyturn.KindUnavailable)
	r.Failed.Permanent = true
	s.finishCall(f, r)
	s.beginRevocation(f, "endpoint/acme")
	require.Equal(t, "endpoint/backup", s.beginCall(f).Source.Name())
}

// A cancel whose process died is not under way for ever: the next attempt takes its place.
func TestCancelWhoseProcessDiedIsBookedAsUnknown(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	s.resolve(f, keyturn.ActionRefund)
	s.later(callTime)
	s.beginRevocation(f, "endpoint/acme") // and nothing is heard of it
	s.revoked(f, "endpoint/acme")
	require.Equal(t, []string{"unknown", "unknown", "success"}, s.outcomes(f))
}
