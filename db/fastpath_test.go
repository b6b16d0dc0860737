package db

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A line that goes well is booked by statements that are transactions of their own. That they were used cannot be seen
// in what they did, because the general steps do the same: it shows in the round trips.
func TestRoundTripsOfALineThatGoesWell(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 12)...)
	before := s.RoundTrips()
	trips := func() int64 {
		n := s.RoundTrips() - before
		before += n
		return n
	}
	f := s.sell("game")
	require.EqualValues(t, 2, trips(), "accept: a look and a statement")
	next, err := s.Claim(s.ctx, f, renderMail)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.EqualValues(t, 3, trips(), "claim: a look, the keys, the e-mail")
	out, next, _, err := s.BeginDelivery(s.ctx, f, neverRender)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.EqualValues(t, 1, trips(), "the lease on the e-mail")
	next, err = s.FinishDelivery(s.ctx, f, out, nil, false)
	require.NoError(t, err)
	require.EqualValues(t, 1, trips(), "finish")
	require.Equal(t, s.next(f), rounded(next))
	require.Equal(t, keyturn.OrderCompleted, s.orderStatus(f))
	require.Equal(t, []string{"PENDING>OBTAINED", "OBTAINED>DELIVERED"}, reads[string](s, `
		SELECT from_status || '>' || to_status FROM line_log WHERE line_id = $1 ORDER BY version`, s.lineID(f)))
}

// neverRender is for an e-mail that is stored already.
func neverRender(MailFacts) ([]byte, error) {
	return nil, errors.New("the e-mail was to be stored with the keys")
}

// What an order's workflows start with is what a read of their lines says.
func TestALineStartsAsItIsRead(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 12)...)
	a, _, err := s.Accept(s.ctx, orderOf("a", lineOf("game", 2),
		keyturn.LineItem{ProductID: "game", Quantity: 1, GrossPrice: "7.00", SubscriptionID: "sub", TrialContext: "trial"}))
	require.NoError(t, err)
	for _, start := range a.Starts {
		require.Equal(t, s.next(start.FulfillmentID), rounded(start.Next))
	}
}

// A line of an endpoint, too, and its first call costs one more in a process that has not read the integration yet.
func TestRoundTripsOfAnAnsweredLine(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	for first := range 2 {
		f := s.sell("app")
		before := s.RoundTrips()
		trips := func() int64 {
			n := s.RoundTrips() - before
			before += n
			return n
		}
		call := s.beginCall(f)
		require.EqualValues(t, 3-first, trips(), "begin: a look and a statement")
		require.Equal(t, []string{"running"}, s.outcomes(f))
		before = s.RoundTrips()
		r := answered(call, "KEY-"+f)
		r.Links, r.Files, r.Additional = []string{"https://partner.test/d/1"},
			[]File{{Name: "a.lic", ContentType: "application/octet-stream", Data: []byte{0, 1, 2}}},
			map[string][]string{"seats": {"5"}}
		next, err := s.FinishCall(s.ctx, f, r, renderMail)
		require.NoError(t, err)
		require.Equal(t, keyturn.DoDeliver, next.Do)
		require.EqualValues(t, 1, trips(), "answer")
		require.Equal(t, s.next(f), rounded(next))
		require.Equal(t, []string{"success"}, s.outcomes(f))
		before = s.RoundTrips()
		out, _, _, err := s.BeginDelivery(s.ctx, f, neverRender)
		require.NoError(t, err)
		require.EqualValues(t, 1, trips(), "the lease on the e-mail")
		next, err = s.FinishDelivery(s.ctx, f, out, nil, false)
		require.NoError(t, err)
		require.EqualValues(t, 1, trips(), "finish")
		require.Equal(t, s.next(f), rounded(next))
		have, err := s.Deliverables(s.ctx, f, "ops")
		require.NoError(t, err)
		require.Equal(t, Deliverables{Codes: r.Codes, Links: r.Links, Files: r.Files, Additional: r.Additional}, have)
	}
	require.Equal(t, 2, s.count(`orders WHERE status = 'COMPLETED'`))
}

// A call begins on the fast path only with the integration as it is, and with room at the partner.
func TestFastCallsKeepToTheirPartner(t *testing.T) {
	begin := func(s *shop, f string) (*Call, time.Duration, error) {
		call, _, wait, err := s.BeginCall(s.ctx, f, callTimeout, func(c CallFacts) ([]byte, error) {
			return []byte(c.Integration.BaseURL), nil
		})
		return call, wait, err
	}
	put := func(s *shop, url string) {
		_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{
			ID: "acme", BaseURL: url,
			Limits: keyturn.Limits{MaxConcurrent: 2},
		})
		require.NoError(t, err)
	}
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	put(s, "https://one.test")
	for _, url := range []string{"https://one.test", "https://two.test"} {
		put(s, url) // changed since it was read
		call, _, err := begin(s, s.sell("app"))
		require.NoError(t, err)
		require.Equal(t, url, string(call.Request))
	}
	_, wait, err := begin(s, s.sell("app"))
	wantKind(t, err, keyturn.KindRateLimited)
	require.Positive(t, wait, "two calls are under way")

	// One that is deleted and made again is another one.
	s.exec(`DELETE FROM integrations`)
	put(s, "https://three.test")
	s.exec(`UPDATE attempts SET outcome = 'unknown', started_at = now() - interval '1 hour',
		deadline_at = now() - interval '1 hour'`)
	s.exec(`DELETE FROM partner_queue`)
	call, _, err := begin(s, s.sell("app"))
	require.NoError(t, err)
	require.Equal(t, "https://three.test", string(call.Request))
}

