package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/workflows"
)

// sold buys a key by a link, and gives the link and its PaymentIntent.
func (s *stripeShop) sold(key string, card string) (link, intent string) {
	s.t.Helper()
	s.product(keyturn.Product{ID: "game-" + key, Sources: []keyturn.Source{keyturn.FromPool("p-" + key)}}, key)
	link = s.stripeLink("game-" + key)
	s.pays(link, emulator.Card(card))
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitPayment(link, keyturn.PaymentCaptured)
	return link, s.atStripe(link).ID
}

func (s *stripeShop) awaitAlert(cause keyturn.AlertCause, open int) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM alerts WHERE cause = $1 AND closed_at IS NULL`, string(cause)) == open,
			string(cause) + " is not as it should be"
	})
}

// A dispute holds refunds back; the one that is lost has paid the customer, and revokes the key.
func TestADisputeThatIsLost(t *testing.T) {
	s := startStripe(t)
	link, intent := s.sold("GAME-1", "")
	dispute, err := s.emulator.Dispute(intent)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertDispute, 1)
	require.NoError(t, s.db.CancelOrder(context.Background(), link, "the customer asks for it"))
	s.await(s.orderOf(link), keyturn.OrderCancelPending)
	s.awaitAlert(keyturn.AlertRefund, 1)
	require.Zero(t, s.atStripe(link).Refunds, "it is not paid back twice")

	require.NoError(t, s.emulator.CloseDispute(dispute, false))
	s.awaitAlert(keyturn.AlertDispute, 0)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM payment_aftermath WHERE kind = 'dispute' AND status = 'lost'`))
}

func TestADisputeThatIsLostCancelsItsOrder(t *testing.T) {
	s := startStripe(t)
	link, intent := s.sold("GAME-1", "")
	var customer string
	require.NoError(t, s.sql(&customer, `SELECT customer_id FROM payments WHERE link_id = $1`, link))
	dispute, err := s.emulator.Dispute(intent)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertDispute, 1)
	view, err := s.db.Order(context.Background(), s.orderOf(link).Order.ID)
	require.NoError(t, err)
	require.NotNil(t, view.Payment.DisputedAt)
	_, err = s.db.EraseCustomer(context.Background(), "", customer, "ana")
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "the evidence is needed: %v", err)
	require.ErrorContains(t, err, "disputed")
	require.NoError(t, s.emulator.CloseDispute(dispute, false))
	s.await(s.orderOf(link), keyturn.OrderCanceled)
	require.Zero(t, s.atStripe(link).Refunds)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM refunds WHERE provider_id = $1`, dispute))
	s.awaitAlert(keyturn.AlertDispute, 0)
	view, err = s.db.Order(context.Background(), s.orderOf(link).Order.ID)
	require.NoError(t, err)
	require.Nil(t, view.Payment.DisputedAt)
	s.audit()
}

func TestADisputeThatIsWonAndAWarning(t *testing.T) {
	s := startStripe(t)
	link, intent := s.sold("GAME-1", "")
	require.NoError(t, s.emulator.Warn(intent))
	s.awaitAlert(keyturn.AlertFraudWarning, 1)
	dispute, err := s.emulator.Dispute(intent)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertDispute, 1)
	require.NoError(t, s.emulator.CloseDispute(dispute, true))
	s.awaitAlert(keyturn.AlertDispute, 0)
	require.NoError(t, s.db.CancelOrder(context.Background(), link, "the customer asks for it"))
	s.await(s.orderOf(link), keyturn.OrderCanceled)
	require.EqualValues(t, 1000, s.atStripe(link).Refunded, "refunds go on")
	s.audit()
}

// What somebody refunds in the dashboard is not refunded once more.
func TestRefundsThatOthersMake(t *testing.T) {
	s := startStripe(t)
	link, intent := s.sold("GAME-1", "")
	_, err := s.emulator.Refund(intent, 1000)
	require.NoError(t, err)
	s.await(s.orderOf(link), keyturn.OrderCanceled)
	require.Equal(t, 1, s.atStripe(link).Refunds)

	part, intent := s.sold("GAME-2", "")
	_, err = s.emulator.Refund(intent, 300)
	require.NoError(t, err)
	s.awaitAlert(keyturn.AlertExternalRefund, 1)
	s.await(s.orderOf(part), keyturn.OrderCompleted)
	s.audit()
}

// A refund of ours that fails after it counted as done is somebody's business.
func TestARefundThatFailsLater(t *testing.T) {
	s := startStripe(t)
	link, _ := s.sold("GAME-1", "")
	require.NoError(t, s.db.CancelOrder(context.Background(), link, "the customer asks for it"))
	s.await(s.orderOf(link), keyturn.OrderCanceled)
	require.NoError(t, s.emulator.FailRefund(s.emulator.Books().Refunds[0].ID))
	s.awaitAlert(keyturn.AlertRefundFailed, 1)
	s.await(s.orderOf(link), keyturn.OrderCanceled)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM refunds WHERE failed_at IS NOT NULL`))
	s.audit()
}

