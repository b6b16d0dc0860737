// Package notify sends events to webhooks: the order notifications of shops. It numbers what has happened and sends
// what is due, signed, in any number of processes. Nothing of it ever holds up an order.
package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
)

// Sender sends events to webhooks. DB, Caller and Logger are required.
type Sender struct {
	DB     *db.DB
	Caller *endpoint.Caller
	Logger *slog.Logger
	Every  time.Duration // how often it is looked for what is due; default 1 s

	mu     sync.Mutex
	served map[string]bool // webhooks that this process sends to at the moment
	wg     sync.WaitGroup
}

// bookTimeout bounds what is left to do when the process is to end: to book what a receiver has answered.
const bookTimeout = 10 * time.Second

// Run goes on until ctx ends, then lets what is being sent come to its end.
func (s *Sender) Run(ctx context.Context) {
	if s.Every == 0 {
		s.Every = time.Second
	}
	s.served = map[string]bool{}
	defer s.wg.Wait()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.Every):
		}
	}
}

// look numbers what has happened and serves each webhook for which something is due. What fails of it is for the next
// look.
func (s *Sender) look(ctx context.Context) {
	for more := true; more; {
		var err error
		if _, more, err = s.DB.NumberEvents(ctx); err != nil {
			s.warn(ctx, "events are not numbered", "", err)
			break
		}
	}
	due, err := s.DB.DueWebhooks(ctx)
	if err != nil {
		s.warn(ctx, "webhooks are not looked at", "", err)
		return
	}
	for _, id := range due {
		s.mu.Lock()
		busy := s.served[id]
		s.served[id] = true
		s.mu.Unlock()
		if !busy {
			s.wg.Go(func() { s.serve(ctx, id) })
		}
	}
}

// serve sends what is due for one webhook until nothing is: no other webhook waits for it.
func (s *Sender) serve(ctx context.Context, id string) {
	defer func() {
		s.mu.Lock()
		delete(s.served, id)
		s.mu.Unlock()
	}()
	var running sync.WaitGroup
	defer running.Wait()
	under := 0
	done := make(chan struct{}, maxConcurrent)
	for ctx.Err() == nil {
		sending, err := s.DB.TakeEvents(ctx, id, maxConcurrent-under)
		if err != nil {
			s.warn(ctx, "events are not taken", id, err)
			s.rest(ctx, err)
			return
		}
		for _, e := range sending.Events {
			under++
			running.Go(func() {
				s.send(ctx, sending, e)
				done <- struct{}{}
			})
		}
		if under == 0 {
			return
		}
		<-done // the next one goes out as soon as there is room
		for under--; len(done) > 0; under-- {
			<-done
		}
	}
}

// rest waits after a failure that is there until somebody mends it: it need not be met at every look.
func (s *Sender) rest(ctx context.Context, err error) {
	if keyturn.KindOf(err) != keyturn.KindConfiguration {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(restTime):
	}
}

const restTime = 30 * time.Second

// maxConcurrent is the most that a webhook allows.
const maxConcurrent = 100

// send sends one event and books what became of it. A request that is under way goes on when ctx ends: its outcome
// would be unknown otherwise.
func (s *Sender) send(ctx context.Context, sending db.Sending, e db.SendingEvent) {
	ctx = context.WithoutCancel(ctx)
	r := s.Send(ctx, sending, e)
	ctx, cancel := context.WithTimeout(ctx, bookTimeout)
	defer cancel()
	if err := s.DB.BookSent(ctx, r); err != nil { // its lease ends, and it is sent again
		s.warn(ctx, "an answer is not booked", sending.Webhook.ID, err)
	}
	count(r)
}

func (s *Sender) warn(ctx context.Context, what, webhook string, err error) {
	if ctx.Err() == nil {
		s.Logger.Warn("sending events failed and goes on", "what", what, "webhook", webhook,
			"kind", string(keyturn.KindOf(err)), "error", err)
	}
}
