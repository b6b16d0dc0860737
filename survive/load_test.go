package survive_test

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// load is an order system: it places seeded orders over HTTP, repeats one that was not acknowledged under the same
// idempotency key, and keeps a journal of those that were, flushed to the disk before it goes on.
type load struct {
	s       *site
	patient bool // repeat for as long as it takes; otherwise one attempt has to do

	mu        sync.Mutex
	journal   *os.File
	acked     map[string]keyturn.Order
	repeats   atomic.Int64
	abandoned atomic.Int64
}

const clients = 4

func newLoad(s *site, patient bool) *load {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "acknowledged.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = f.Close() })
	return &load{s: s, patient: patient, journal: f, acked: map[string]keyturn.Order{}}
}

// orderMix is what the shop sells: mostly keys of the pool, and something of everything.
func orderMix(rng *rand.Rand, n int, prefix string) []keyturn.Order {
	kinds := []keyturn.LineItem{
		{ProductID: "editor", Quantity: 1},
		{ProductID: "editor", Quantity: 3},
		{ProductID: "editor", Quantity: 1},
		{ProductID: "studio", Quantity: 1},
		{ProductID: "studio", Quantity: 2},
		{ProductID: "wallpaper", Quantity: 1},
		{ProductID: "render", Quantity: 1},
		{ProductID: "sluggish", Quantity: 1},
		{ProductID: "ghost", Quantity: 1},
		{ProductID: "lost", Quantity: 1},
	}
	orders := make([]keyturn.Order, n)
	for i := range orders {
		id := fmt.Sprintf("%s-%04d", prefix, i)
		o := keyturn.Order{
			ID: id, Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay-" + id},
			Customer: keyturn.Customer{
				ID: fmt.Sprintf("user-%d", i%20), Email: strings.ToLower(id) + "@buyer.test",
				Country: "FR", Locale: "en-GB", FirstName: "Jean", LastName: "Dupont",
			},
		}
		lines := 1
		if rng.Intn(4) == 0 {
			lines = 2 + rng.Intn(2)
		}
		for range lines {
			line := kinds[rng.Intn(len(kinds))]
			if i < len(kinds) && len(o.LineItems) == 0 {
				line = kinds[i] // none is missing, however short the load
			}
			line.GrossPrice = fmt.Sprintf("%d.99", 1+rng.Intn(50))
			o.LineItems = append(o.LineItems, line)
		}
		orders[i] = o
	}
	return orders
}

// place places the orders, spread over a time, and returns when every one is acknowledged or abandoned.
func (l *load) place(orders []keyturn.Order, over time.Duration) {
	queue := make(chan keyturn.Order)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for o := range queue {
				l.one(o)
			}
		})
	}
	start := time.Now()
	for i, o := range orders {
		time.Sleep(time.Until(start.Add(over * time.Duration(i) / time.Duration(len(orders)))))
		queue <- o
	}
	close(queue)
	wg.Wait()
}

func (l *load) one(o keyturn.Order) {
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		v, _, err := l.s.api.CreateOrder(ctx, o.ID, o)
		cancel()
		if err == nil {
			l.acknowledge(v, o)
			return
		}
		kind := keyturn.KindOf(err)
		// conflict: the attempt before is still under way
		if kind != keyturn.KindUnavailable && kind != keyturn.KindConflict {
			l.s.t.Errorf("order %s was refused: %v", o.ID, err)
			return
		}
		if !l.patient || try == 200 {
			l.abandoned.Add(1)
			l.s.t.Errorf("order %s was not accepted: %v", o.ID, err)
			return
		}
		l.repeats.Add(1)
		time.Sleep(200 * time.Millisecond)
	}
}

// acknowledged is how many orders were acknowledged.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *load) acknowledge(v keyturn.OrderView, o keyturn.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.ID != o.ID || len(v.LineItems) != len(o.LineItems) {
		l.s.t.Errorf("the answer for order %s is another order's: %+v", o.ID, v)
	}
	_, err := fmt.Fprintln(l.journal, o.ID)
	if err == nil {
		err = l.journal.Sync()
	}
	if err != nil {
		l.s.t.Errorf("write the journal: %v", err)
	}
	l.acked[o.ID] = o
}
