package metrics

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// Temporal returns a handler that exports the metrics of Temporal's client and worker under their own names.
func Temporal() client.MetricsHandler { return temporalHandler{store: temporalMetrics} }

var temporalMetrics = func() *temporalStore {
	s := &temporalStore{all: map[string]prometheus.Metric{}}
	registry.MustRegister(s)
	return s
}()

// temporalStore keeps one metric per name and set of tags, because the client tags a name inconsistently.
type temporalStore struct {
	mu  sync.RWMutex
	all map[string]prometheus.Metric
}

// Describe sends nothing, which makes the collector unchecked: see temporalStore.
func (s *temporalStore) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *temporalStore) Collect(out chan<- prometheus.Metric) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.all {
		out <- m
	}
}

func metricOf[M prometheus.Metric](s *temporalStore, name string, tags map[string]string, make func() M) M {
	key := keyOf(name, tags)
	s.mu.RLock()
	found, ok := s.all[key].(M)
	s.mu.RUnlock()
	if ok {
		return found
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.all[key].(M); ok {
		return found
	}
	m := make()
	if _, other := s.all[key]; !other { // a name is of one kind; another kind would only count for itself
		s.all[key] = m
	}
	return m
}

func keyOf(name string, tags map[string]string) string {
	var b strings.Builder
	b.WriteString(name)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		b.WriteString("\x00" + k + "\x00" + tags[k])
	}
	return b.String()
}

type temporalHandler struct {
	store *temporalStore
	tags  map[string]string
}

// WithTags implements client.MetricsHandler.
func (h temporalHandler) WithTags(tags map[string]string) client.MetricsHandler {
	all := maps.Clone(h.tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	return temporalHandler{h.store, all}
}

const temporalHelp = "Of Temporal's client; see its documentation."

// Counter implements client.MetricsHandler.
func (h temporalHandler) Counter(name string) client.MetricsCounter {
	return temporalCounter{metricOf(h.store, name, h.tags, func() prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name + "_total", Help: temporalHelp, ConstLabels: h.tags})
	})}
}

// Gauge implements client.MetricsHandler.
func (h temporalHandler) Gauge(name string) client.MetricsGauge {
	return temporalGauge{metricOf(h.store, name, h.tags, func() prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: temporalHelp, ConstLabels: h.tags})
	})}
}

// Timer implements client.MetricsHandler.
func (h temporalHandler) Timer(name string) client.MetricsTimer {
	return temporalTimer{metricOf(h.store, name, h.tags, func() prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name + "_seconds", Help: temporalHelp, ConstLabels: h.tags,
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		})
	})}
}

type (
	temporalCounter struct{ prometheus.Counter }
	temporalGauge   struct{ prometheus.Gauge }
	temporalTimer   struct{ prometheus.Histogram }
)

// Inc implements client.MetricsCounter.
func (c temporalCounter) Inc(n int64) { c.Add(float64(n)) }

// Update implements client.MetricsGauge.
func (g temporalGauge) Update(v float64) { g.Set(v) }

// Record implements client.MetricsTimer.
func (t temporalTimer) Record(d time.Duration) { t.Observe(d.Seconds()) }
