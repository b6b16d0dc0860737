package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

var errDown = keyturn.Errorf(keyturn.KindUnavailable, "down")

// A worker that freezes and wakes up late changes nothing that others have ended, or do at this moment: its failure is
// not theirs.

func TestALateFailureOfARefund(t *testing.T) {
	s := newShop(t)
	f := s.canceling()
	frozen, _, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	_, _, err = s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	state := func() string {
		return read[string](s, `SELECT CAST(l AS text) || CAST(r AS text) FROM line_items l JOIN refunds r ON r.line_id = l.id
			WHERE l.fulfillment_id = $1`, f)
	}
	under := state()
	require.NoError(t, s.FailRefund(s.ctx, f, frozen, keyturn.Errorf(keyturn.KindRejected, "no"), time.Hour))
	require.Equal(t, under, state(), "another try is under way")
	s.refunded(f)
	done := state()
	require.NoError(t, s.FailRefund(s.ctx, f, frozen, keyturn.Errorf(keyturn.KindRejected, "no"), time.Hour))
	require.Equal(t, done, state())
	require.Zero(t, s.alerts("cause = 'Refund'"))
}

func TestALateFailureOfAResentEmail(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	s.delivered(f)
	id, err := s.Resend(s.ctx, f, "", "ops", renderMail)
	require.NoError(t, err)
	frozen, _, err := s.BeginSend(s.ctx, id)
	require.NoError(t, err)
	s.later(sendLease)
	other, _, err := s.BeginSend(s.ctx, id)
	require.NoError(t, err)
	require.NoError(t, s.FinishSend(s.ctx, frozen, errDown))
	require.Equal(t, "SENDING", read[string](s, `SELECT status FROM deliveries WHERE id = $1`, id))
	require.NoError(t, s.FinishSend(s.ctx, other, nil))
	require.NoError(t, s.FinishSend(s.ctx, frozen, errDown))
	require.Equal(t, "SENT", read[string](s, `SELECT status FROM deliveries WHERE id = $1`, id))
	require.Zero(t, s.alerts("cause = 'Undelivered'"))
}

// The first e-mail of a line is sent again, and the frozen worker of its first try fails.
func TestALateFailureOfADeliveredEmail(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	frozen := s.beginDelivery(f)
	s.later(sendLease)
	other := s.beginDelivery(f)
	_, err := s.Resend(s.ctx, f, "", "ops", renderMail)
	wantKind(t, err, keyturn.KindConflict)
	_, err = s.FinishDelivery(s.ctx, f, other, nil, false)
	require.NoError(t, err)
	second, err := s.Resend(s.ctx, f, "", "ops", renderMail)
	require.NoError(t, err)
	s.exec(`UPDATE deliveries SET status = 'SENDING', attempts = 3, lease_until = now() + interval '1 minute' WHERE id = $1`,
		frozen.ID) // by one more
	_, err = s.FinishDelivery(s.ctx, f, frozen, &StepFailure{Failure: keyturn.Failure{Kind: keyturn.KindUnavailable}},
		false)
	require.NoError(t, err)
	require.Equal(t, "SENDING", read[string](s, `SELECT status FROM deliveries WHERE id = $1`, frozen.ID))
	s.exec(`UPDATE deliveries SET status = 'SENT', exposed = true, sent_at = now() WHERE id IN ($1, $2)`, frozen.ID,
		second)
}

func TestALateFailureOfARevocation(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, answered(s.beginCall(f), "A"))
	s.resolve(f, keyturn.ActionRefund)
	frozen := s.beginRevocation(f, "endpoint/acme")
	s.revoked(f, "endpoint/acme")
	s.later(keyturn.DefaultGiveUp + revokeFor + time.Hour) // a failure now would end it as impossible
	done, err := s.FinishRevocation(s.ctx, f, "endpoint/acme", refused(frozen, keyturn.KindRejected))
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, "DONE", read[string](s, `SELECT status FROM revocations`))
	require.Zero(t, s.alerts("cause = 'Revocation'"))
	s.refunded(f)
}

func TestALateFailureOfACall(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	frozen := s.beginCall(f)
	s.later(callTime)
	other := s.beginCall(f)
	before := read[string](s, `SELECT CAST(l AS text) FROM line_items l`)
	r := refused(frozen, keyturn.KindRejected)
	r.Failed.Permanent = true
	s.finishCall(f, r)
	require.Equal(t, before, read[string](s, `SELECT CAST(l AS text) FROM line_items l`))
	require.Zero(t, s.alerts("true"))
	s.finishCall(f, answered(other, "KEY"))
	s.delivered(f)
}

// What was answered is over: the cancel goes at once.
func TestACancelDoesNotWaitForAnAnsweredCall(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.order("o1", lineOf("app", 1))[0]
	s.finishCall(f, answered(s.beginCall(f), "A"))
	s.delivered(f)
	require.NoError(t, s.CancelOrder(s.ctx, "o1", "the shop"))
	_, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	s.exec(`DELETE FROM outbox WHERE workflow = 'order'`)
	due, err := s.TakeDue(s.ctx, 10)
	require.NoError(t, err)
	names := []string{}
	for _, d := range due {
		names = append(names, d.Workflow)
	}
	require.ElementsMatch(t, []string{WorkflowRevoke, WorkflowCancel}, names)
	s.revoked(f, "endpoint/acme")
	s.refunded(f)
}
