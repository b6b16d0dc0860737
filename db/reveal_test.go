package db

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// tokenOf is the address of the page of a line's order.
func (s *shop) tokenOf(f string) string {
	return s.PageToken(read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, f))
}

func (s *shop) reveals(f string) (Deliverables, error) {
	return s.RevealToCustomer(s.ctx, s.tokenOf(f), f, "keys", home)
}

// unsent gives a line that has its key, and whose e-mail did not go out at the first try.
func (s *shop) unsent() string {
	s.t.Helper()
	f := s.obtained()
	s.failDelivery(f, s.beginDelivery(f), false)
	return f
}

func TestALookDeliversWhatNoEmailDid(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	_, err := s.reveals(f)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "the e-mail has not been tried yet")
	d := s.beginDelivery(f)
	_, err = s.reveals(f)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "it is on its way")
	s.failDelivery(f, d, false)

	page, err := s.CustomerPage(s.ctx, s.tokenOf(f), 1)
	require.NoError(t, err)
	require.True(t, page.Lines[0].MayReveal)
	require.Equal(t, keyturn.LineRetrying, s.status(f), "a look at the page is no look at the key")
	got, err := s.reveals(f)
	require.NoError(t, err)
	require.Equal(t, []keyturn.Secret{"K-00000"}, got.Codes)
	require.Equal(t, keyturn.LineDelivered, s.status(f))
	require.Equal(t, keyturn.OrderCompleted, s.orderStatus(f))
	require.Equal(t, []string{"delivered"}, s.keyStates(f))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM licenses WHERE id = $1`, f))
	require.Zero(t, read[int](s, `SELECT count(*) FROM alerts WHERE closed_at IS NULL`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM access_log WHERE by = 'customer' AND what = 'keys'`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM outbox WHERE workflow = $1 AND subject = $2`, WorkflowWake, f),
		"its workflow is to end")
	require.Equal(t, "READY revealed", read[string](s, `SELECT status || ' ' || error FROM deliveries WHERE message = ''`))

	none, next, _, err := s.BeginDelivery(s.ctx, f, renderMail)
	require.NoError(t, err)
	require.Nil(t, none, "the e-mail is not sent any more")
	require.Equal(t, keyturn.DoNothing, next.Do)
	_, err = s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund, By: "ops"})
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "nobody gets the key and the money")
	_, err = s.reveals(f)
	require.NoError(t, err, "and it can be looked at again")
	page, err = s.CustomerPage(s.ctx, s.tokenOf(f), 1)
	require.NoError(t, err)
	require.True(t, page.Lines[0].ShownHere)
}

func TestWhoMayNotLookBeforeTheEmail(t *testing.T) {
	s := newShop(t)
	for name, change := range map[string]func(f string){
		"the product shows no keys": func(string) {
			p, err := s.Product(s.ctx, "game")
			require.NoError(t, err)
			p.PageKeys = keyturn.PageKeysNever
			s.put(p)
		},
		"its order is to be cancelled": func(f string) {
			s.exec(`UPDATE orders SET cancel_reason = 'fraud' WHERE id = (SELECT order_id FROM line_items WHERE fulfillment_id = $1)`, f)
		},
		"it is on hold":  func(f string) { s.resolve(f, keyturn.ActionHold) },
		"it is refunded": func(f string) { s.resolve(f, keyturn.ActionRefund) },
	} {
		f := s.unsent()
		change(f)
		_, err := s.reveals(f)
		require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), name)
		require.NotEqual(t, keyturn.LineDelivered, s.status(f), name)
		page, err := s.CustomerPage(s.ctx, s.tokenOf(f), 1)
		require.NoError(t, err)
		require.False(t, page.Lines[0].MayReveal, name)
		p, err := s.Product(s.ctx, "game")
		require.NoError(t, err)
		p.PageKeys = ""
		s.put(p)
	}
}

// A line that was in trouble before it had its key stays RETRYING: its e-mail has its first try all the same.
func TestAnEarlierFailureIsNoTryOfTheEmail(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	f := s.sell("game")
	s.claimed(f) // nothing is there
	s.stock("p", "K-1")
	s.claimed(f)
	require.Equal(t, keyturn.LineRetrying, s.status(f))
	_, err := s.reveals(f)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
}

// An e-mail that is being sent when the customer looks comes to its end, and is booked as what it was.
func TestALookWhileTheEmailIsBeingSent(t *testing.T) {
	for name, failed := range map[string]*StepFailure{"it goes out": nil, "it does not": mailServerDown} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			f := s.unsent()
			d := s.beginDelivery(f)
			_, err := s.reveals(f)
			require.NoError(t, err)
			require.Equal(t, keyturn.LineDelivered, s.status(f))
			_, err = s.FinishDelivery(s.ctx, f, d, failed, false)
			require.NoError(t, err)
			status, left := "SENT", 0
			if failed != nil {
				status, left = "READY", 1
			}
			require.Equal(t, status, read[string](s, `SELECT status FROM deliveries`))
			require.Equal(t, left, read[int](s, `SELECT count(*) FROM deliveries WHERE message = ''`))
			require.Equal(t, keyturn.LineDelivered, s.status(f))
		})
	}
}

// Look, decision to refund, deadline and a late e-mail at the same moment: the customer has the key or the money, and
// what happened is booked.
func TestRacesOfALook(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	rounds := raceRounds(t)
	s.stock("p", keysNamed("K", rounds)...)
	ended := map[keyturn.LineStatus]int{}
	for round := range rounds {
		f := s.unsent()
		var late *Delivery
		if round%2 == 0 { // the next try is under way
			late = s.beginDelivery(f)
		}
		var shown, refunded, sent error
		var all sync.WaitGroup
		all.Go(func() { _, shown = s.reveals(f) })
		decided := round%3 != 0
		if decided {
			all.Go(func() {
				_, refunded = s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund, By: "ops"})
			})
		} else { // its time is over, and nobody has decided
			s.exec(`UPDATE line_items SET extended_until = clock_timestamp() WHERE fulfillment_id = $1`, f)
			all.Go(func() { _, refunded = s.Review(s.ctx, f) })
		}
		if late != nil {
			all.Go(func() {
				var failed *StepFailure
				if round%4 == 0 {
					failed = mailServerDown
				}
				_, sent = s.FinishDelivery(s.ctx, f, late, failed, false)
			})
		}
		all.Wait()
		require.NoError(t, sent)
		status := s.status(f)
		ended[status]++
		owed := read[int](s, `SELECT count(*) FROM refunds WHERE line_id = $1`, s.lineID(f))
		looks := read[int](s, `SELECT count(*) FROM access_log WHERE line_id = $1`, s.lineID(f))
		switch status {
		case keyturn.LineDelivered:
			require.Zero(t, owed)
			if decided {
				require.Equal(t, keyturn.KindConflict, keyturn.KindOf(refunded))
			}
			require.NoError(t, shown, "a look at what is delivered is never refused")
			require.Equal(t, []string{"delivered"}, s.keyStates(f))
		case keyturn.LineCanceling:
			require.NoError(t, refunded)
			require.Equal(t, 1, owed)
			require.Equal(t, keyturn.KindConflict, keyturn.KindOf(shown))
			require.Zero(t, looks)
		default:
			t.Fatalf("the line is %s", status)
		}
	}
	require.Greater(t, ended[keyturn.LineDelivered], rounds/40, "%v", ended)
	require.Greater(t, ended[keyturn.LineCanceling], rounds/40, "%v", ended)
}

func TestCustomersHaveEmailsSentAgain(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	again := func() error { return s.ResendToCustomer(s.ctx, s.tokenOf(f), f, renderMail) }
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(again()), "its first e-mail is not out yet")
	s.delivered(f)
	other := s.obtained()
	require.Equal(t, keyturn.KindNotFound,
		keyturn.KindOf(s.ResendToCustomer(s.ctx, s.tokenOf(other), f, renderMail)), "another order's page")
	for range resendsPerDay {
		require.NoError(t, again())
	}
	require.Equal(t, keyturn.KindRateLimited, keyturn.KindOf(again()))
	require.Equal(t, resendsPerDay, read[int](s, `SELECT count(*) FROM outbox WHERE workflow = $1`, WorkflowSend))
	s.later(25 * time.Hour)
	require.NoError(t, again())
}
