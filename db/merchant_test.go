package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A merchant's lists read what they show, however much others have, and however long ago the merchant sold.
func TestAMerchantsListsReadNothingOfOthers(t *testing.T) {
	s := crowd(t, func(s *shop) {
		s.order("m43:sold", lineOf("byhand", 1))
		s.claimed(s.order("m43:waits", lineOf("game", 1))[0])
	})
	s.reopened()
	s.claimed(s.order("m42:waits", lineOf("game", 1))[0])
	s.exec(`UPDATE orders SET created_at = '2001-01-01' WHERE id LIKE 'm42:%'`)
	s.exec(`ANALYZE`)
	require.NoError(t, s.Close())
	var steps []step
	for prefix, shown := range map[keyturn.Prefix]int{"m42:": 1, "m43:": 20, "m4:": 0} {
		orders := func(status keyturn.OrderStatus) func() {
			return func() {
				page, err := s.Orders(s.ctx, prefix, status, "", 20)
				require.NoError(t, err)
				require.Len(t, page.Orders, shown)
			}
		}
		alerts := func(all bool) func() {
			return func() {
				found, err := s.Alerts(s.ctx, prefix, all, "", 0, 20)
				require.NoError(t, err)
				require.Len(t, found, shown)
			}
		}
		steps = append(steps,
			step{"orders of " + string(prefix), orders("")},
			step{"orders in trouble of " + string(prefix), orders(keyturn.OrderPartialCompleted)},
			step{"alerts of " + string(prefix), alerts(true)},
			step{"open alerts of " + string(prefix), alerts(false)},
		)
	}
	require.Empty(t, s.readMuch(t, steps))
}
