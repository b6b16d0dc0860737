package audit

import (
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// webhooks has a receiver and a subscription be told of everything.
func (s *shop) webhooks() {
	for _, w := range []keyturn.Webhook{
		{ID: "shop", URL: "https://shop.test", Events: []string{"*"}}, {ID: "pull", Events: []string{"*"}},
	} {
		w, err := s.PrepareWebhook(s.ctx, w.WithDefaults())
		s.ok(err)
		_, _, err = s.PutWebhook(s.ctx, w)
		s.ok(err)
	}
}

// tells numbers what has happened and sends it, all but two events: of one a try has failed, the other is not tried.
func (s *shop) tells() {
	_, more, err := s.NumberEvents(s.ctx)
	s.ok(err)
	require.False(s.t, more)
	for range 1000 {
		sending, err := s.TakeEvents(s.ctx, "shop", 1)
		s.ok(err)
		require.Len(s.t, sending.Events, 1)
		r := db.SendResult{Webhook: "shop", Event: sending.Events[0], Status: 204}
		if s.read(`SELECT count(*) FROM event_deliveries WHERE next_at <= now()`) == "1" {
			r.Status, r.Failed = 503, keyturn.KindUnavailable
			s.ok(s.BookSent(s.ctx, r))
			break
		}
		s.ok(s.BookSent(s.ctx, r))
	}
	// all of it was a while ago
	s.exec(`UPDATE webhooks SET updated_at = updated_at - interval '1 hour'`)
}
