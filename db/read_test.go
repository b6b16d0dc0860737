package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestAnOrderShowsTheDeadlineOfTodaysPolicy(t *testing.T) {
	s := newShop(t)
	s.product("hand", byHand)
	id := s.order("O-1", lineOf("hand", 1))[0]
	shown := func() keyturn.LineView {
		o, err := s.Order(s.ctx, "O-1")
		require.NoError(t, err)
		require.Equal(t, "10.00", o.GrossPrice)
		return o.LineItems[0]
	}
	accepted := read[time.Time](s, `SELECT created_at FROM orders`)
	require.WithinDuration(t, accepted.Add(keyturn.DefaultGiveUp), *shown().GiveUpAt, 0)

	s.put(keyturn.Product{
		ID: "hand", Sources: []keyturn.Source{byHand},
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(time.Hour)},
	})
	require.WithinDuration(t, accepted.Add(time.Hour), *shown().GiveUpAt, 0)

	until := accepted.Add(5 * time.Hour)
	_, err := s.Resolve(s.ctx, id, keyturn.Resolution{
		ID: "d-1", Action: keyturn.ActionExtend, Until: &until,
		By: "olivia",
	})
	require.NoError(t, err)
	require.WithinDuration(t, until, *shown().GiveUpAt, 0)

	_, err = s.Resolve(s.ctx, id, keyturn.Resolution{Action: keyturn.ActionRefund, By: "olivia", Reason: "asked for it"})
	require.NoError(t, err)
	l := shown()
	require.Equal(t, keyturn.LineCanceling, l.Status)
	require.Nil(t, l.GiveUpAt, "a decided line has no deadline")
	require.Equal(t, &keyturn.RefundView{Status: "PENDING", Amount: "10.00", Reason: "refund: asked for it"}, l.Refund)

	known, _, err := s.Resolved(s.ctx, id, "d-1")
	require.NoError(t, err)
	require.True(t, known)
	known, _, err = s.Resolved(s.ctx, id, "d-2")
	require.NoError(t, err)
	require.False(t, known)
}

func TestACursorIsOursAndOfItsList(t *testing.T) {
	s := newShop(t)
	s.product("hand", byHand)
	for i := range 3 {
		s.order(fmt.Sprintf("O-%d", i), lineOf("hand", 1))
	}
	page, err := s.Orders(s.ctx, "", keyturn.OrderPending, "", 2)
	require.NoError(t, err)
	require.Len(t, page.Orders, 2)
	rest, err := s.Orders(s.ctx, "", keyturn.OrderPending, page.NextCursor, 2)
	require.NoError(t, err)
	require.Len(t, rest.Orders, 1)
	require.Equal(t, "O-0", rest.Orders[0].ID)
	require.Empty(t, rest.NextCursor)
	for _, c := range []struct {
		status keyturn.OrderStatus
		cursor string
		limit  int
		field  string
	}{
		{keyturn.OrderCompleted, page.NextCursor, 1, "cursor"},
		{keyturn.OrderPending, page.NextCursor[1:], 1, "cursor"},
		{keyturn.OrderPending, "AAAA", 1, "cursor"},
		{keyturn.OrderPending, "'; DROP TABLE orders", 1, "cursor"},
		{"PENDING' OR '1'='1", "", 1, "status"},
		{"", "", 0, "limit"},
		{"", "", MaxPage + 1, "limit"},
	} {
		_, err := s.Orders(s.ctx, "", c.status, c.cursor, c.limit)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
		require.ErrorContains(t, err, c.field)
	}
}

func TestNamesThatAreNoNamesFindNothing(t *testing.T) {
	s := newShop(t)
	for _, name := range []string{"", "a\x00b", "\xff", strings.Repeat("a", 1000), "none"} {
		_, err := s.Order(s.ctx, name)
		require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), name)
		_, _, _, err = s.OrderEvents(s.ctx, name, nil)
		require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), name)
		_, err = s.licenses(name, "test")
		require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), name)
		_, err = s.Fulfillment(s.ctx, name)
		require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), name)
		_, err = s.Deliverables(s.ctx, name, "test")
		require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err), name)
	}
}

