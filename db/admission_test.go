package db

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestGateLetsPass(t *testing.T) {
	t.Parallel()
	now := time.Now()
	past, soon := now.Add(-time.Second), now.Add(time.Second)
	limits := keyturn.Limits{MaxConcurrent: 4, PerSecond: 10}
	for name, c := range map[string]struct {
		load admission
		want bool
		wait time.Duration
	}{
		"nothing going on":             {admission{}, true, 0},
		"the last free call":           {admission{Running: 3, Recent: 9}, true, 0},
		"too many at once":             {admission{Running: 4, Recent: 4}, false, 100 * time.Millisecond},
		"too many in a second":         {admission{Recent: 10}, false, 100 * time.Millisecond},
		"others in front, and no room": {admission{Recent: 10, Older: 20}, false, 2100 * time.Millisecond},
		"slow calls, and others wait":  {admission{Running: 4, Recent: 4, Older: 9}, false, time.Second},
		"fast ones, and others wait":   {admission{Running: 1, Recent: 10, Older: 9}, false, time.Second},
		"room for those in front":      {admission{Running: 2, Recent: 2, Older: 1}, true, 0},
		"room only for those in front": {admission{Running: 2, Recent: 2, Older: 2}, false, 100 * time.Millisecond},
		"down":                         {admission{OpenedAt: &past, NextTryAt: &soon}, false, sleepWhileDown},
		"time for a probe":             {admission{OpenedAt: &past, NextTryAt: &past}, true, 0},
		"a probe under way": {
			admission{OpenedAt: &past, NextTryAt: &past, ProbeUntil: &soon},
			false,
			sleepWhileDown,
		},
		"a probe that died":         {admission{OpenedAt: &past, NextTryAt: &past, ProbeUntil: &past}, true, 0},
		"not the oldest":            {admission{OpenedAt: &past, NextTryAt: &past, Older: 1}, false, sleepWhileDown},
		"a person wants it":         {admission{OpenedAt: &past, NextTryAt: &soon, Older: 9, AtOnce: true}, true, 0},
		"a person, above the limit": {admission{Running: 4, Recent: 4, AtOnce: true}, false, 100 * time.Millisecond},
		"asked to wait":             {admission{NextTryAt: &soon}, false, 1100 * time.Millisecond},
		"asked to wait until now":   {admission{NextTryAt: &past}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.load.Now = now
			ok, wait := c.load.decide(limits)
			require.Equal(t, c.want, ok)
			require.InDelta(t, c.wait, wait, float64(time.Millisecond))
		})
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	for perSecond, want := range map[float64]struct {
		calls int
		in    time.Duration
	}{
		50: {50, time.Second}, 2.5: {2, time.Second}, 1: {1, time.Second}, 0.5: {1, 2 * time.Second},
		0.01: {1, 100 * time.Second},
	} {
		calls, in := keyturn.Limits{PerSecond: perSecond}.Rate()
		require.Equal(t, want.calls, calls, perSecond)
		require.Equal(t, want.in, in, perSecond)
	}
}

// limit puts the product app with a partner of these limits into the catalog.
func (s *shop) limit(limits keyturn.Limits) {
	s.t.Helper()
	s.product("app", fromEndpoint("acme"))
	_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{ID: "acme", BaseURL: "https://partner.test", Limits: limits})
	require.NoError(s.t, err)
}

func (s *shop) sellMany(n int) []string {
	s.t.Helper()
	fs := make([]string, n)
	for i := range fs {
		fs[i] = s.sell("app")
	}
	return fs
}

// parked requires that the line waits for its turn, and gives what was said.
func (s *shop) parked(f string) (keyturn.Next, time.Duration) {
	s.t.Helper()
	call, next, wait, err := s.BeginCall(s.ctx, f, callTimeout, renderCall)
	require.Nil(s.t, call)
	if wait > 0 {
		wantKind(s.t, err, keyturn.KindRateLimited)
	} else {
		require.NoError(s.t, err)
	}
	return next, wait
}

