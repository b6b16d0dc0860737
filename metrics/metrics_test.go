package metrics_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/metrics"
)

func scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	require.Equal(t, 200, w.Code, string(text))
	return string(text)
}

func TestEverythingIsServed(t *testing.T) {
	metrics.OrderAccepted()
	metrics.Attempt("endpoint/acme", "unknown", 300*time.Millisecond)
	metrics.Email(nil)
	metrics.Email(errors.New("no"))
	metrics.Refund("sandbox", nil)
	metrics.Request("POST /v1/orders", 201, time.Millisecond)
	metrics.ProcessorCall("sandbox", "capture", errors.New("no"), 300*time.Millisecond)
	metrics.ProviderEvent("sandbox", "booked")
	asked := 0
	failing := false
	metrics.Watch(func(context.Context) ([]metrics.Figure, error) {
		asked++
		if failing {
			return nil, errors.New("the database is away")
		}
		return []metrics.Figure{
			{Name: "pool_keys", Labels: []string{"p", "available"}, Value: 7},
			{Name: "refunds_pending", Value: 2},
			{Name: "payments", Labels: []string{"AUTHORIZED"}, Value: 3},
			{Name: "nobody_knows_this", Value: 1},
		}, nil
	}, slog.New(slog.DiscardHandler))

	h := metrics.Temporal().WithTags(map[string]string{"task_queue": "q"})
	h.Counter("keyturn_signals_ignored").Inc(2)
	// other tags, the same name
	h.WithTags(map[string]string{"activity_type": "CallEndpoint"}).Counter("keyturn_signals_ignored").Inc(1)
	h.Gauge("temporal_slots").Update(5)
	h.Timer("temporal_latency").Record(20 * time.Millisecond)
	h.Counter("keyturn_signals_ignored").Inc(1)

	text := scrape(t)
	for _, want := range []string{
		"keyturn_orders_accepted_total 1\n",
		`version="` + keyturn.Version + `"} 1`,
		`keyturn_attempts_total{outcome="unknown",source="endpoint/acme"} 1`,
		`keyturn_attempt_seconds_bucket{source="endpoint/acme",le="0.5"} 1`,
		`keyturn_emails_total{outcome="failed"} 1`, `keyturn_emails_total{outcome="success"} 1`,
		`keyturn_refunds_total{outcome="success",provider="sandbox"} 1`,
		`keyturn_http_seconds_count{route="POST /v1/orders",status="201"} 1`,
		`keyturn_processor_seconds_count{call="capture",outcome="failed",processor="sandbox"} 1`,
		`keyturn_provider_events_total{processor="sandbox",result="booked"} 1`, `keyturn_payments{status="AUTHORIZED"} 3`,
		`keyturn_pool_keys{pool="p",state="available"} 7`, "keyturn_refunds_pending 2\n",
		`keyturn_signals_ignored_total{task_queue="q"} 3`,
		`keyturn_signals_ignored_total{activity_type="CallEndpoint",task_queue="q"} 1`,
		`temporal_slots{task_queue="q"} 5`, `temporal_latency_seconds_count{task_queue="q"} 1`,
		"go_goroutines",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "nobody_knows_this")
	scrape(t)
	require.Equal(t, 1, asked, "two scrapers cost the database one look")
}
