package db

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// BenchmarkLine measures what the transactions of a line that goes well cost, called as the API and the worker call
// them: CPU microseconds of this process and of PostgreSQL, and round trips, each per line. Read these and not the time
// per operation, which says little on a machine that does other things too.
//
//	bin/with go test ./db -run - -bench Line -benchtime 3000x
func BenchmarkLine(b *testing.B) {
	s := openShop(b)
	s.product("game", fromPool("p"))
	s.product("app", fromEndpoint("acme"))
	_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{
		ID: "acme", BaseURL: "https://acme.test",
		Limits: keyturn.Limits{PerSecond: 100_000, MaxConcurrent: 100_000},
	})
	require.NoError(b, err)
	lease := phase{"lease", func(l *benchedLine) (err error) {
		l.delivery, _, _, err = s.BeginDelivery(s.ctx, l.fulfillment, neverRender)
		return err
	}}
	finish := phase{"finish", func(l *benchedLine) error {
		return second(s.FinishDelivery(s.ctx, l.fulfillment, l.delivery, nil, false))
	}}
	pool := func(b *testing.B) {
		s.stock("p", keysNamed("K"+uuid.NewString(), b.N)...)
		s.bench(b, "game", phase{"claim", func(l *benchedLine) error {
			return second(s.Claim(s.ctx, l.fulfillment, renderMail))
		}}, lease, finish)
	}
	b.Run("pool", pool)
	b.Run("endpoint", func(b *testing.B) {
		s.bench(b, "app", phase{"call", func(l *benchedLine) (err error) {
			l.call, _, _, err = s.BeginCall(s.ctx, l.fulfillment, callTimeout, renderCall)
			return err
		}}, phase{"answer", func(l *benchedLine) error {
			return second(s.FinishCall(s.ctx, l.fulfillment, answered(l.call, "KEY-"+l.fulfillment), renderMail))
		}}, lease, finish)
	})
	b.Run("pool with two webhooks", func(b *testing.B) {
		s.tellAll(b)
		pool(b)
		before := s.costs(b) // of what a worker does later
		for more := true; more; {
			var err error
			_, more, err = s.NumberEvents(s.ctx)
			require.NoError(b, err)
		}
		s.costs(b).since(before).report(b, "number")
	})
}

// tellAll has two webhooks that want everything. It is for what is measured last: once a webhook was there, triggers
// look for others.
func (s *shop) tellAll(b *testing.B) {
	for _, id := range []string{"shop", "books"} {
		w, err := s.PrepareWebhook(s.ctx, keyturn.Webhook{ID: id, URL: "https://a.test", Events: []string{"*"}}.WithDefaults())
		require.NoError(b, err)
		_, _, err = s.PutWebhook(s.ctx, w)
		require.NoError(b, err)
	}
}

type benchedLine struct {
	fulfillment string
	call        *Call
	delivery    *Delivery
}

// phase is one transaction of a line.
type phase struct {
	name string
	do   func(*benchedLine) error
}

// bench accepts b.N lines of the product, one an order, and takes them through their phases, one phase after the other,
// so that what is measured of each is long.
func (s *shop) bench(b *testing.B, product string, phases ...phase) {
	lines := make([]benchedLine, b.N)
	phases = append([]phase{{"accept", func(l *benchedLine) error {
		a, _, err := s.Accept(s.ctx, orderOf(uuid.NewString(), lineOf(product, 1)))
		if err == nil {
			l.fulfillment = a.Starts[0].FulfillmentID
		}
		return err
	}}}, phases...)
	total := s.costs(b)
	for _, p := range phases {
		before := s.costs(b)
		inParallel(b, lines, p.do)
		s.costs(b).since(before).report(b, p.name)
	}
	s.costs(b).since(total).report(b, "line")
}

// inParallel does as many at the same time as a busy worker.
func inParallel(b *testing.B, lines []benchedLine, do func(*benchedLine) error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(lines) {
					return
				}
				if err := do(&lines[i]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.False(b, b.Failed())
}

// costs is what was used so far.
type costs struct {
	app, postgres time.Duration
	trips         int64
}

func (s *shop) costs(b *testing.B) costs {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return costs{app: time.Duration(u.Utime.Nano() + u.Stime.Nano()), postgres: s.postgresCPU(b), trips: s.RoundTrips()}
}

func (c costs) since(before costs) costs {
	return costs{c.app - before.app, c.postgres - before.postgres, c.trips - before.trips}
}

func (c costs) report(b *testing.B, name string) {
	n := float64(b.N)
	b.ReportMetric(float64(c.app.Microseconds())/n, name+"-app-µs")
	b.ReportMetric(float64(c.postgres.Microseconds())/n, name+"-pg-µs")
	b.ReportMetric(float64(c.trips)/n, name+"-trips")
}

// postgresCPU is the CPU time of all of PostgreSQL's living processes. Linux only.
func (s *shop) postgresCPU(b *testing.B) time.Duration {
	backend := read[int](s, `SELECT pg_backend_pid()`)
	parent := func(pid string) string {
		text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if err != nil {
			return "" // it ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		return strings.Fields(rest)[1]
	}
	postmaster := parent(strconv.Itoa(backend))
	require.NotEmpty(b, postmaster)
	all, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(b, err)
	var sum time.Duration
	for _, dir := range all {
		if parent(filepath.Base(dir)) != postmaster {
			continue
		}
		var ns int64
		text, err := os.ReadFile(filepath.Join(dir, "schedstat")) // nanoseconds on a processor, and more
		if err == nil {
			_, err = fmt.Sscan(string(text), &ns)
		}
		require.NoError(b, err)
		sum += time.Duration(ns)
	}
	return sum
}