func TestNoMoreCallsAtOnceThanAllowed(t *testing.T) {
	s := newShop(t)
	s.limit(keyturn.Limits{MaxConcurrent: 5})
	fs := s.sellMany(30)
	var mu sync.Mutex
	var calls []*Call
	for _, err := range atOnce(len(fs), func(i int) error {
		call, _, _, err := s.BeginCall(s.ctx, fs[i], callTimeout, renderCall)
		if call != nil {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, call)
		}
		return err
	}) {
		if err != nil {
			wantKind(t, err, keyturn.KindRateLimited)
		}
	}
	require.Len(t, calls, 5)
	require.Equal(t, 25, read[int](s, `SELECT count(*) FROM partner_queue`))
	require.Equal(t, 30, read[int](s, `SELECT count(*) FROM line_items WHERE status = 'PENDING'`),
		"who waits for a turn is in no trouble")
	require.Zero(t, read[int](s, `SELECT count(*) FROM alerts`))

	s.finishCall(calls[0].FulfillmentID, answered(calls[0], "KEY-1"))
	free := 0
	for _, f := range fs {
		if s.status(f) == keyturn.LinePending {
			if call, _, _, _ := s.BeginCall(s.ctx, f, callTimeout, renderCall); call != nil {
				free++
			}
		}
	}
	require.Equal(t, 1, free)
}

// However calls are made, however late they are noticed to be over: no stretch of a second sees more of them begin.
func TestNoMoreCallsInAnySecondThanAllowed(t *testing.T) {
	s := newShop(t)
	const perSecond = 8
	s.limit(keyturn.Limits{PerSecond: perSecond})
	fs := s.sellMany(40)
	var mu sync.Mutex
	var sent []time.Time
	work := make(chan string, len(fs))
	for _, f := range fs {
		work <- f
	}
	stop := time.Now().Add(3500 * time.Millisecond)
	atOnce(6, func(int) error {
		for time.Now().Before(stop) {
			f := <-work
			call, _, wait, _ := s.BeginCall(s.ctx, f, callTimeout, renderCall)
			if call == nil {
				work <- f
				time.Sleep(min(wait, 100*time.Millisecond))
				continue
			}
			mu.Lock()
			sent = append(sent, time.Now())
			mu.Unlock()
			if _, err := s.FinishCall(s.ctx, f, answered(call, "KEY-"+f), nil); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(sent, time.Time.Compare)
	for i := perSecond; i < len(sent); i++ {
		require.GreaterOrEqual(t, sent[i].Sub(sent[i-perSecond]), time.Second, "call %d", i)
	}
	require.Greater(t, len(sent), perSecond, "the rate is used, too")
}

// A younger line does not overtake those that wait, beyond what is free anyway.
func TestOldestFirst(t *testing.T) {
	s := newShop(t)
	s.limit(keyturn.Limits{MaxConcurrent: 1})
	fs := s.sellMany(4)
	call := s.beginCall(fs[0])
	for _, f := range fs[1:] {
		_, wait := s.parked(f)
		require.Positive(t, wait)
	}
	s.finishCall(fs[0], answered(call, "KEY-0"))
	_, wait := s.parked(fs[3])
	require.Positive(t, wait)
	s.parked(fs[2])
	call = s.beginCall(fs[1])
	s.finishCall(fs[1], answered(call, "KEY-1"))
	s.beginCall(fs[2])
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM partner_queue`), "who calls leaves the queue")
}

// A call whose process died counts until its deadline and no longer.
func TestLostCallsGiveTheirPlaceBack(t *testing.T) {
	s := newShop(t)
	s.limit(keyturn.Limits{MaxConcurrent: 1, PerSecond: 1})
	fs := s.sellMany(2)
	s.beginCall(fs[0])
	s.parked(fs[1])
	s.later(callTime - time.Second)
	s.parked(fs[1])
	s.later(2 * time.Second)
	s.beginCall(fs[1])
}
