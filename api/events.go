package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

type (
	eventsInput struct {
		ID     string `path:"id" maxLength:"200"`
		Follow bool   `query:"follow" doc:"Keep the stream open after the order is final."`
	}
	streamOutput struct {
		Status int
		Body   func(huma.Context)
	}
)

const (
	pollEvents   = 500 * time.Millisecond
	heartbeat    = 15 * time.Second // proxies cut connections that are silent for a minute or so
	maxEventID   = 512              // a position that is written longer stands only at the end of a batch
	lastEventID  = "Last-Event-ID"
	retryStream  = 2 * time.Second
	streamWrites = 30 * time.Second // for one batch: a client that does not read is let go
)

func (a *API) eventRoute(tag string) {
	register(a, operation{of: ofOrder, Operation: huma.Operation{
		OperationID: "followOrder", Method: http.MethodGet, Path: "/v1/orders/{id}/events", Tags: []string{tag},
		Summary: "Stream an order's status changes",
		Description: "Server-sent events named `status`, starting with the order's first change. A reconnection with " +
			"`Last-Event-ID` resumes where it stopped. The stream ends when the order is final.",
		Security:   anyOf(ScopeOrdersRead, ScopeOps),
		Parameters: []*huma.Param{{Name: lastEventID, In: "header", Schema: &huma.Schema{Type: huma.TypeString}}},
		Responses: map[string]*huma.Response{
			"200": {
				Description: "An event stream",
				Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: a.schema(keyturn.StatusEvent{})}},
			},
			"204": {Description: "The order is final and there are no new events: do not reconnect"},
		},
	}}, a.followOrder)
}

func (a *API) followOrder(ctx context.Context, c *call, in *eventsInput) (*streamOutput, error) {
	seen, ok := readPosition(c.r.Header.Get(lastEventID))
	if !ok {
		return nil, badRequest(lastEventID, "must be the ID of an event of this stream")
	}
	steps, now, status, err := a.DB.OrderEvents(ctx, in.ID, seen)
	if err != nil {
		return nil, err
	}
	if seen != nil && len(steps) == 0 && !in.Follow && a.final(ctx, in.ID, status) {
		return &streamOutput{
			Status: http.StatusNoContent,
			Body:   func(ctx huma.Context) { ctx.SetStatus(http.StatusNoContent) },
		}, nil
	}
	return &streamOutput{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "text/event-stream")
		ctx.SetHeader("X-Accel-Buffering", "no") // or nginx would keep events for itself
		ctx.SetStatus(http.StatusOK)
		c.readUntil(time.Time{})
		f := follower{api: a, call: c, order: in.ID, follow: in.Follow, seen: seen}
		f.run(ctx.Context(), steps, now, status)
	}}, nil
}

// final says that nothing more will happen to the order by itself.
func (a *API) final(ctx context.Context, orderID string, s keyturn.OrderStatus) bool {
	if !s.Final() {
		return false
	}
	final, err := a.DB.OrderFinal(ctx, orderID)
	return final && err == nil
}

// follower writes one stream.
type follower struct {
	api    *API
	call   *call
	order  string
	follow bool
	seen   db.Progress
}

func (f *follower) run(ctx context.Context, steps []db.OrderStep, now db.Progress, status keyturn.OrderStatus) {
	tick := time.NewTicker(pollEvents)
	defer tick.Stop()
	wrote := time.Now()
	if !f.write(fmt.Appendf(nil, "retry: %d\n\n", retryStream.Milliseconds())) {
		return
	}
	for {
		if len(steps) > 0 {
			wrote = time.Now()
			if !f.write(f.batch(steps, now)) {
				return
			}
		}
		if !f.follow && f.api.final(ctx, f.order, status) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-f.api.closing:
			return
		case <-tick.C:
		}
		if time.Since(wrote) > heartbeat {
			wrote = time.Now()
			if !f.write([]byte(": still here\n\n")) {
				return
			}
		}
		if _, err := f.api.client(f.call.r); keyturn.KindOf(err) == keyturn.KindUnauthorized {
			return // the token was withdrawn meanwhile
		}
		var err error
		var next db.Progress
		if steps, next, status, err = f.api.DB.OrderEvents(ctx, f.order, f.seen); err != nil {
			steps, status = nil, "" // the next look may succeed
			continue
		}
		now = next
	}
}

// batch writes steps as events. Each has the position after it as its id.
func (f *follower) batch(steps []db.OrderStep, now db.Progress) []byte {
	var out bytes.Buffer
	at := make(db.Progress, len(now))
	copy(at, f.seen)
	for i, s := range steps {
		at[s.Line] = max(at[s.Line], s.Version)
		if i == len(steps)-1 {
			at = now
		}
		if len(now) <= maxEventID/4 || i == len(steps)-1 {
			fmt.Fprintf(&out, "id: %s\n", writePosition(at))
		}
		data, _ := json.Marshal(s.StatusEvent) //nolint:errchkjson // strings, numbers and times
		fmt.Fprintf(&out, "event: status\ndata: %s\n\n", data)
	}
	f.seen = now
	return out.Bytes()
}

func (f *follower) write(b []byte) bool {
	f.call.writeUntil(time.Now().Add(streamWrites))
	if _, err := f.call.w.Write(b); err != nil {
		return false
	}
	return http.NewResponseController(f.call.w).Flush() == nil
}

// writePosition writes the versions of an order's lines, runs of equal ones together: "3,1*4,2".
func writePosition(p db.Progress) string {
	var b strings.Builder
	for i := 0; i < len(p); {
		run := 1
		for i+run < len(p) && p[i+run] == p[i] {
			run++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(p[i]))
		if run > 1 {
			b.WriteString("*" + strconv.Itoa(run))
		}
		i += run
	}
	return b.String()
}

// readPosition reads what writePosition wrote. The empty text is the beginning.
func readPosition(text string) (db.Progress, bool) {
	if text == "" {
		return nil, true
	}
	var p db.Progress
	for part := range strings.SplitSeq(text, ",") {
		version, run, repeated := strings.Cut(part, "*")
		v, err := strconv.ParseUint(version, 10, 31)
		n := uint64(1)
		if err == nil && repeated {
			n, err = strconv.ParseUint(run, 10, 16)
		}
		if err != nil || n == 0 || uint64(len(p))+n > keyturn.MaxLines {
			return nil, false
		}
		p = append(p, slices.Repeat([]int{int(v)}, int(n))...)
	}
	return p, true
}
