package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
)

// deadEventsEnv is how many events are due to a receiver that never answers: make test/webhooks has 100,000.
const deadEventsEnv = "KEYTURN_DEAD_EVENTS"

// toldShop is a shop that is told of its orders, beside a receiver that never answers.
type toldShop struct {
	*stack
	fine, dead *testkit.Receiver
	done, told []time.Duration // of an order to its delivery; of an event to its receiver
}

// tellingShop has events due to its dead receiver.
func tellingShop(t *testing.T, due int) *toldShop {
	t.Helper()
	s := &toldShop{stack: begin(t, options{})}
	keys := make([]string, 400)
	for i := range keys {
		keys[i] = fmt.Sprintf("KEY-%d", i)
	}
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("games"))}, keys...)
	s.fine, s.dead = s.webhook("fine", "*"), s.webhook("dead", "*")
	s.dead.Answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	first := s.order("game")
	s.await(first, keyturn.OrderCompleted)
	_, _, err := s.db.NumberEvents(t.Context())
	require.NoError(t, err)
	s.exec(`
		INSERT INTO events (type, about, facts, number, public_id, body, created_at)
		SELECT e.type, e.about, e.facts, e.number - g, gen_random_uuid(), e.body, now() - interval '1 hour'
		FROM (SELECT * FROM events WHERE type = 'order.created') e, generate_series(1, $1) g`, due)
	s.exec(`
		INSERT INTO event_deliveries (event_id, webhook, next_at, created_at)
		SELECT id, 'dead', created_at, created_at FROM events WHERE created_at < now() - interval '30 min' ORDER BY id`)
	s.exec(`ANALYZE`)
	s.sends()
	return s
}

// sellSome sells, one order after another, and waits until the receiver has heard of each.
func (s *toldShop) sellSome(n int) {
	s.t.Helper()
	for range n {
		a := s.order("game")
		s.await(a, keyturn.OrderCompleted)
		s.eventually(func() (bool, string) {
			return s.count(`SELECT count(*) FROM event_deliveries d JOIN events e ON e.id = d.event_id
				WHERE d.webhook = 'fine' AND d.status = 'DELIVERED' AND e.about = $1 AND e.type = 'order.completed'`,
				a.Order.ID) == 1, "the receiver has not heard of the order"
		})
		for _, row := range s.texts(`
			SELECT extract(epoch FROM l.delivered_at - o.created_at) || ' ' || extract(epoch FROM d.tried_at - e.created_at)
			FROM orders o JOIN line_items l ON l.order_id = o.id JOIN events e ON e.about = o.id
				JOIN event_deliveries d ON d.event_id = e.id
			WHERE o.id = $1 AND d.webhook = 'fine' AND e.type = 'order.completed'`, a.Order.ID) {
			var done, told float64
			_, err := fmt.Sscan(row, &done, &told)
			require.NoError(s.t, err)
			s.done = append(s.done, time.Duration(done*float64(time.Second)))
			s.told = append(s.told, time.Duration(told*float64(time.Second)))
		}
	}
}

func quantile(all []time.Duration, q float64) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[int(q*float64(len(all)-1))].Round(100 * time.Microsecond)
}

// A receiver that never answers, to which any number of events are due, costs neither orders nor other receivers
// anything: two shops sell in turns, one with a full queue, and one without.
func TestADeadReceiverCostsOthersNothing(t *testing.T) {
	t.Parallel()
	due, rounds, each := 2000, 2, 5
	if n, err := strconv.Atoi(os.Getenv(deadEventsEnv)); err == nil {
		due, rounds, each = n, 20, 10
	}
	empty, full := tellingShop(t, 0), tellingShop(t, due)
	require.GreaterOrEqual(t, full.count(`SELECT count(*) FROM event_deliveries WHERE webhook = 'dead'`), due)
	for round := range rounds {
		shops := []*toldShop{empty, full}
		if round%2 == 1 {
			slices.Reverse(shops)
		}
		for _, s := range shops {
			s.sellSome(each)
		}
	}
	for name, s := range map[string]*toldShop{"nothing": empty, strconv.Itoa(due) + " events": full} {
		t.Logf("%s due to the dead receiver: an order is delivered after %v, 95 %% after %v; another receiver told after "+
			"%v, 95 %% after %v", name, quantile(s.done, 0.5), quantile(s.done, 0.95), quantile(s.told, 0.5), quantile(s.told, 0.95))
	}
	const noise = 150 * time.Millisecond // of a machine that does other things, too
	require.Less(t, quantile(full.done, 0.5), 2*quantile(empty.done, 0.5)+noise)
	require.Less(t, quantile(full.told, 0.5), 2*quantile(empty.told, 0.5)+noise)
	require.LessOrEqual(t, full.count(`SELECT count(*) FROM event_deliveries WHERE webhook = 'dead' AND attempts > 0`), 20,
		"as many as it may get at once, then probes")
}