func TestKeysThatWereSeenAreNeverSoldAgain(t *testing.T) {
	s := newShop(t)
	s.product("keyed", fromPool("p"))
	s.stock("p", "SEEN", "UNSEEN")
	seen, unseen := s.sell("keyed"), s.sell("keyed")
	for _, id := range []string{seen, unseen} {
		_, err := s.Deliverables(s.ctx, id, "olivia")
		require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "there is nothing yet")
		_, err = s.Claim(s.ctx, id, nil)
		require.NoError(t, err)
	}
	found, err := s.Deliverables(s.ctx, seen, "olivia")
	require.NoError(t, err)
	require.Equal(t, []keyturn.Secret{"SEEN"}, found.Codes)
	require.Equal(t, []string{"olivia deliverables"}, reads[string](s, `SELECT by || ' ' || what FROM access_log`))
	for _, id := range []string{seen, unseen} {
		_, err := s.Resolve(s.ctx, id, keyturn.Resolution{Action: keyturn.ActionRefund, By: "olivia"})
		require.NoError(t, err)
		_, err = s.Deliverables(s.ctx, id, "olivia")
		require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err), "it is given up")
	}
	pool, err := s.Stock().Pool(s.ctx, "p")
	require.NoError(t, err)
	require.Equal(t, int64(1), pool.Stock.Available)
	require.Equal(t, int64(1), pool.Stock.Quarantined)
}

func TestStepsAreToldOnceInWhateverOrderTheyCommit(t *testing.T) {
	s := newShop(t)
	s.product("hand", byHand)
	ids := s.order("O-1", lineOf("hand", 1), lineOf("hand", 1))
	hold := keyturn.Resolution{Action: keyturn.ActionHold, By: "olivia"}

	written, commit, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { // a step that is written first and committed last
		done <- s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(s.ctx, `
				WITH moved AS (UPDATE line_items SET status = 'OBTAINED', obtained_at = now(), version = version + 1
					WHERE fulfillment_id = $1 RETURNING id, version)
				INSERT INTO line_log (line_id, version, from_status, to_status, by)
					SELECT id, version, 'PENDING', 'OBTAINED', 'test' FROM moved`, ids[0])
			close(written)
			<-commit
			return err
		})
	}()
	<-written
	_, err := s.Resolve(s.ctx, ids[1], hold)
	require.NoError(t, err)
	first, seen, status, err := s.OrderEvents(s.ctx, "O-1", nil)
	require.NoError(t, err)
	require.Len(t, first, 1)
	require.Equal(t, ids[1], first[0].FulfillmentID)
	require.Equal(t, 1, first[0].Line)
	require.Equal(t, keyturn.OrderPartialCompleted, status)

	close(commit)
	require.NoError(t, <-done)
	second, seen, _, err := s.OrderEvents(s.ctx, "O-1", seen)
	require.NoError(t, err)
	require.Len(t, second, 1)
	require.Equal(t, ids[0], second[0].FulfillmentID)
	require.True(t, second[0].At.Before(first[0].At), "it was written earlier")
	third, _, _, err := s.OrderEvents(s.ctx, "O-1", seen)
	require.NoError(t, err)
	require.Empty(t, third)
	all, _, _, err := s.OrderEvents(s.ctx, "O-1", nil)
	require.NoError(t, err)
	require.Len(t, all, 2)
	s.exec(`DELETE FROM line_log WHERE to_status = 'OBTAINED'`) // it brought no key, which no order may stand for
	s.exec(`UPDATE line_items SET status = 'PENDING', obtained_at = NULL WHERE fulfillment_id = $1`, ids[0])
}

func TestRequestsAreShownWithoutWhomTheyWereFor(t *testing.T) {
	t.Parallel()
	h := personalData(storedCustomer{Customer: keyturn.Customer{
		Email: "ada@buyer.test", FirstName: "Al", LastName: "O'Brien & Søn", Phone: "+33 1 23", Country: "FR", ID: "c-1",
	}})
	for _, c := range []struct{ in, want string }{
		{
			`{"a": "ada@buyer.test", "b": ["x ADA@BUYER.TEST y"], "c": {"d": "Al"}, "e": "also", "n": 12345678901234567890}`,
			`{"a":"[redacted]","b":["x [redacted] y"],"c":{"d":"[redacted]"},"e":"also","n":12345678901234567890}`,
		},
		{
			`{"email": "somebody@else.test", "City": "Paris", "country": "FR"}`,
			`{"City":"[redacted]","country":"FR","email":"[redacted]"}`,
		},
		{`{"name": "O'Brien & Søn"}`, `{"name":"[redacted]"}`},
		{`who=ada%40buyer.test&phone=%2B33+1+23`, `who=[redacted]&phone=[redacted]`},
		{"not \xff JSON", "not \uFFFD JSON"},
		{`{"a": 1} {"email": "ada@buyer.test"}`, `{"a": 1} {"email": "[redacted]"}`},
		{``, ``},
	} {
		require.Equal(t, c.want, h.body([]byte(c.in)))
	}
	long := cut(strings.Repeat("é", shownBytes))
	require.LessOrEqual(t, len(long), shownBytes+len("…"))
	require.True(t, strings.HasSuffix(long, "é…"))
}
