package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestAcceptStoresAnOrder(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.product("app", fromEndpoint("acme"))
	in := orderOf("o1", lineOf("game", 2), lineOf("app", 1))
	in.Order.LineItems[0].GrossPrice = "19.9"
	given := uuid.NewString()
	in.Order.LineItems[1].ID = strings.ToUpper(given)
	a, answer, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	require.Equal(t, "answer to o1 "+s.PageToken("o1"), string(answer))
	require.Equal(t, keyturn.Money{Minor: 2990, Currency: "EUR"}, a.GrossPrice)
	require.Equal(t, given, a.Order.LineItems[1].ID, "as it is stored")
	require.Empty(t, in.Order.LineItems[0].ID, "the caller's order stays as it was")
	require.Len(t, a.Starts, 2)
	require.Equal(t, keyturn.DoClaim, a.Starts[0].Next.Do)
	require.Equal(t, keyturn.DoCall, a.Starts[1].Next.Do)
	require.WithinDuration(t, time.Now(), a.CreatedAt, time.Minute)

	v, err := s.Order(s.ctx, "o1")
	require.NoError(t, err)
	require.Equal(t, keyturn.OrderPending, v.Status)
	require.Equal(t, "29.90", v.GrossPrice)
	require.Equal(t, "19.90", v.LineItems[0].GrossPrice)
	require.Equal(t, given, v.LineItems[1].ID)
	for i, l := range v.LineItems {
		require.Equal(t, a.Starts[i].FulfillmentID, l.FulfillmentID)
		require.Equal(t, keyturn.OpCreate, l.Operation)
	}

	// What the workflow is started with is what the database would say.
	for _, start := range a.Starts {
		require.Equal(t, s.next(start.FulfillmentID), rounded(start.Next))
	}
}

// next is what a line needs now.
func (s *shop) next(f string) keyturn.Next {
	s.t.Helper()
	l, err := s.readLine(s.ctx, f)
	require.NoError(s.t, err)
	return rounded(l.next())
}

// rounded is a Next to compare with another one that the database said a moment before or after.
func rounded(n keyturn.Next) keyturn.Next {
	n.Wait, n.Left = keyturn.Duration(time.Duration(n.Wait).Round(time.Minute)),
		keyturn.Duration(time.Duration(n.Left).Round(time.Minute))
	return n
}

func TestAcceptRepeatedGivesTheSameBytes(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	in := orderOf("o1", lineOf("game", 1))
	_, first, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	in.Respond = func(Accepted) ([]byte, error) { return []byte("another answer"), nil }
	a, again, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	require.Nil(t, a, "nothing is to be started")
	require.Equal(t, first, again)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_items`))
}

func TestAcceptRefusesAnotherRequestUnderTheKey(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.order("o1", lineOf("game", 1))
	in := orderOf("o2", lineOf("game", 1))
	in.IdempotencyKey = "order-o1"
	_, _, err := s.Accept(s.ctx, in)
	wantKind(t, err, keyturn.KindInvalid, "Idempotency-Key")
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM orders`))

	in.Client = "another shop" // whose keys are its own
	_, _, err = s.Accept(s.ctx, in)
	require.NoError(t, err)
}

func TestAcceptRefusesTakenIDs(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	line := lineOf("game", 1)
	line.ID = uuid.NewString()
	s.order("o1", line)

	in := orderOf("o1", lineOf("game", 1))
	in.IdempotencyKey = "new"
	_, _, err := s.Accept(s.ctx, in)
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "order o1")

	_, _, err = s.Accept(s.ctx, orderOf("o2", line))
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "lineItems[].id")
	line.ID = strings.ToUpper(line.ID)
	_, _, err = s.Accept(s.ctx, orderOf("o2", line))
	wantKind(t, err, keyturn.KindConflict)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_items`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM idempotency_keys`),
		"a refused request may come again, mended, under its key")
}

func TestAcceptNamesUnknownProductsByLine(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	_, _, err := s.Accept(s.ctx, orderOf("o1", lineOf("nope", 1), lineOf("game", 1), lineOf("nada", 1), lineOf("nope", 1)))
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].productId", "lineItems[2].productId", "lineItems[3].productId")
	require.Zero(t, read[int](s,
		`SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM customers) + (SELECT count(*) FROM idempotency_keys)`))
}

func TestAcceptWhoseAnswerCannotBeMadeStoresNothing(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	in := orderOf("o1", lineOf("game", 1))
	in.Respond = func(Accepted) ([]byte, error) { return nil, fmt.Errorf("no") }
	_, _, err := s.Accept(s.ctx, in)
	require.Error(t, err)
	require.Zero(t, read[int](s, `SELECT count(*) FROM orders`))
}

// Sixteen copies of one request at the same time: one order, and whoever is not told to come again has its answer.
func TestConcurrentAcceptsOfOneRequest(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	for round := range 5 {
		id := fmt.Sprint("o", round)
		answers := make([]string, 16)
		errs := atOnce(16, func(i int) error {
			_, answer, err := s.Accept(s.ctx, orderOf(id, lineOf("game", 1)))
			answers[i] = string(answer)
			return err
		})
		good := 0
		for i, err := range errs {
			if err == nil {
				good++
				require.Equal(t, "answer to "+id+" "+s.PageToken(id), answers[i])
			} else {
				wantKind(t, err, keyturn.KindConflict)
			}
		}
		require.Positive(t, good)
		require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_items WHERE order_id = $1`, id))
	}
}

// Different requests that name one order, or one customer, at the same time.
func TestConcurrentAcceptsOfOneOrderID(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	good := 0
	for _, err := range atOnce(8, func(i int) error {
		in := orderOf("same", lineOf("game", 1))
		in.IdempotencyKey = fmt.Sprint("k", i)
		_, _, err := s.Accept(s.ctx, in)
		return err
	}) {
		if err == nil {
			good++
		} else {
			wantKind(t, err, keyturn.KindConflict)
		}
	}
	require.Equal(t, 1, good)
	for _, err := range atOnce(8, func(i int) error {
		in := orderOf(fmt.Sprint("by one customer ", i), lineOf("game", 1))
		in.Order.Customer.ID = "ada"
		_, _, err := s.Accept(s.ctx, in)
		return err
	}) {
		require.NoError(t, err)
	}
}

func TestAcceptOfFiveThousandLines(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	start := time.Now()
	f := s.order("big", repeatLine(lineOf("game", 1), 5000)...)
	require.Less(t, time.Since(start), 5*time.Second)
	require.Len(t, f, 5000)
	require.Equal(t, 5000, read[int](s, `SELECT count(DISTINCT position) FROM line_items`))
}

// A product that is being deleted is either sold or gone, never both: a line without a product could not be refunded.
func TestProductIsNotDeletedWhileItIsSold(t *testing.T) {
	s := newShop(t)
	for i := range 12 {
		id := fmt.Sprint("game", i)
		s.product(id, fromPool("games"))
		var sold, deleted error
		atOnce(2, func(who int) error {
			if who == 0 {
				_, _, sold = s.Accept(s.ctx, orderOf(id, repeatLine(lineOf(id, 1), 200)...))
			} else {
				time.Sleep(time.Duration(i) * time.Millisecond)
				deleted = s.DeleteProduct(s.ctx, id)
			}
			return nil
		})
		require.NotEqual(t, sold == nil, deleted == nil, "sold: %v, deleted: %v", sold, deleted)
	}
}
