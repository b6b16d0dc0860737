package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Figure is one gauge read from the database: its name without prefix, its label values in the order of the name's
// labels, and its value.
type Figure struct {
	Name   string
	Labels []string
	Value  float64
}

// figureHelp has the help text and the label names of each figure.
var figureHelp = map[string]struct {
	help   string
	labels []string
}{
	"lines_in_trouble": {
		"Lines that are retrying, waiting for stock, held or being cancelled, by status.",
		[]string{"status"},
	},
	"oldest_trouble_seconds":   {"Age of the oldest such line since its order was accepted.", nil},
	"relay_due":                {"Lines and outbox entries due for the relay.", nil},
	"relay_oldest_due_seconds": {"Age of the oldest due line or outbox entry.", nil},
	"calls_running":            {"Partner calls in progress, by source.", []string{"source"}},
	"lines_waiting_for_partner": {
		"Lines waiting for a partner's capacity or recovery.",
		[]string{"integration"},
	},
	"partner_down": {
		"1 while the breaker of a partner is open.",
		[]string{"integration"},
	},
	"alerts_open":         {"Open alerts by cause.", []string{"cause", "severity"}},
	"links":               {"Checkout links that can still sell, by status; counted to 100,000.", []string{"status"}},
	"payments":            {"Payments of checkout links that have not ended, by status.", []string{"status"}},
	"capture_due_seconds": {"Time until the next authorization must be captured or let go; absent without one.", nil},
	"pool_keys":           {"Keys of each pool by state.", []string{"pool", "state"}},
	"events_due": {
		"Events due to be sent to a webhook; counted to 100,000.",
		[]string{"webhook"},
	},
	"events_oldest_due_seconds": {
		"How long the oldest of them is due.",
		[]string{"webhook"},
	},
	"refunds_pending":       {"Pending refunds.", nil},
	"refund_oldest_seconds": {"Age of the oldest pending refund.", nil},
	"revocations_owed":      {"Cancellations that partners have not acknowledged.", nil},
	"audit_ok":              {"1 if the last audit found no violation.", nil},
	"audit_violations":      {"Violations found by the last audit.", nil},
	"audit_age_seconds":     {"Time since the last audit's snapshot.", nil},
	"audit_seconds":         {"Duration of the last audit.", nil},
}

// figures reads the database when Prometheus scrapes, and caches the result for a while.
type figures struct {
	read   func(context.Context) ([]Figure, error)
	logger *slog.Logger

	mu   sync.Mutex
	last []Figure
	at   time.Time
}

const (
	figuresLife    = 5 * time.Second
	figuresTimeout = 10 * time.Second
)

// Watch registers figures read from the database. read is called at most every five seconds.
func Watch(read func(context.Context) ([]Figure, error), logger *slog.Logger) {
	registry.MustRegister(&figures{read: read, logger: logger})
}

// Describe sends nothing, which makes the collector unchecked: the set of figures depends on the catalog.
func (f *figures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (f *figures) Collect(out chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.at) > figuresLife {
		ctx, cancel := context.WithTimeout(context.Background(), figuresTimeout)
		defer cancel()
		found, err := f.read(ctx)
		if err != nil {
			f.logger.Warn("the database's figures are missing in the metrics", "error", err)
			return
		}
		f.last, f.at = found, time.Now()
	}
	for _, g := range f.last {
		h, known := figureHelp[g.Name]
		if !known || len(h.labels) != len(g.Labels) {
			continue
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("keyturn_"+g.Name, h.help, h.labels, nil),
			prometheus.GaugeValue, g.Value, g.Labels...)
	}
}
