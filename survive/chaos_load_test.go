//go:build chaos

package survive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
)

// shoppers are a checkout and an order system: they capture money, place orders until each is acknowledged, and keep a
// journal, flushed to the disk before a request leaves and after its answer came.
type shoppers struct {
	l       *lab
	busy    atomic.Int64 // requests under way
	repeats atomic.Int64
	next    atomic.Int64

	mu      sync.Mutex
	journal *os.File
	placed  []sentOrder
}

// sentOrder is an order that was placed, and when it was acknowledged last.
type sentOrder struct {
	order keyturn.Order
	at    time.Time
}

const (
	shopping     = 4 // at once
	labCustomers = 100
)

func newShoppers(l *lab) *shoppers {
	l.t.Helper()
	f, err := os.OpenFile(filepath.Join(l.dir, "orders.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { _ = f.Close() })
	return &shoppers{l: l, journal: f}
}

// labMix is what the shop sells: mostly keys of the pool, something of everything, and much that ends in a refund.
var labMix = []keyturn.LineItem{
	{ProductID: "editor", Quantity: 1},
	{ProductID: "editor", Quantity: 3},
	{ProductID: "studio", Quantity: 1},
	{ProductID: "studio", Quantity: 2},
	{ProductID: "wallpaper", Quantity: 1},
	{ProductID: "render", Quantity: 1},
	{ProductID: "sluggish", Quantity: 1},
	{ProductID: "ghost", Quantity: 1},
	{ProductID: "lost", Quantity: 1},
	{ProductID: "soldout", Quantity: 1},
	{ProductID: "soldout", Quantity: 1},
	{ProductID: "soldout", Quantity: 1},
}

func (s *shoppers) draw(rng *rand.Rand) keyturn.Order {
	n := s.next.Add(1)
	id := fmt.Sprintf("CHAOS-%05d", n)
	o := keyturn.Order{
		ID: id, Currency: "EUR", Payment: keyturn.Payment{Provider: "till", Reference: "pay-" + id},
		Customer: keyturn.Customer{
			ID: fmt.Sprintf("user-%d", n%labCustomers), Email: strings.ToLower(id) + canaryDomain, Country: "FR",
			Locale: "en-GB", FirstName: canaryFirst, LastName: canaryLast, Street: canaryStreet,
		},
	}
	if rng.Intn(4) == 0 {
		o.Payment.Provider = "sandbox"
	}
	if rng.Intn(12) == 0 {
		o.Payment.Reference += "-refund-fails-2"
	}
	for range 1 + rng.Intn(3)/2 {
		line := labMix[rng.Intn(len(labMix))]
		line.GrossPrice = fmt.Sprintf("%d.99", 1+rng.Intn(50))
		o.LineItems = append(o.LineItems, line)
	}
	return o
}

// shop goes on until stop is closed; what is begun then is finished. It places some orders in any case.
func (s *shoppers) shop(stop <-chan struct{}, lane int) {
	var wg sync.WaitGroup
	for i := range shopping {
		rng := s.l.rng(100 + 10*lane + i)
		wg.Go(func() {
			for {
				s.place(s.draw(rng))
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(400+rng.Intn(1000)) * time.Millisecond):
				}
			}
		})
	}
	wg.Wait()
}

func (s *shoppers) place(o keyturn.Order) {
	if o.Payment.Provider == "till" {
		s.capture(o)
	}
	s.send(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.placed = append(s.placed, sentOrder{o, time.Now()})
}

func total(o keyturn.Order) keyturn.Money {
	sum := keyturn.Money{Currency: o.Currency}
	for _, line := range o.LineItems {
		price, err := keyturn.ParseMoney(line.GrossPrice, o.Currency)
		if err != nil {
			panic(err)
		}
		sum.Minor += price.Minor
	}
	return sum
}

// capture repeats until the provider has the money.
func (s *shoppers) capture(o keyturn.Order) {
	body, err := json.Marshal(map[string]string{
		"reference": o.Payment.Reference, "orderId": o.ID,
		"amount": total(o).String(), "currency": o.Currency,
	})
	require.NoError(s.l.t, err)
	for range 600 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost,
			fmt.Sprintf("http://127.0.0.1:%d/captures", s.l.ports.payment), bytes.NewReader(body))
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
			if err == nil && resp.StatusCode == http.StatusOK {
				cancel()
				return
			}
		}
		cancel()
		time.Sleep(100 * time.Millisecond)
	}
	s.l.t.Errorf("the money of %s was not captured", o.ID)
}

// send repeats the same request until it is acknowledged.
func (s *shoppers) send(o keyturn.Order) {
	entry := audit.Submission{Key: o.ID, OrderID: o.ID, AmountMinor: total(o).Minor, Currency: o.Currency}
	for range 600 {
		entry.At, entry.Status, entry.Answered = time.Now(), 0, ""
		s.write(entry)
		s.busy.Add(1)
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		v, _, err := s.l.api.CreateOrder(ctx, o.ID, o)
		cancel()
		s.busy.Add(-1)
		switch kind := keyturn.KindOf(err); kind {
		case "":
			entry.At, entry.Status, entry.Answered = time.Now(), http.StatusCreated, v.ID
			s.write(entry)
			return
		case keyturn.KindUnavailable, keyturn.KindConflict: // conflict: the attempt before is still under way
		default:
			s.l.t.Errorf("order %s was refused: %v", o.ID, err)
			return
		}
		s.repeats.Add(1)
		time.Sleep(150 * time.Millisecond)
	}
	s.l.t.Errorf("order %s was never acknowledged", o.ID)
}

func (s *shoppers) write(e audit.Submission) {
	text, err := json.Marshal(e)
	require.NoError(s.l.t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.journal.Write(append(text, '\n'))
	if err == nil {
		err = s.journal.Sync()
	}
	if err != nil {
		s.l.t.Errorf("write the journal: %v", err)
	}
}
