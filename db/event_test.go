package db

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// subscribe makes a subscription to pull, for all merchants' events.
func (s *shop) subscribe(id string, patterns ...string) {
	s.t.Helper()
	_, _, err := s.PutWebhook(s.ctx, keyturn.Webhook{ID: id, Events: patterns}.WithDefaults())
	require.NoError(s.t, err)
}

// events numbers what has happened and gives it, as receivers get it.
func (s *shop) events() (types []keyturn.EventType, bodies []map[string]any) {
	s.t.Helper()
	_, _, err := s.NumberEvents(s.ctx)
	require.NoError(s.t, err)
	for _, body := range reads[string](s, `SELECT body FROM events ORDER BY number`) {
		var e keyturn.Event
		require.NoError(s.t, json.Unmarshal([]byte(body), &e))
		types, bodies = append(types, e.Type), append(bodies, e.Data.(map[string]any))
	}
	return types, bodies
}

// Each step of a line tells once, by the fast path and by the general one, and versions grow.
func TestStepsWriteEvents(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("byhand", byHand)
	s.stock("p", "K-1")
	s.claimed(s.sell("game")) // nobody wants events yet
	s.subscribe("all", "*")
	f := s.sell("byhand")
	s.claimed(f)
	s.resolve(f, keyturn.ActionHold)
	s.resolve(f, keyturn.ActionRelease)
	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
	late := s.sell("game")
	s.claimed(late)
	s.stock("p", "K-2", "K-3")
	s.claimed(late)
	s.delivered(late)
	types, bodies := s.events()
	require.Subset(t, types, []keyturn.EventType{
		keyturn.EventOrderCreated, keyturn.EventLineHeld, keyturn.EventLineRetrying, keyturn.EventOrderPartiallyCompleted,
		keyturn.EventOrderCancelPending, keyturn.EventLineCanceled, keyturn.EventOrderCanceled,
		keyturn.EventRefundCompleted, keyturn.EventLineDelivered, keyturn.EventLicenseCreated,
		keyturn.EventAlertOpened, keyturn.EventAlertClosed, keyturn.EventOrderCompleted,
	})
	last := map[string]float64{}
	for i, body := range bodies {
		of := fmt.Sprint(strings.Cut(string(types[i]), "."))
		version, has := body["version"].(float64)
		if !has {
			continue
		}
		key := fmt.Sprint(of[:6], body["orderId"], body["fulfillmentId"])
		require.Greater(t, version, last[key], "%s %v", types[i], body)
		last[key] = version
	}
}

