package e2e_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// eightTimes runs an activity eight times at once, and each again after the delay that its failure names, as Temporal
// would, until one says what is next.
func eightTimes(t *testing.T, f string, do func(context.Context, activities.Step) (keyturn.Next, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				_, err := do(context.Background(), activities.Step{FulfillmentID: f})
				if err == nil {
					return
				}
				failure, ok := errors.AsType[*temporal.ApplicationError](err)
				if !ok || failure.NonRetryable() {
					t.Errorf("an activity ended its line: %v", err)
					return
				}
				time.Sleep(min(failure.NextRetryDelay(), 500*time.Millisecond))
			}
			t.Error("it does not get through")
		})
	}
	wg.Wait()
}

// Two attempts of one activity can run at the same time, when one was believed dead. Eight have one effect.
func TestActivitiesAtTheSameTimeHaveOneEffect(t *testing.T) {
	s := start(t, options{noWorker: true, noRelay: true})
	require.NoError(t, s.partner.SetDrill("acme", "slow:200ms"))
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, keys("GAME", 50)...)
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.accept([]keyturn.LineItem{
		{ProductID: "game", Quantity: 3, GrossPrice: "3"},
		{ProductID: "cad", Quantity: 2, GrossPrice: "3"},
	}, "pay_1")

	eightTimes(t, fulfillment(a), s.acts.ClaimKeys)
	require.Equal(t, 3, s.count(`SELECT count(*) FROM pool_keys WHERE line_id IS NOT NULL`))
	eightTimes(t, fulfillment(a, 1), s.acts.CallEndpoint)
	require.Len(t, s.calls("acme", "create"), 2)
	for i := range a.Starts {
		eightTimes(t, fulfillment(a, i), s.acts.SendEmail)
		require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(fulfillment(a, i)))
	}
	require.Len(t, s.letters(buyer), 2)
	require.Equal(t, "47/0/3/0", s.stock("game-keys"))

	require.NoError(t, s.db.CancelOrder(context.Background(), a.Order.ID, "changed my mind"))
	for i := range a.Starts {
		eightTimes(t, fulfillment(a, i), s.acts.ReviewLine)
		eightTimes(t, fulfillment(a, i), s.acts.Refund)
	}
	require.Equal(t, 600, s.refunded(a))
	require.Equal(t, 2, s.count(`SELECT count(*) FROM deliveries WHERE kind = 'canceled'`))
	require.Equal(t, 2, s.count(`SELECT count(*) FROM outbox WHERE workflow = 'SendFollowUpEmail'`))
	s.exec(`UPDATE outbox SET due_at = now()`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				err := s.acts.CancelAtPartner(context.Background(), activities.Revocation{
					FulfillmentID: fulfillment(a, 1),
					Source:        "endpoint/acme",
				})
				if err == nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	for _, issued := range s.partner.Issued() {
		require.Equal(t, "Canceled", issued.Status)
	}
	s.audit()
}

// A step that another one overtook finds the e-mail being sent: it looks again soon, and does not wait out the other's
// lease of 45 s.
func TestALineEndsSoonAfterAnotherProcessHasSentItsEmail(t *testing.T) {
	s := start(t, options{noWorker: true})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	a := s.order("game")
	ctx := context.Background()
	_, err := s.db.Claim(ctx, fulfillment(a), s.acts.Letters.Render)
	require.NoError(t, err)
	sending, _, _, err := s.db.BeginDelivery(ctx, fulfillment(a), s.acts.Letters.Render)
	require.NoError(t, err)
	s.startWorker()
	s.eventually(func() (bool, string) {
		return strings.Contains(s.logs.String(), "another process is sending this e-mail"), "nobody else tried to send it"
	})
	_, err = s.db.FinishDelivery(ctx, fulfillment(a), sending, nil, false)
	require.NoError(t, err)
	s.atRest(a)
}
