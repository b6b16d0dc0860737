package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// asks puts the product app with a partner that can be asked into the catalog.
func (s *shop) asks() {
	s.t.Helper()
	s.product("app", fromEndpoint("acme"))
	_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test",
		Operations: map[string]keyturn.Operation{
			"lookup": {
				URLComplement: "/licenses/{{.LicenseID}}",
				ResponsePaths: map[string]keyturn.ResponsePath{"activationCode": {Path: "$.key"}},
			},
		},
	})
	require.NoError(s.t, err)
}

// After an answer that was lost the partner is asked, until it says something; only what it has not issued is created
// again.
func TestLookUpBeforeACreateIsRepeated(t *testing.T) {
	s := newShop(t)
	s.asks()
	f := s.sell("app")
	call := s.beginCall(f)
	require.Equal(t, keyturn.OpCreate, call.Operation, "nothing is unknown yet")
	create := string(call.Request)
	s.finishCall(f, refused(call, keyturn.KindRejected))
	call = s.beginCall(f)
	require.Equal(t, keyturn.OpCreate, call.Operation, "a refusal says that nothing was issued")
	s.finishCall(f, refused(call, keyturn.KindUnavailable))

	call = s.beginCall(f)
	require.Equal(t, keyturn.OpLookUp, call.Operation)
	require.Equal(t, f, call.LicenseID)
	s.finishCall(f, refused(call, keyturn.KindUnavailable))
	call = s.beginCall(f)
	require.Equal(t, keyturn.OpLookUp, call.Operation, "it has not answered")
	not := answered(call)
	not.NotIssued = true
	next := s.finishCall(f, not)
	require.Equal(t, keyturn.DoCall, next.Do)
	require.Zero(t, next.Wait, "the create follows at once")

	call = s.beginCall(f)
	require.Equal(t, keyturn.OpCreate, call.Operation)
	require.Equal(t, create, string(call.Request))
	s.finishCall(f, refused(call, keyturn.KindUnavailable))
	call = s.beginCall(f)
	require.Equal(t, keyturn.OpLookUp, call.Operation, "now this one is unknown")
	next = s.finishCall(f, answered(call, "KEY"))
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.Equal(t, []string{"KEY"}, s.keysOf(f))
}

// A process that died may have called: the partner is asked then, too.
func TestLookUpAfterACallThatNobodyFinished(t *testing.T) {
	s := newShop(t)
	s.asks()
	f := s.sell("app")
	s.beginCall(f)
	s.later(callTime)
	require.Equal(t, keyturn.OpLookUp, s.beginCall(f).Operation)
}

// A partner that answers two attempts of one fulfillment with different keys: the first stays, and somebody hears of
// it.
func TestDifferentAnswersAreAnIncident(t *testing.T) {
	for name, c := range map[string]struct {
		quantity int
		second   string
		alerts   int
	}{
		"the same key again":            {1, "KEY-1", 0},
		"another key":                   {1, "KEY-2", 1},
		"another key, more units to go": {2, "KEY-2", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.product("app", fromEndpoint("acme"))
			f := s.order("o-1", lineOf("app", c.quantity))[0]
			frozen := s.beginCall(f)
			s.later(callTime)
			second := s.beginCall(f)
			s.finishCall(f, answered(frozen, "KEY-1"))
			s.finishCall(f, answered(second, c.second))
			require.Equal(t, []string{"KEY-1"}, s.keysOf(f))
			require.Equal(t, c.alerts, read[int](s,
				`SELECT count(*) FROM alerts WHERE cause = 'PartnerAnsweredDifferently' AND closed_at IS NULL`))
			require.Zero(t, read[int](s, `SELECT count(*) FROM revocations`), "what was delivered is not taken back")
			if c.quantity == 1 {
				s.delivered(f)
				require.Equal(t, c.alerts, read[int](s,
					`SELECT count(*) FROM alerts WHERE cause = 'PartnerAnsweredDifferently' AND closed_at IS NULL`),
					"it is not over with the line")
			}
		})
	}
}
