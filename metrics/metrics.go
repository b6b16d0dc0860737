// Package metrics counts the work of a process and serves the counts to Prometheus, together with figures of the
// database and the metrics of Temporal's client. Names begin with keyturn_. Labels are statuses, kinds, routes and
// names of the catalog, never IDs of orders, customers or keys.
package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keyturn.dev/keyturn"
)

var (
	registry = prometheus.NewRegistry()
	factory  = promauto.With(registry)

	orders = factory.NewCounter(prometheus.CounterOpts{
		Name: "keyturn_orders_accepted_total",
		Help: "Orders accepted by this process.",
	})
	attempts = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_attempts_total",
		Help: "Partner calls by source and outcome: success, failed, or unknown (the partner may have acted).",
	}, []string{"source", "outcome"})
	seconds = factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "keyturn_attempt_seconds", Help: "Response time of partners.",
		Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30},
	}, []string{"source"})
	emails = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_emails_total",
		Help: "E-mails handed to the mail server, by outcome.",
	}, []string{"outcome"})
	refunds = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_refunds_total",
		Help: "Refunds requested from payment providers, by outcome.",
	}, []string{"provider", "outcome"})
	processors = factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "keyturn_processor_seconds", Help: "Response time of payment providers that sell, by call and outcome.",
		Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"processor", "call", "outcome"})
	events = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_provider_events_total",
		Help: "Messages of payment providers, by what became of them: booked, known (it came before), foreign (of no " +
			"payment of ours), refused (not from the provider) or failed (it is sent again).",
	}, []string{"processor", "result"})
	sent = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_events_sent_total",
		Help: "Tries to send an event to a webhook, by outcome: delivered, or the kind of failure.",
	}, []string{"webhook", "outcome"})
	bounces = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_bounce_reports_total",
		Help: "Reports about e-mails, by inlet, by what became of them (booked, known, probe, forged, foreign, ignored, " +
			"refused, failed), and of booked ones by kind.",
	}, []string{"via", "result", "kind"})
	requests = factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "keyturn_http_seconds", Help: "Duration of API requests by route and status.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"route", "status"})
)

func init() { //nolint:gochecknoinits // what every Go process shows
	b := keyturn.CurrentBuild()
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "keyturn_build_info", Help: "1, labelled with what this process was built from.",
	}, []string{"version", "commit", "go"}).WithLabelValues(b.Version, b.Commit, b.Go).Set(1)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// OrderAccepted counts an order that was stored for the first time.
func OrderAccepted() { orders.Inc() }

// Attempt counts a call to a partner. outcome is success, failed or unknown.
func Attempt(source string, outcome keyturn.AttemptOutcome, took time.Duration) {
	attempts.WithLabelValues(source, string(outcome)).Inc()
	seconds.WithLabelValues(source).Observe(took.Seconds())
}

// Email counts an attempt to hand an e-mail to the mail server.
func Email(err error) { emails.WithLabelValues(outcomeOf(err)).Inc() }

// Refund counts a refund requested from a payment provider.
func Refund(provider string, err error) { refunds.WithLabelValues(provider, outcomeOf(err)).Inc() }

// ProcessorCall counts a call of a payment provider that sells.
func ProcessorCall(processor, call string, err error, took time.Duration) {
	processors.WithLabelValues(processor, call, outcomeOf(err)).Observe(took.Seconds())
}

// ProviderEvent counts a message of a payment provider.
func ProviderEvent(processor, result string) { events.WithLabelValues(processor, result).Inc() }

// EventSent counts a try to send an event to a webhook.
func EventSent(webhook, outcome string) { sent.WithLabelValues(webhook, outcome).Inc() }

// Bounce counts a report about an e-mail. kind is empty unless it was booked.
func Bounce(via, result, kind string) { bounces.WithLabelValues(via, result, kind).Inc() }

// Request counts an API request by the pattern of its route.
func Request(route string, status int, took time.Duration) {
	requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

func outcomeOf(err error) string {
	if err != nil {
		return string(keyturn.AttemptFailed)
	}
	return string(keyturn.AttemptSuccess)
}

// Handler serves all registered metrics.
func Handler() http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		Timeout:       20 * time.Second,
	})
}

// Serve serves /metrics on an address until ctx ends, and the health of the process: /livez, and /readyz by ready. If
// it cannot listen it only logs the error: missing metrics must not stop a process that sells.
func Serve(ctx context.Context, addr string, ready func(context.Context) keyturn.Health, logger *slog.Logger) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", Handler())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter,
		_ *http.Request,
	) {
		answer(w, keyturn.Health{Status: keyturn.HealthOK})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, ready(r.Context())) })
	server := &http.Server{
		Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	logger.Info("metrics are served", "address", addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		logger.Warn("metrics are not served: set KEYTURN_METRICS_ADDR to an address that is free, or to off", "address", addr,
			"error", err)
	}
}

func answer(w http.ResponseWriter, h keyturn.Health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if h.Status != keyturn.HealthOK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h)
}
