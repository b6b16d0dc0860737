package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
)

// BenchmarkSalesDuringAudit compares what four tills sell while nobody audits, while gentle audits follow each other
// without a pause, and while others do, in turns. Sales and audit share the machine's processors, so an audit costs at
// most the one that it uses.
//
//	bin/with go test ./audit -run none -bench SalesDuringAudit -benchtime 1x -v
func BenchmarkSalesDuringAudit(b *testing.B) {
	const lines = 300_000
	ctx := context.Background()
	dsn := testkit.Postgres(b, "keyturn/audit sales", func(dsn string) error {
		if _, err := db.Migrate(ctx, dsn); err != nil {
			return err
		}
		s := open(b, dsn)
		defer s.close()
		for _, statement := range manyLines {
			s.exec(statement, lines)
		}
		s.exec(`VACUUM (ANALYZE)`)
		return nil
	})
	s := open(b, dsn)
	defer s.close()
	s.catalog()
	s.tillKeys(150_000)
	for b.Loop() {
		for range 3 {
			for _, audits := range []string{"none", "gentle", "audit"} {
				during, stop := context.WithCancel(ctx)
				var over sync.WaitGroup
				if audits != "none" {
					over.Go(func() {
						for during.Err() == nil {
							_, err := Run(during, Evidence{DB: s.DB, Gentle: audits == "gentle"})
							require.True(b, err == nil || during.Err() != nil, err)
						}
					})
				}
				rate, median, p99 := s.tills(4, 15*time.Second)
				stop()
				over.Wait()
				b.Logf("%6s: %4.0f lines/s, an order takes %s, 99 of 100 at most %s", audits, rate, median, p99)
			}
		}
	}
}

func (s *shop) tillKeys(n int) {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("TILL-KEY-%06d", i)
	}
	_, err := s.Import(s.ctx, "games", strings.NewReader(strings.Join(keys, "\n")), "test", false)
	s.ok(err)
}

var tillOrders atomic.Int64

// tills sell for a while: an order is accepted, gets its key, and its e-mail is booked as sent.
func (s *shop) tills(n int, d time.Duration) (rate float64, median, p99 time.Duration) {
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for range n {
		wg.Go(func() {
			for time.Now().Before(end) {
				start := time.Now()
				f := s.order(fmt.Sprintf("till-%d", tillOrders.Add(1)),
					keyturn.LineItem{ProductID: "game", Quantity: 1, GrossPrice: "1.00"})[0]
				_, err := s.Claim(s.ctx, f, render)
				s.ok(err)
				out, _, _, err := s.BeginDelivery(s.ctx, f, render)
				s.ok(err)
				_, err = s.FinishDelivery(s.ctx, f, out, nil, false)
				s.ok(err)
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return float64(len(took)) / d.Seconds(), took[len(took)/2].Round(10 * time.Microsecond),
		took[len(took)*99/100].Round(10 * time.Microsecond)
}
