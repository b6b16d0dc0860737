package api_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
)

// pull asks for what comes after a number.
func (b *bench) pull(t *testing.T, query string, after int64) (ids []string, next int64) {
	t.Helper()
	var page keyturn.EventPage
	b.must(t, "GET", "/v1/webhooks/dev/events?after="+strconv.FormatInt(after, 10)+query, "").into(t, &page)
	for _, e := range page.Events {
		var event struct {
			Data struct {
				OrderID string `json:"orderId"`
			} `json:"data"`
		}
		require.NoError(t, json.Unmarshal(e.Event, &event))
		require.Greater(t, e.Number, after)
		ids, after = append(ids, event.Data.OrderID), e.Number
	}
	require.GreaterOrEqual(t, page.Next, after)
	return ids, page.Next
}

// noteSQL writes an event as a step's trigger does.
const noteSQL = `SELECT note_event('order.created', $1, '{"status": "PENDING", "version": 1}')`

// writeSlowly writes an event in a transaction of its own, and commits it, or not, a moment later.
func writeSlowly(x *sql.DB, id string, commit bool) error {
	tx, err := x.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec(noteSQL, id); err != nil {
		return err
	}
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	if !commit {
		return nil
	}
	return tx.Commit()
}

// A puller gets each event once, also those whose transaction is open for long, or committed after younger ones; of
// those that were undone it hears nothing.
func TestAPullerMissesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(t, "PUT", "/v1/webhooks/dev", `{"events": ["order.*"]}`)
	x, err := sql.Open("postgres", b.dsn)
	require.NoError(t, err)
	defer x.Close()
	ctx := context.Background()
	early, err := x.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = early.Exec(noteSQL, "early")
	require.NoError(t, err)

	var mu sync.Mutex
	var want []string
	var writers, numbering errgroup.Group
	for w := range 4 {
		writers.Go(func() error {
			for i := range 40 {
				id := fmt.Sprintf("%d-%d", w, i)
				switch err := writeSlowly(x, id, i%8 != 7); {
				case err != nil:
					return err
				case i%8 != 7:
					mu.Lock()
					want = append(want, id)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	stop := make(chan struct{})
	for range 2 {
		numbering.Go(func() error {
			for {
				if _, _, err := b.db.NumberEvents(ctx); err != nil {
					return err
				}
				select {
				case <-stop:
					return nil
				case <-time.After(3 * time.Millisecond):
				}
			}
		})
	}
	var got []string
	var after int64
	pull := func() {
		ids, next := b.pull(t, "&limit=7", after)
		got, after = append(got, ids...), next
	}
	written := make(chan error)
	go func() { written <- writers.Wait() }()
	for writing := true; writing; {
		select {
		case err := <-written:
			require.NoError(t, err)
			writing = false
		default:
			pull()
		}
	}
	require.NoError(t, early.Commit())
	want = append(want, "early")
	for deadline := time.Now().Add(time.Minute); len(got) < len(want) && time.Now().Before(deadline); {
		pull()
	}
	close(stop)
	require.NoError(t, numbering.Wait())
	pull()
	require.Equal(t, "early", got[len(got)-1])
	slices.Sort(want)
	require.Equal(t, want, slices.Sorted(slices.Values(got)))
	again, next := b.pull(t, "", after)
	require.Empty(t, again)
	require.Equal(t, after, next)
}

// A page of a pull has what its patterns name; what cannot be pulled says why.
func TestPullingByHTTP(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	b.must(t, "PUT", "/v1/webhooks/dev", `{"events": ["order.*", "line.delivered"]}`)
	b.deliver(t, b.order(t, "ORD-1", "acme-pro"))
	_, _, err := b.db.NumberEvents(t.Context())
	require.NoError(t, err)
	all, next := b.pull(t, "", 0)
	require.Equal(t, []string{"ORD-1", "ORD-1", "ORD-1"}, all)
	first, after := b.pull(t, "&limit=1", 0)
	require.Len(t, first, 1)
	rest, last := b.pull(t, "", after)
	require.Len(t, rest, 2)
	require.Equal(t, next, last)
	lines, _ := b.pull(t, "&types=line.*,order.canceled", 0)
	require.Len(t, lines, 1)
	reader := b.token(t, "reader", api.ScopeOrdersRead)
	b.play(t, []scenario{
		{
			"a token that may read orders", "GET", "/v1/webhooks/dev/events",
			[]string{"Authorization", reader},
			"", 200,
			[]string{`"type":"order.completed"`, `"id":"evt_`},
			[]string{"KEY-1", "@"},
		},
		{"its webhook", "GET", "/v1/webhooks/dev", []string{"Authorization", reader}, "", 403, nil, nil},
		{"no webhook", "GET", "/v1/webhooks/none/events", nil, "", 404, []string{"none"}, nil},
		{
			"a pattern of nothing", "GET", "/v1/webhooks/dev/events?types=order.*,order.eaten", nil, "", 422,
			[]string{"query.types[1]", "order.completed"},
			nil,
		},
		{"a limit of nothing", "GET", "/v1/webhooks/dev/events?limit=0", nil, "", 400, []string{"limit"}, nil},
		{"switched off", "PUT", "/v1/webhooks/dev", nil, `{"events": ["order.*"], "enabled": false}`, 200, nil, nil},
		{"of one that is switched off", "GET", "/v1/webhooks/dev/events", nil, "", 409, []string{"enabled: true"}, nil},
	})
}

// What is asked of receivers is refused with a reason where it makes no sense, and done once under one key.
func TestOperationsOnWebhooks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1")
	b.must(t, "PUT", "/v1/webhooks/dev", `{"events": ["*"]}`)
	made := b.must(t, "PUT", "/v1/webhooks/shop", `{"url": "https://shop.test/hooks", "events": ["order.*"]}`)
	require.Regexp(t, `"newSecret":"whsec_`, made.body)
	require.NotContains(t, b.must(t, "PUT", "/v1/webhooks/shop",
		`{"url": "https://shop.test/hooks", "events": ["order.*"]}`).body, "whsec_")
	b.order(t, "ORD-1", "acme-pro")
	_, _, err := b.db.NumberEvents(t.Context())
	require.NoError(t, err)
	from := `{"from": "` + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"}`
	key := []string{"Idempotency-Key", "again"}
	for range 2 {
		require.Contains(t, b.must(t, "POST", "/v1/webhooks/shop/replay", from, key...).body, `"events":1`)
	}
	var page keyturn.EventDeliveryPage
	b.must(t, "GET", "/v1/webhooks/shop/deliveries", "").into(t, &page)
	require.Len(t, page.Deliveries, 2, "one of it, and one of its replay")
	b.play(t, []scenario{
		{"replay what is pulled", "POST", "/v1/webhooks/dev/replay", nil, from, 409, []string{"/v1/webhooks/dev/events"}, nil},
		{"replay since when", "POST", "/v1/webhooks/shop/replay", nil, `{}`, 422, []string{"from"}, nil},
		{
			"replay backwards", "POST", "/v1/webhooks/shop/replay", nil,
			`{"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}`, 422,
			[]string{`"location":"to"`},
			nil,
		},
		{"rotate what is pulled", "POST", "/v1/webhooks/dev/rotation", nil, "", 409, []string{"no url"}, nil},
		{"no such status", "GET", "/v1/webhooks/shop/deliveries?status=LOST", nil, "", 422, []string{"PENDING"}, nil},
		{"no such delivery", "POST", "/v1/webhooks/shop/deliveries/99/retry", nil, "", 404, []string{"99"}, nil},
		{
			"a weak secret", "PUT", "/v1/webhooks/weak", nil,
			`{"url": "https://shop.test", "events": ["*"], "secret": {"value": "whsec_dG9vIHNob3J0"}}`, 422,
			[]string{"24 to 64"},
			[]string{"dG9vIHNob3J0"},
		},
		{
			"twice the same pattern", "PUT", "/v1/webhooks/twice", nil, `{"events": ["order.*", "order.*"]}`, 422,
			[]string{"events[1]"},
			nil,
		},
		{
			"a secret to pull with", "PUT", "/v1/webhooks/pull", nil, `{"events": ["*"], "auth": {"type": "basic"}}`, 422,
			[]string{"url"},
			nil,
		},
	})
}
