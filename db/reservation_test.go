package db

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// sellsTen is a product that is not sold while its pool has too few of its ten keys.
func (s *shop) sellsTen() {
	s.put(keyturn.Product{
		ID: "game", Sources: []keyturn.Source{fromPool("p")}, Sell: keyturn.Sell{WhenEmpty: keyturn.SellRefuse},
	})
	var keys []string
	for i := range 10 {
		keys = append(keys, "KEY-"+strconv.Itoa(i))
	}
	s.stock("p", keys...)
}

// linkOfUnits is a checkout link of n units of the game.
func linkOfUnits(n int) LinkInput {
	in := linkOf(newID(), "game")
	in.Link.LineItems[0].Quantity = keyturn.LinkQuantity{Value: n, Min: n, Max: n}
	return in
}

func (s *shop) reserved() int {
	return read[int](s, `SELECT coalesce(sum(units), 0) FROM reservations WHERE pool_id = 'p'`)
}

func (s *shop) leftFor(n int) int {
	s.t.Helper()
	left, err := s.stockLeft(s.ctx, "p", n)
	require.NoError(s.t, err)
	return left
}

// While a customer pays, the units that the link sells are not sold to others who have not paid yet: neither by links
// nor by orders.
func TestUnitsAreReservedWhileACustomerPays(t *testing.T) {
	s := newShop(t)
	s.sellsTen()
	_, token := s.link(linkOfUnits(2))
	pay := s.openPayment(token)
	require.Equal(t, 2, s.reserved())
	require.Equal(t, 8, s.leftFor(10))

	_, _, err := s.Accept(s.ctx, orderOf("nine", lineOf("game", 9)))
	wantKind(t, err, keyturn.KindConflict)
	v, _, err := s.CreateLink(s.ctx, linkOfUnits(9))
	require.NoError(t, err)
	require.Equal(t, keyturn.SellableOutOfStock, v.Sellability[0].Code)
	require.True(t, v.Sellability[0].Refused)
	_, err = s.beginPayment(s.LinkToken(v.ID))
	wantKind(t, err, keyturn.KindConflict)

	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	require.Zero(t, s.reserved(), "released with the end of the session")
	_, err = s.beginPayment(s.LinkToken(v.ID))
	require.NoError(t, err)
	require.Zero(t, s.reserved(), "nine units are more than a fifth of the stock: they are sold without")
	_, _, err = s.Accept(s.ctx, orderOf("ten", lineOf("game", 10)))
	require.NoError(t, err)
}

// What customers begin to pay keeps no more than a fifth of a pool from being sold.
func TestAFifthOfAPoolIsReservedAtMost(t *testing.T) {
	s := newShop(t)
	s.sellsTen()
	for range 5 {
		_, token := s.link(linkOfUnits(1))
		s.openPayment(token)
	}
	require.Equal(t, 2, s.reserved())
	require.Equal(t, 8, s.leftFor(10))
}

// The units are released with the transaction that accepts the order, which is not refused for want of stock: what may
// be sold was decided when the customer began to pay. Claims of accepted orders are not bound by reservations.
func TestAPaidLinkIsAcceptedAlsoFromAnEmptyPool(t *testing.T) {
	s := newShop(t)
	s.sellsTen()
	_, token := s.link(linkOfUnits(1))
	pay := s.openPayment(token)
	first := s.order("eight", lineOf("game", 8))[0]
	s.order("one", lineOf("game", 1)) // accepted as well: none of the keys was claimed yet
	require.Equal(t, 1, s.reserved())
	s.claimed(first)
	s.exec(`UPDATE line_items SET quantity = 2 WHERE order_id = 'one'`)
	require.Equal(t, keyturn.DoDeliver, s.claimed(read[string](s,
		`SELECT fulfillment_id FROM line_items WHERE order_id = 'one'`)).Do, "it takes the reserved one, too")

	out := s.processorSays(pay, s.authorized(pay, 1000))
	require.NotNil(t, out.Accepted)
	require.Zero(t, s.reserved())
	s.claimed(out.Accepted.Starts[0].FulfillmentID)
	require.Equal(t, keyturn.LineWaitingForStock, s.status(out.Accepted.Starts[0].FulfillmentID))
}

// A means of payment that takes time holds nothing back: it may take days.
func TestAPaymentThatIsProcessingReservesNothing(t *testing.T) {
	s := newShop(t)
	s.sellsTen()
	_, token := s.link(linkOfUnits(1))
	pay := s.openPayment(token)
	require.Equal(t, 1, s.reserved())
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorProcessing})
	require.Zero(t, s.reserved())
}

// A line that falls back takes what its first source that can deliver has.
func TestOnlyWhatIsTakenIsReserved(t *testing.T) {
	s := newShop(t)
	partner := keyturn.Source{Type: keyturn.SourceEndpoint, Integration: "acme"}
	s.put(keyturn.Product{ID: "partner", Sources: []keyturn.Source{partner, fromPool("p")}})
	s.put(keyturn.Product{ID: "empty", Sources: []keyturn.Source{fromPool("none"), fromPool("p")}})
	s.sellsTen()
	_, token := s.link(linkOf("k1", "partner"))
	s.openPayment(token)
	require.Zero(t, s.reserved())
	_, token = s.link(linkOf("k2", "empty"))
	pay := s.openPayment(token)
	require.Equal(t, 1, s.reserved())
	s.later(time.Hour)
	require.Equal(t, 1, s.reserved(), "until the processor has confirmed the end")
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	require.Zero(t, s.reserved())
}
