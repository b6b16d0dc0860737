package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func (s *shop) figures() map[string]float64 {
	found, err := s.Figures(s.ctx)
	require.NoError(s.t, err)
	out := map[string]float64{}
	for _, f := range found {
		name := f.Name
		for _, label := range []string{f.A, f.B} {
			if label != "" {
				name += " " + label
			}
		}
		out[name] = f.Value
	}
	return out
}

func TestFiguresSayWhatIsUnfinished(t *testing.T) {
	s := newShop(t)
	got := s.figures()
	require.Zero(t, got["lines_in_trouble RETRYING"])
	require.NotContains(t, got, "audit_ok", "nothing was audited yet")

	s.product("app", fromEndpoint("acme"))
	s.product("game", fromPool("p"))
	s.stock("p", "K1", "K2")
	game := s.sell("game")
	s.claimed(game)
	s.delivered(game)
	f := s.sell("app")
	s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	s.beginCall(s.sell("app"))
	s.later(time.Minute)
	_, err := s.SaveAudit(s.ctx, Audit{
		StartedAt: time.Now().Add(-2 * time.Second), FinishedAt: time.Now(),
		Report: `{"violations": 3}`,
	}, AuditFindings{Text: "B1"})
	require.NoError(t, err)

	got = s.figures()
	require.InDelta(t, 1, got["lines_in_trouble RETRYING"], 0)
	require.Greater(t, got["oldest_trouble_seconds"], 59.0)
	require.InDelta(t, 1, got["calls_running endpoint/acme"], 0)
	require.InDelta(t, 1, got["alerts_open Unavailable warning"], 0)
	require.InDelta(t, 1, got["alerts_open Audit critical"], 0)
	require.InDelta(t, 1, got["pool_keys p available"], 0)
	require.InDelta(t, 1, got["pool_keys p delivered"], 0)
	require.Zero(t, got["refunds_pending"])
	require.NotContains(t, got, "capture_due_seconds", "nothing is authorized")
	require.Zero(t, got["audit_ok"])
	require.InDelta(t, 3, got["audit_violations"], 0)
	require.InDelta(t, 2, got["audit_seconds"], 0.5)
}

// An alert of an audit is opened once for what was found, and closed by one that had as much evidence and found
// nothing.
func TestAuditAlertsOncePerFindings(t *testing.T) {
	s := newShop(t)
	save := func(text string, evidence ...string) {
		now := time.Now()
		_, err := s.SaveAudit(s.ctx, Audit{StartedAt: now, FinishedAt: now, OK: text == "", Report: "{}"},
			AuditFindings{Text: text, Evidence: evidence})
		require.NoError(t, err)
	}
	open := func() []string {
		return reads[string](s,
			`SELECT CAST(detail AS json) ->> 'happened' FROM alerts WHERE cause = 'Audit' AND closed_at IS NULL`)
	}
	save("")
	require.Empty(t, open())
	save("A5", "Temporal")
	save("A5", "Temporal")
	require.Equal(t, []string{"A5"}, open())
	save("")
	require.Equal(t, []string{"A5"}, open(), "an audit without Temporal did not look")
	save("A5, B1", "Temporal")
	require.Equal(t, []string{"A5, B1"}, open(), "another finding is another alert")
	require.Equal(t, 2, s.alerts("cause = 'Audit'"))
	save("", "Temporal", "mailbox")
	require.Empty(t, open())
}

func TestWhatWasKeptLongEnoughIsRemoved(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, answered(s.beginCall(f), "KEY"))
	open := s.sell("app")
	s.finishCall(open, refused(s.beginCall(open), keyturn.KindUnavailable))
	s.delivered(f)
	_, err := s.Deliverables(s.ctx, f, "ana")
	require.NoError(t, err)
	for range 2 {
		_, err = s.SaveAudit(s.ctx, Audit{StartedAt: time.Now(), FinishedAt: time.Now(), Report: "{}"}, AuditFindings{})
		require.NoError(t, err)
	}
	got, err := s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Zero(t, got, "nothing is old")

	got, err = s.Tidy(s.ctx, Retention{})
	require.NoError(t, err)
	require.Equal(t, Tidied{Audits: 1, Accesses: 1, Requests: 1, Replies: 1, Emails: 1}, got,
		"the newest audit stays, and the open line's traffic")
	require.Equal(t, []string{s.lineID(open)}, reads[string](s, `SELECT line_id FROM partner_requests`))
	require.Equal(t, []string{"KEY"}, s.keysOf(f))
	got, err = s.Tidy(s.ctx, Retention{})
	require.NoError(t, err)
	require.Zero(t, got)
}

// Of e-mails that went out long ago, only the text goes. One that is still owed stays, however old; whoever asks for
// one again gets it.
func TestOldEmailsAreRemoved(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 4)...)
	sold, owed, again, gone := s.sell("game"), s.sell("game"), s.sell("game"), s.sell("game")
	for _, f := range []string{sold, owed, again, gone} {
		_, err := s.Claim(s.ctx, f, renderMail)
		require.NoError(t, err)
	}
	s.delivered(sold)
	s.delivered(again)
	_, err := s.Resend(s.ctx, again, "", "ops", renderMail) // is still to go out
	require.NoError(t, err)
	s.resolve(gone, keyturn.ActionRefund)
	s.refunded(gone)
	kept := func() []string {
		return reads[string](s, `SELECT l.fulfillment_id || ' ' || y.number FROM deliveries y JOIN line_items l
			ON l.id = y.line_id WHERE y.message <> '' AND y.kind = 'keys' ORDER BY l.created_at, y.number`)
	}
	require.Equal(t, []string{sold + " 1", owed + " 1", again + " 1", again + " 2", gone + " 1"}, kept())
	got, err := s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Zero(t, got, "nothing is old")
	s.exec(`UPDATE deliveries SET created_at = created_at - interval '500 d', sent_at = sent_at - interval '500 d'`)
	got, err = s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.Zero(t, got, "their lines were decided lately")
	s.exec(`UPDATE line_items SET delivered_at = delivered_at - interval '500 d',
		canceled_at = canceled_at - interval '500 d'`)
	got, err = s.Tidy(s.ctx, DefaultRetention)
	require.NoError(t, err)
	require.EqualValues(t, 3, got.Emails)
	require.Equal(t, []string{owed + " 1", again + " 2"}, kept())

	_, err = s.Resend(s.ctx, sold, "", "ops", renderMail)
	require.NoError(t, err)
	require.Equal(t, []string{sold + " 2", owed + " 1", again + " 2"}, kept(), "rendered anew")
	v, err := s.Fulfillment(s.ctx, sold)
	require.NoError(t, err)
	require.Len(t, v.Deliveries, 2)
}

func TestFiguresOfCheckoutLinks(t *testing.T) {
	s := newShop(t)
	pays := s.payingCustomers(3)
	s.link(linkOf("open", "game"))
	s.processorSays(pays[0], s.authorized(pays[0], 1000))
	s.processorSays(pays[1], keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	got := s.figures()
	require.InDelta(t, 2, got["links OPEN"], 0)
	require.InDelta(t, 1, got["links PAYING"], 0)
	require.InDelta(t, 1, got["payments OPEN"], 0)
	require.InDelta(t, 1, got["payments AUTHORIZED"], 0)
	require.Zero(t, got["payments MISMATCH"])
	require.NotContains(t, got, "payments EXPIRED", "what has ended is not counted")
	require.InDelta(t, (7*24-12)*3600, got["capture_due_seconds"], 60)
}