// A refund that Stripe has taken on ends its line when it comes through, at once; one that the customer has to help
// with is told of until then.
func TestARefundThatIsPending(t *testing.T) {
	s := startStripe(t)
	link, _ := s.sold("GAME-1", emulator.CardRefundLate)
	require.NoError(t, s.db.CancelOrder(context.Background(), link, "the customer asks for it"))
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM refunds WHERE status = 'PENDING' AND under_way_since IS NOT NULL`) == 1,
			"the refund is not under way"
	})
	s.await(s.orderOf(link), keyturn.OrderCancelPending)
	s.awaitAlert(keyturn.AlertRefund, 0)
	require.NoError(t, s.emulator.AskCustomer(s.emulator.Books().Refunds[0].ID))
	s.awaitAlert(keyturn.AlertRefund, 1)
	s.await(s.orderOf(link), keyturn.OrderCancelPending)
	s.emulator.Advance(5 * time.Minute)
	s.await(s.orderOf(link), keyturn.OrderCanceled)
	f := s.texts(`SELECT CAST(fulfillment_id AS text) FROM line_items`)[0]
	s.record(workflows.CancelWorkflowID(f), "refund-told-of")
	s.awaitAlert(keyturn.AlertRefund, 0)
	require.Equal(t, 1, s.atStripe(link).Refunds)
	s.audit()
}

// A shop may settle that whoever disputes loses the keys, and that whom the bank warns of gets the money back.
func TestWhatAShopDoesOnDisputesAndWarnings(t *testing.T) {
	s := startStripe(t)
	_, _, err := s.db.PutShop(context.Background(), keyturn.Shop{Checkout: keyturn.CheckoutSettings{
		OnDispute: keyturn.OnDisputeRevoke, OnFraudWarning: keyturn.OnFraudWarningRefund,
	}})
	require.NoError(t, err)
	warned, intent := s.sold("GAME-1", "")
	require.NoError(t, s.emulator.Warn(intent))
	s.await(s.orderOf(warned), keyturn.OrderCanceled)
	require.EqualValues(t, 1000, s.atStripe(warned).Refunded)

	disputed, intent := s.sold("GAME-2", "")
	dispute, err := s.emulator.Dispute(intent)
	require.NoError(t, err)
	s.await(s.orderOf(disputed), keyturn.OrderCancelPending)
	s.awaitAlert(keyturn.AlertDispute, 1)
	require.Equal(t, 2, s.count(`SELECT count(*) FROM pool_keys WHERE state = 'quarantined'`))
	require.NoError(t, s.emulator.CloseDispute(dispute, false))
	s.await(s.orderOf(disputed), keyturn.OrderCanceled)
	require.Zero(t, s.atStripe(disputed).Refunds)
	s.audit()
}
