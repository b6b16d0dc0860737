package emulator

import (
	"sync"
	"time"
)

// Stats are the figures of the calls to a partner. Token requests do not count.
type Stats struct {
	Requests      int           `json:"requests"`
	Concurrent    int           `json:"concurrent"`    // now
	MaxConcurrent int           `json:"maxConcurrent"` // ever at the same time
	PeakPerSecond int           `json:"peakPerSecond"` // most arrivals within any one second, not only whole ones
	PerSecond     []SecondCount `json:"perSecond"`     // arrivals by second of the clock; seconds without any are absent
}

// SecondCount is the number of arrivals in one second of the clock.
type SecondCount struct {
	Second int64 `json:"second"` // Unix time
	Count  int   `json:"count"`
}

const maxSeconds = 86_400 // a day of histogram

// gauge measures calls as they arrive and leave.
type gauge struct {
	mu     sync.Mutex
	stats  Stats
	recent []time.Time // arrivals of the last second
}

func (g *gauge) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.stats.Requests++
	g.stats.Concurrent++
	g.stats.MaxConcurrent = max(g.stats.MaxConcurrent, g.stats.Concurrent)

	old := 0
	for old < len(g.recent) && now.Sub(g.recent[old]) >= time.Second {
		old++
	}
	g.recent = append(g.recent[old:], now)
	g.stats.PeakPerSecond = max(g.stats.PeakPerSecond, len(g.recent))
	g.count(now.Unix())
}

func (g *gauge) count(second int64) {
	h := g.stats.PerSecond
	if n := len(h); n > 0 && h[n-1].Second == second {
		h[n-1].Count++
		return
	}
	if len(h) >= 2*maxSeconds {
		h = append([]SecondCount(nil), h[maxSeconds:]...)
	}
	g.stats.PerSecond = append(h, SecondCount{Second: second, Count: 1})
}

func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.Concurrent--
}

func (g *gauge) snapshot() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.PerSecond = append([]SecondCount{}, s.PerSecond...)
	return s
}

// reset forgets everything but the calls that are still inside.
func (g *gauge) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats = Stats{Concurrent: g.stats.Concurrent, MaxConcurrent: g.stats.Concurrent}
	g.recent = nil
}
