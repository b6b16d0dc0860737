package api_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// stream reads events until the stream ends or n have come, and gives them with their ids.
func (b *bench) stream(t *testing.T, path, lastEventID string, n int) (events []string, ids []string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+devToken)
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for (n == 0 || len(events) < n) && lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, id)
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			events = append(events, data)
		}
	}
	return events, ids, res.StatusCode
}

func TestAnOrderIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	id := b.order(t, "ORD-1", "acme-pro")
	done := make(chan error, 1)
	var steps []keyturn.StatusEvent
	go func() {
		done <- b.client().FollowOrder(t.Context(), "ORD-1", func(e keyturn.StatusEvent) error {
			steps = append(steps, e)
			return nil
		})
	}()
	time.Sleep(time.Second) // the stream is open and there is nothing to tell yet
	b.deliver(t, id)
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.Fail(t, "the stream of a finished order did not end")
	}
	require.Len(t, steps, 2)
	require.Equal(t, keyturn.LinePending, steps[0].From)
	require.Equal(t, keyturn.LineObtained, steps[0].To)
	require.Equal(t, keyturn.LineDelivered, steps[1].To)
	require.Equal(t, keyturn.OrderCompleted, steps[1].OrderStatus)
	require.Equal(t, id, steps[1].FulfillmentID)

	path := "/v1/orders/ORD-1/events"
	all, ids, status := b.stream(t, path, "", 0)
	require.Equal(t, 200, status)
	require.Len(t, all, 2)
	require.Len(t, ids, 2)
	rest, _, _ := b.stream(t, path, ids[0], 0)
	require.Equal(t, all[1:], rest, "a reconnection goes on where it was")
	_, _, status = b.stream(t, path, ids[1], 0)
	require.Equal(t, 204, status, "nothing more will come")

	stop := errors.New("enough")
	require.ErrorIs(t, b.client().FollowOrder(t.Context(), "ORD-1", func(keyturn.StatusEvent) error { return stop }), stop)
	b.play(t, []scenario{
		{"unknown order", "GET", "/v1/orders/ORD-0/events", nil, "", 404, nil, nil},
		{"a forged position", "GET", path, []string{"Last-Event-ID", "x"}, "", 400, []string{"Last-Event-ID"}, nil},
		{
			"a position of too many lines", "GET", path,
			[]string{"Last-Event-ID", "1*60000"},
			"", 400,
			[]string{"Last-Event-ID"},
			nil,
		},
		{"a position of another order", "GET", path, []string{"Last-Event-ID", "9,9,9"}, "", 204, nil, nil},
	})
}

func TestFollowGoesOnAfterTheEndAndEndsWithTheServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	b.deliver(t, b.order(t, "ORD-1", "acme-pro"))
	down := make(chan error, 1)
	opened := time.Now()
	time.AfterFunc(1500*time.Millisecond, func() {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		down <- b.Config.Shutdown(ctx)
	})
	events, _, _ := b.stream(t, "/v1/orders/ORD-1/events?follow=true", "", 0)
	require.Len(t, events, 2)
	require.Greater(t, time.Since(opened), 1400*time.Millisecond, "the stream did not end with the order")
	require.NoError(t, <-down)
}

func TestAnOrderThatIsToBeCancelledIsNotFinal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	id := b.order(t, "ORD-1", "acme-pro")
	b.deliver(t, id)
	b.must(t, "POST", "/v1/orders/ORD-1/cancellation", "")
	time.AfterFunc(time.Second, func() { _, _ = b.db.Review(t.Context(), id) }) // as the relay does
	events, _, _ := b.stream(t, "/v1/orders/ORD-1/events", "", 3)
	require.Len(t, events, 3)
	require.Contains(t, events[2], `"to":"CANCELING"`)
}

func TestAnOrderOfManyLinesIsFollowed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(t, "PUT", "/v1/products/acme-pro", `{"name": "By hand", "sources": [{"type": "manual"}]}`)
	line := `{"productId": "acme-pro", "quantity": 1, "grossPrice": "1.00"},`
	b.must(t, "POST", "/v1/orders", strings.Replace(goodOrder, `[{`, "["+strings.Repeat(line, 2999)+"{", 1),
		"Idempotency-Key", "k")
	var v keyturn.OrderView
	b.must(t, "GET", "/v1/orders/ORD-1", "").into(t, &v)
	for i := range 5 {
		_, err := b.db.Resolve(t.Context(), v.LineItems[i*500].FulfillmentID,
			keyturn.Resolution{Action: keyturn.ActionHold, By: "test"})
		require.NoError(t, err)
	}
	events, ids, _ := b.stream(t, "/v1/orders/ORD-1/events", "", 5)
	require.Len(t, events, 5)
	require.Len(t, ids, 1, "a long position stands at the end of its batch")
	require.Less(t, len(ids[0]), 200)
	_, err := b.db.Resolve(t.Context(), v.LineItems[7].FulfillmentID,
		keyturn.Resolution{Action: keyturn.ActionHold, By: "test"})
	require.NoError(t, err)
	events, _, _ = b.stream(t, "/v1/orders/ORD-1/events", ids[0], 1)
	require.Contains(t, events[0], v.LineItems[7].FulfillmentID)
}
