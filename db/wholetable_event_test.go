package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// manyEvents are events that were sent, that are due, that wait for their next try, and that have no number yet. Those
// that were written last are due first: a plan that goes through a table stops once it has found what is taken, and
// would not be seen if that stood at the beginning.
const manyEvents = `
	INSERT INTO events (type, about, facts, number, public_id, body)
	SELECT type, about, facts, number + g, gen_random_uuid(), body FROM events, generate_series(1, 30000) g;
	INSERT INTO event_deliveries (event_id, webhook, status, attempts, tried_at, next_at, done_at, digest)
	SELECT id, 'shop', CASE id % 3 WHEN 0 THEN 'DELIVERED' ELSE 'PENDING' END, 1, now(),
		CASE id % 3 WHEN 1 THEN now() - id * interval '1 ms' WHEN 2 THEN now() + interval '1 h' END,
		CASE id % 3 WHEN 0 THEN now() END, sha256(convert_to(body, 'UTF8'))
	FROM events WHERE id > 1 ORDER BY id;
	INSERT INTO events (type, about, facts) SELECT type, about, facts FROM events, generate_series(1, 20000) WHERE id = 1;
	ANALYZE`

// However many events are kept, are due or have no number: whoever sends, lists or pulls them takes some from the
// front. A step tells its own.
func TestNobodyReadsAllEvents(t *testing.T) {
	t.Parallel()
	s := emptyShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 30)...)
	s.receiver("shop", "order.*")
	s.receiver("idle", "order.*")
	s.subscribe("pull", "order.canceled")
	s.sell("game")
	_, _, err := s.NumberEvents(s.ctx)
	require.NoError(t, err)
	s.exec(`DELETE FROM event_deliveries WHERE webhook = 'idle'`)
	s.exec(manyEvents)
	first, last := read[int64](s, `SELECT min(number) FROM events`), read[int64](s, `SELECT max(number) FROM events`)
	waits := read[int64](s, `SELECT max(id) FROM event_deliveries WHERE next_at > now()`)
	require.NoError(t, s.Close())
	ok := func(err error) { t.Helper(); require.NoError(t, err) }
	var sending Sending
	var page keyturn.EventPage
	book := func(failed keyturn.Kind) {
		for _, e := range sending.Events {
			ok(s.BookSent(s.ctx, SendResult{Webhook: "shop", Event: e, Failed: failed}))
		}
	}
	require.Empty(t, s.readMuch(t, []step{
		{"sell", func() { f := s.sell("game"); s.claimed(f); s.delivered(f) }},
		{"who has something due", func() {
			due, err := s.DueWebhooks(s.ctx)
			ok(err)
			require.Equal(t, []string{"shop"}, due)
		}},
		{"take", func() { sending, err = s.TakeEvents(s.ctx, "shop", 10); ok(err); require.Len(t, sending.Events, 10) }},
		{"book", func() { book("") }},
		{"take again", func() { sending, err = s.TakeEvents(s.ctx, "shop", 1); ok(err) }},
		{"book a failure", func() { book(keyturn.KindUnavailable) }},
		{"take nothing", func() { _, err = s.TakeEvents(s.ctx, "idle", 10); ok(err) }},
		{"test", func() { sending, err = s.BeginWebhookTest(s.ctx, "shop"); ok(err); book("") }},
		{"list", func() {
			for _, id := range []string{"shop", "idle"} {
				for _, status := range []keyturn.EventStatus{
					"", keyturn.EventPending, keyturn.EventDelivered, keyturn.EventFailed,
				} {
					_, err = s.EventDeliveries(s.ctx, id, status, 0, 20)
					ok(err)
				}
			}
		}},
		{"send once more", func() { ok(s.RetryEvent(s.ctx, "shop", waits)) }},
		{"send a minute once more", func() {
			_, err = s.ReplayEvents(s.ctx, "shop", "key", keyturn.ReplayEvents{From: time.Now().Add(time.Minute)})
			ok(err)
		}},
		{"pull", func() {
			page, err = s.PullEvents(s.ctx, "shop", last-100, nil, 100)
			ok(err)
			require.Len(t, page.Events, 100)
		}},
		{"pull what is rare", func() {
			page, err = s.PullEvents(s.ctx, "pull", first, nil, 100)
			ok(err)
			require.Empty(t, page.Events)
		}},
		{"number", func() {
			n, more, err := s.NumberEvents(s.ctx)
			ok(err)
			require.Equal(t, numberAtOnce, n)
			require.True(t, more)
		}},
		{"watch the clock", func() { ok(s.WatchEvents(s.ctx)) }},
	}))
}