// What happens to a line while its call is under way is seen by the answer.
func TestFastAnswersSeeWhatHappenedMeanwhile(t *testing.T) {
	for name, meanwhile := range map[string]func(s *shop, f string){
		"held":      func(s *shop, f string) { s.resolve(f, keyturn.ActionHold) },
		"cancelled": func(s *shop, f string) { require.NoError(t, s.CancelOrder(s.ctx, "o1", "the buyer asked")) },
		"refunded":  func(s *shop, f string) { s.resolve(f, keyturn.ActionRefund) },
		"tried by another process": func(s *shop, f string) {
			s.later(callTime)
			s.finishCall(f, answered(s.beginCall(f), "KEY"))
		},
		"answered": func(s *shop, f string) {
			r := answered(&Call{Attempt: 1}, "KEY")
			s.finishCall(f, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.product("app", fromEndpoint("acme"))
			f := s.order("o1", lineOf("app", 1))[0]
			call := s.beginCall(f)
			meanwhile(s, f)
			next, err := s.FinishCall(s.ctx, f, answered(call, "KEY"), renderMail)
			require.NoError(t, err)
			require.Equal(t, s.next(f), rounded(next))
			kept := 1
			if name == "cancelled" || name == "refunded" {
				kept = 0
			}
			require.Equal(t, kept, s.count(`deliverables WHERE line_id = $1`, s.lineID(f)))
			require.Zero(t, s.count(`attempts WHERE outcome = 'running'`))
		})
	}
}

// Whatever happens to a line between two fast statements is seen by the next one, which leaves the line to the general
// step.
func TestFastStepsSeeWhatHappenedMeanwhile(t *testing.T) {
	begun := func(t *testing.T) (*shop, string, *Delivery) {
		s := newShop(t)
		s.product("game", fromPool("p"))
		s.stock("p", "K1", "K2")
		f := s.sell("game")
		_, err := s.Claim(s.ctx, f, renderMail)
		require.NoError(t, err)
		out := s.beginDelivery(f)
		require.NotNil(t, out.line, "it is prepared for the fast path")
		return s, f, out
	}
	t.Run("held while its e-mail goes out", func(t *testing.T) {
		s, f, out := begun(t)
		s.resolve(f, keyturn.ActionHold)
		next, err := s.FinishDelivery(s.ctx, f, out, nil, false)
		require.NoError(t, err)
		require.Equal(t, keyturn.LineDelivered, next.Status)
		require.Equal(t, 3, s.count(`line_log WHERE line_id = $1 AND from_status IN ('HELD', 'OBTAINED', 'RETRYING')`,
			s.lineID(f)))
	})
	t.Run("its order is cancelled while its e-mail goes out", func(t *testing.T) {
		s, f, out := begun(t)
		orderID := read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, f)
		require.NoError(t, s.CancelOrder(s.ctx, orderID, "the buyer asked"))
		next, err := s.FinishDelivery(s.ctx, f, out, nil, false)
		require.NoError(t, err)
		require.Equal(t, keyturn.LineDelivered, next.Status)
		require.Equal(t, 1, s.count(`line_items WHERE fulfillment_id = $1 AND wake_at IS NOT NULL`, f),
			"the relay takes it back")
	})
	t.Run("the relay woke it while its e-mail went out", func(t *testing.T) {
		s, f, out := begun(t)
		s.exec(`UPDATE line_items SET wake_at = now() WHERE fulfillment_id = $1`, f)
		next, err := s.FinishDelivery(s.ctx, f, out, nil, false)
		require.NoError(t, err)
		require.Equal(t, keyturn.LineDelivered, next.Status)
		require.Equal(t, 1, s.count(`line_items WHERE fulfillment_id = $1 AND wake_at IS NOT NULL`, f),
			"the wake-up is not lost")
	})
	t.Run("it is booked twice", func(t *testing.T) {
		s, f, out := begun(t)
		for range 2 {
			next, err := s.FinishDelivery(s.ctx, f, out, nil, false)
			require.NoError(t, err)
			require.Equal(t, keyturn.LineDelivered, next.Status)
		}
		require.Equal(t, 1, s.count(`licenses WHERE line_id = $1`, s.lineID(f)))
		require.Equal(t, 2, s.count(`line_log WHERE line_id = $1`, s.lineID(f)))
	})
}