// A webhook gets what it wants: by type, by family, and of its merchant alone.
func TestEventsGoToWhoWantsThem(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2")
	off := false
	for _, w := range []keyturn.Webhook{
		{ID: "orders", URL: "https://a.test", Events: []string{"order.*"}},
		{ID: "one", URL: "https://a.test", Events: []string{"line.delivered", "line.*"}},
		{ID: "m42", URL: "https://a.test", Events: []string{"*"}, Prefix: "m42:"},
		{ID: "off", URL: "https://a.test", Events: []string{"*"}, Enabled: &off},
	} {
		w, err := s.PrepareWebhook(s.ctx, w.WithDefaults())
		require.NoError(t, err)
		require.NotEmpty(t, w.NewSecret)
		_, _, err = s.PutWebhook(s.ctx, w)
		require.NoError(t, err)
	}
	f := s.sell("game")
	s.claimed(f)
	s.delivered(f)
	types, _ := s.events()
	require.ElementsMatch(t, []keyturn.EventType{
		keyturn.EventOrderCreated, keyturn.EventLineObtained, keyturn.EventLineDelivered, keyturn.EventOrderCompleted,
	}, types)
	require.Equal(t, []string{"one 2", "orders 2"}, reads[string](s,
		`SELECT webhook || ' ' || count(*) FROM event_deliveries GROUP BY webhook ORDER BY 1`))

	in := orderOf("m42:1", lineOf("game", 1))
	_, _, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	s.events()
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM event_deliveries WHERE webhook = 'm42'`))

	_, _, err = s.PutWebhook(s.ctx, keyturn.Webhook{
		ID: "m42", URL: "https://a.test", Events: []string{"*"}, Prefix: "m42:", Enabled: &off,
	}.WithDefaults())
	require.NoError(t, err)
	require.Zero(t, read[int](s, `SELECT count(*) FROM webhook_types WHERE webhook = 'm42'`), "switched off, it wants nothing")
}

// An event whose transaction is open gets a larger number than all that were committed before it: whoever pulls misses
// none.
func TestNumbersFollowCommits(t *testing.T) {
	s := newShop(t)
	s.subscribe("all", "*")
	note := func(q sqlx.ExecerContext, id string) {
		_, err := q.ExecContext(s.ctx, `INSERT INTO events (type, about, facts) VALUES ('webhook.test', '',
			json_build_object('webhook', CAST($1 AS text)))`, id)
		require.NoError(t, err)
	}
	open, err := s.pg.BeginTxx(s.ctx, nil)
	require.NoError(t, err)
	note(open, "early")
	done, err := s.pg.BeginTxx(s.ctx, nil)
	require.NoError(t, err)
	note(done, "late")
	require.NoError(t, done.Commit())
	n, _, err := s.NumberEvents(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	seen := read[int64](s, `SELECT max(number) FROM events`)
	require.NoError(t, open.Commit())
	s.events()
	require.Equal(t, []string{`{"webhook" : "early"}`}, reads[string](s, `SELECT facts FROM events WHERE number > $1`, seen))
	require.Greater(t, seen, time.Now().Add(-time.Hour).UnixMicro(), "also after a restore, numbers grow")
}

// What only the clock decides is told once.
func TestLicencesThatExpireAreTold(t *testing.T) {
	s := newShop(t)
	s.subscribe("all", "license.*")
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	f := s.sell("game")
	s.claimed(f)
	s.delivered(f)
	s.exec(`UPDATE licenses SET expires_at = now()`)
	for range 2 {
		require.NoError(t, s.WatchEvents(s.ctx))
	}
	types, bodies := s.events()
	require.Equal(t, []keyturn.EventType{keyturn.EventLicenseCreated, keyturn.EventLicenseExpired}, types)
	require.Equal(t, "Expired", bodies[1]["status"])
	require.Equal(t, f, bodies[1]["licenseId"])
	s.exec(`UPDATE licenses SET expires_at = NULL`)
}

// Pools and partners are told of by their alerts, and a pool that sold its last key by itself.
func TestPoolsAreTold(t *testing.T) {
	s := newShop(t)
	s.subscribe("all", "pool.*")
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "low", Threshold: 2})
	require.NoError(t, err)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	f := s.sell("game")
	s.claimed(f)
	for range 2 {
		require.NoError(t, s.Stock().WatchPools(s.ctx))
	}
	s.stock("p", "K-2")
	s.stock("low", "L-1", "L-2")
	require.NoError(t, s.Stock().WatchPools(s.ctx))
	types, bodies := s.events()
	require.ElementsMatch(t, []keyturn.EventType{
		keyturn.EventPoolThreshold, keyturn.EventPoolEmpty, keyturn.EventPoolRefilled, keyturn.EventPoolRefilled,
	}, types)
	require.NotEmpty(t, bodies[0]["poolId"])
}

// Every type of the table can be written by the database: its name is in a function of the schema.
func TestEveryEventTypeHasItsTrigger(t *testing.T) {
	s := newShop(t)
	code := strings.Join(reads[string](s, `SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace`), "\n")
	for _, query := range watchedEvents {
		code += query
	}
	for _, info := range keyturn.EventTypes {
		family, name, _ := strings.Cut(string(info.Type), ".")
		if info.Type == keyturn.EventWebhookTest {
			continue // by a person
		}
		require.True(t, strings.Contains(code, "'"+string(info.Type)+"'") || strings.Contains(code, "'"+family+".") &&
			(strings.Contains(code, "'"+name+"'") || strings.Contains(code, "lower(")), info.Type)
	}
}
