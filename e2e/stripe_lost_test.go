package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/mail"
)

// A session is made at Stripe, its answer is lost, and Stripe is down for a while. Then the session is learned of, by
// its key or, when that is too late, among those that were made then; it is ended, and nobody pays twice.
func TestAnOpenThatIsLostAtStripe(t *testing.T) {
	t.Parallel()
	for _, down := range []time.Duration{40 * time.Minute, 80 * time.Minute} {
		t.Run(down.String(), func(t *testing.T) {
			s := startStripe(t)
			s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("p"))}, "GAME-1")
			link := s.stripeLink("game")
			id := s.openIsLost(link)
			require.Len(t, s.emulator.Books().Sessions, 1)

			s.emulator.Advance(down)
			s.exec(`UPDATE payments SET created_at = created_at - make_interval(secs => $2) WHERE id = $1`, id, down.Seconds())
			s.emulator.SetFaults(nil)
			require.NoError(t, s.db.LookAtPayment(t.Context(), id))
			require.Equal(t, id, s.awaitPayment(link, keyturn.PaymentExpired))
			sessions := s.emulator.Books().Sessions
			require.Len(t, sessions, 1, "no other one was made")
			require.Equal(t, "expired", sessions[0].Status)
			_, err := s.emulator.Pay(sessions[0].ID, emulator.Card(""))
			require.Error(t, err)

			s.pays(link, emulator.Card(""))
			s.awaitLink(link, keyturn.OrderCompleted)
			s.awaitPayment(link, keyturn.PaymentCaptured)
			require.EqualValues(t, 1000, s.atStripe(link).Captured)
			require.Empty(t, s.unfair())
			s.audit()
		})
	}
}

// openIsLost has a customer order while Stripe makes a session, loses the answer, and answers nothing more.
func (s *stripeShop) openIsLost(link string) (paymentID string) {
	s.t.Helper()
	made := false
	s.emulator.SetFaults(func(c emulator.Call) emulator.Fault {
		if c.Operation == "checkout.session.create" && !made {
			made = true
			return emulator.Lost
		}
		return emulator.Down
	})
	paymentID = s.begins(link)
	for range 3 {
		_, err := s.acts.Desk.Open(context.Background(), paymentID)
		require.Equal(s.t, keyturn.KindUnavailable, keyturn.KindOf(err), fmt.Sprint(err))
	}
	return paymentID
}

// begins presses "order and pay", and dies before Stripe is asked for anything.
func (s *stripeShop) begins(link string) (paymentID string) {
	s.t.Helper()
	ctx := context.Background()
	token := s.db.LinkToken(link)
	page, err := s.db.CheckoutPage(ctx, token)
	require.NoError(s.t, err)
	begun, err := s.db.BeginPayment(ctx, db.PaymentStart{
		Token: token, Version: page.Version, PayWithin: time.Second, CheckAddress: mail.CheckAddress,
		Customer: keyturn.Customer{Email: buyer, Country: "FR", Locale: "en-GB"},
		Respond:  func(db.Accepted) ([]byte, error) { return nil, nil },
	})
	require.NoError(s.t, err)
	return begun.ID
}
