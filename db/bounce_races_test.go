package db

import (
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A report, a resend, a correction, housekeeping, and the order's cancellation at the same moment: the customer has the
// key or the money, the old address is told once of each change, and no two e-mails with one key are under way.
func TestRacesOfABounce(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	rounds := raceRounds(t)
	s.stock("p", keysNamed("K", 2*rounds+20)...)
	ended := map[string]int{}
	for round := range rounds {
		fs := s.order(newID(), lineOf("game", 1), lineOf("game", 1))
		f, token, cancels := fs[0], s.tokenOf(fs[0]), round%3 == 0
		for _, f := range fs {
			s.claimed(f)
			s.delivered(f)
		}
		first := s.newestMail(f)
		s.bounced(first, keyturn.BounceDelayed)
		if round%2 == 0 { // it came back before
			s.bounced(first, keyturn.BounceRefused)
		}
		var all sync.WaitGroup
		errs := map[string]error{}
		var mu sync.Mutex
		try := func(what string, do func() error) {
			all.Go(func() {
				err := do()
				mu.Lock()
				defer mu.Unlock()
				errs[what] = err
			})
		}
		try("report", func() error {
			_, err := s.Bounced(s.ctx, BounceReport{DeliveryID: first, Kind: keyturn.BounceBadAddress, Via: keyturn.InletSMTP})
			return err
		})
		try("report of the other line", func() error {
			_, err := s.Bounced(s.ctx, BounceReport{
				DeliveryID: s.newestMail(fs[1]), Kind: keyturn.BounceRefused, Via: keyturn.InletIMAP,
			})
			return err
		})
		for _, to := range []string{"ann", "bob"} {
			try("correct "+to, func() error {
				_, err := s.CorrectAddress(s.ctx, token, f, to+"@buyer.test", renderMail)
				return err
			})
		}
		try("resend", func() error { _, err := s.Resend(s.ctx, f, "", "ops", renderMail); return err })
		try("resend elsewhere", func() error {
			_, err := s.Resend(s.ctx, f, "eve@buyer.test", "ops", renderMail)
			return err
		})
		try("carry", func() error { return s.CarryAddresses(s.ctx, renderMail) })
		if cancels {
			try("cancel", func() error {
				return s.CancelOrder(s.ctx, read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, f), "fraud")
			})
		}
		all.Wait()
		for what, err := range errs {
			if err != nil && keyturn.KindOf(err) != keyturn.KindConflict && keyturn.KindOf(err) != keyturn.KindInvalid {
				require.NoError(t, err, what)
			}
		}
		if cancels {
			for _, f := range fs {
				_, err := s.Review(s.ctx, f)
				require.NoError(t, err)
			}
		}
		require.NoError(t, s.CarryAddresses(s.ctx, renderMail))
		s.sendsAll(fs)
		ended[s.fairBounce(fs, cancels)]++
	}
	require.Greater(t, ended["corrected"], rounds/40, "%v", ended)
	require.Greater(t, ended["cancelled"], rounds/40, "%v", ended)
	t.Logf("%d rounds: %v", rounds, ended)
}

// raceRounds is how often a race is run: make test/races runs it more often.
func raceRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("KEYTURN_RACES")
	if text == "" {
		return 40
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// sendsAll has two processes at once send whatever of the lines' e-mails is to go out.
func (s *shop) sendsAll(fs []string) {
	s.t.Helper()
	for range 20 {
		due := reads[string](s, `SELECT y.id FROM deliveries y JOIN line_items l ON l.id = y.line_id
			WHERE l.fulfillment_id = ANY(CAST($1 AS uuid[])) AND `+toFollowSQL, "{"+fs[0]+","+fs[1]+"}")
		if len(due) == 0 {
			return
		}
		var all sync.WaitGroup
		for _, id := range append(due, due...) {
			all.Go(func() {
				d, _, err := s.BeginSend(s.ctx, id)
				if err != nil || d == nil {
					return
				}
				most := 0
				err = s.pg.GetContext(s.ctx, &most, `SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM deliveries
					WHERE kind = 'keys' AND status = 'SENDING' AND lease_until > clock_timestamp() GROUP BY line_id) t`)
				if err != nil || most > 1 {
					s.t.Errorf("%d e-mails with one key are under way: %v", most, err)
				}
				assert.NoError(s.t, s.FinishSend(s.ctx, d, nil))
			})
		}
		all.Wait()
	}
	s.t.Errorf("there is always another e-mail to send")
}

// fairBounce requires that an order has one outcome, and says which.
func (s *shop) fairBounce(fs []string, cancels bool) string {
	s.t.Helper()
	order := read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, fs[0])
	changes := read[int](s, `SELECT count(*) FROM address_changes WHERE order_id = $1 AND done_at IS NOT NULL`, order)
	require.Equal(s.t, changes, read[int](s, `SELECT count(*) FROM address_changes WHERE order_id = $1`, order))
	require.LessOrEqual(s.t, changes, 1, "the new address has not come back")
	require.Equal(s.t, changes, read[int](s, `SELECT count(*) FROM deliveries y JOIN line_items l ON l.id = y.line_id
		WHERE l.order_id = $1 AND y.kind = 'addressChanged'`, order), "the old address is told once")
	for _, f := range fs {
		require.LessOrEqual(s.t, read[int](s, `SELECT count(*) FROM deliveries WHERE line_id = $1 AND change_id IS NOT NULL
			AND kind = 'keys'`, s.lineID(f)), changes, "made anew once")
		refunds := read[int](s, `SELECT count(*) FROM refunds WHERE line_id = $1`, s.lineID(f))
		switch status := s.status(f); {
		case cancels:
			require.Equal(s.t, keyturn.LineCanceling, status)
			require.Equal(s.t, 1, refunds)
		default:
			require.Equal(s.t, keyturn.LineDelivered, status)
			require.Zero(s.t, refunds)
			require.Zero(s.t, read[int](s, `SELECT count(*) FROM deliveries y WHERE line_id = $1 AND kind = 'keys'
				AND status <> 'SENT' AND NOT EXISTS (SELECT FROM deliveries n WHERE n.line_id = y.line_id AND n.kind = 'keys'
					AND n.number > y.number)`, s.lineID(f)), "nothing is left to send")
		}
	}
	switch {
	case cancels:
		return "cancelled"
	case changes == 1:
		return "corrected"
	}
	return "as it was"
}
