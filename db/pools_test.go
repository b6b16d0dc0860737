package db

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// The steps of a key that the database allows are those of the code.
func TestDatabaseAllowsTheSameStepsOfKeys(t *testing.T) {
	s := newShop(t)
	text := read[string](s, `SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'key_transitions'`)
	stored := []string{}
	for _, m := range regexp.MustCompile(`'([a-z]+>[a-z]+)'`).FindAllStringSubmatch(text, -1) {
		stored = append(stored, m[1])
	}
	coded := []string{}
	for from, next := range keyturn.KeyTransitions {
		for _, to := range next {
			require.True(t, from.CanBecome(to))
			coded = append(coded, string(from)+">"+string(to))
		}
	}
	require.ElementsMatch(t, coded, stored)
	require.Len(t, slices.Collect(maps.Keys(keyturn.KeyTransitions)), len(keyturn.KeyStates))
}

func (s *shop) sellUnits(product string, n int) string {
	s.t.Helper()
	return s.order(uuid.NewString(), lineOf(product, n))[0]
}

// tryOrder accepts an order of one unit if the shop takes it.
func (s *shop) tryOrder(id, product string) (fulfillment string, err error) {
	a, _, err := s.Accept(s.ctx, orderOf(id, lineOf(product, 1)))
	if err != nil {
		return "", err
	}
	return a.Starts[0].FulfillmentID, nil
}

func (s *shop) batchOf(pool string) string { return s.pool(pool).Batches[0].BatchID }

func TestUndoneBatchMayBeImportedAgain(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "a", "b")
	batch := s.batchOf("p")
	require.NoError(t, s.Stock().UndoBatch(s.ctx, "p", batch, "ops"))
	require.NoError(t, s.Stock().UndoBatch(s.ctx, "p", batch, "ops"), "again is no mistake")
	require.Equal(t, keyturn.Stock{Withdrawn: 2}, s.pool("p").Stock)
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(s.sell("game")).Status, "nothing is for sale")
	require.Equal(t, 2, s.stock("p", "a", "b").Accepted, "the same file again")

	err := s.Stock().UndoBatch(s.ctx, "p", s.batchOf("p"), "ops") // the waiting line was served from it
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "(1)")
	require.Equal(t, int64(1), s.pool("p").Stock.Available, "nothing was undone in part")
	wantKind(t, s.Stock().UndoBatch(s.ctx, "p", "0198c2d4-0000-7000-8000-000000000000", "ops"), keyturn.KindNotFound)
	wantKind(t, s.Stock().UndoBatch(s.ctx, "p", "nonsense", "ops"), keyturn.KindNotFound)
}

// The customer of a recalled key gets another one, in one e-mail for all keys of the line; unsold keys are never sold;
// while the pool is dry the replacement waits and goes on.
func TestRecallReplacesWhatWasSold(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "bad-1", "bad-2", "bad-3", "bad-4")
	batch := s.batchOf("p")
	f := s.sellUnits("game", 2)
	s.claimed(f)
	s.delivered(f)
	held := s.sell("game") // has its key, and no e-mail yet
	s.claimed(held)

	require.NoError(t, s.Stock().Recall(s.ctx, "p", batch, "leaked", true, "ops"))
	require.NoError(t, s.Stock().Recall(s.ctx, "p", batch, "leaked", true, "ops"), "again is no mistake")
	v, err := s.Stock().Batch(s.ctx, "p", batch)
	require.NoError(t, err)
	require.True(t, v.Recall.Complete)
	require.Equal(t, 3, v.Recall.Sold)
	require.Equal(t, 3, v.Recall.Owed)
	require.Equal(t, int64(1), s.pool("p").Stock.Quarantined)

	n, err := s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Zero(t, n, "the pool is dry")
	require.Equal(t, []string{"bad-1", "bad-2"}, s.keysOf(f), "and nothing is taken away meanwhile")
	s.stock("p", "good-1")
	n, err = s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Zero(t, n, "one key is too few for a line of two")
	require.Equal(t, keyturn.Stock{Available: 1, Claimed: 1, Delivered: 2, Quarantined: 1}, s.pool("p").Stock)

	s.stock("p", "good-2", "good-3")
	n, err = s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{"good-1", "good-2"}, s.keysOf(f))
	out, err := s.Deliverables(s.ctx, f, "ops")
	require.NoError(t, err)
	require.Len(t, out.Replaced, 2)
	mails := reads[string](s, `SELECT id FROM deliveries WHERE line_id = $1 AND status = 'READY'`, s.lineID(f))
	require.Len(t, mails, 1, "one e-mail for both keys")
	mail, _, err := s.BeginSend(s.ctx, mails[0])
	require.NoError(t, err)
	require.Contains(t, string(mail.Message), "good-1 good-2")
	require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: mails[0]}, nil))
	require.Equal(t, keyturn.Stock{Available: 1, Claimed: 1, Delivered: 2, Quarantined: 1, Recalled: 2}, s.pool("p").Stock)

	s.delivered(held)
	n, err = s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n, "a line gets its replacement after its first e-mail")
	require.Equal(t, []string{"good-3"}, s.keysOf(held))
	life, err := s.Stock().Key(s.ctx, "p", "bad-1")
	require.NoError(t, err)
	require.Equal(t, keyturn.KeyRecalled, life.State)
	steps := []string{}
	for _, step := range life.History {
		steps = append(steps, step.To+" by "+step.By)
	}
	require.Equal(t, []string{"available by test", "claimed by workflow", "delivered by workflow", "recalled by ops"},
		steps)
}

// While the recall of a large batch is under way, its keys that are still for sale are given to nobody: neither to a
// new order nor, of all things, as a replacement.
func TestKeysOfABatchThatIsBeingRecalledAreGivenToNobody(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.put(keyturn.Product{
		ID: "cautious", Sources: []keyturn.Source{fromPool("p")},
		Sell: keyturn.Sell{WhenEmpty: keyturn.SellRefuse},
	})
	s.stock("p", "bad-1", "bad-2", "bad-3", "bad-4")
	batch := s.batchOf("p")
	owner := s.sell("game")
	s.claimed(owner)
	s.delivered(owner)
	// What a recall has done before it comes to the first unsold key.
	s.exec(`UPDATE batches SET recalled_at = now(), recall = 'leaked', replace_sold = true, recalled_to = first_key
		WHERE id = $1`, batch)
	require.NoError(t, s.OweReplacements(s.ctx, owner, nil, "leaked", "ops"))

	n, err := s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Zero(t, n)
	later := s.sell("game")
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(later).Status)
	n, err = s.ServeWaiting(s.ctx, 100, 0)
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = s.tryOrder("while-recalled", "cautious")
	wantKind(t, err, keyturn.KindConflict)

	s.stock("p", "good-1", "good-2")
	n, err = s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = s.ServeWaiting(s.ctx, 100, 0)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"good-1", "good-2"}, append(s.keysOf(owner), s.keysOf(later)...),
		"both from the other batch")
	require.NoError(t, s.Stock().Recall(s.ctx, "p", batch, "leaked", true, "ops"))
	v, err := s.Stock().Batch(s.ctx, "p", batch)
	require.NoError(t, err)
	require.True(t, v.Recall.Complete)
	require.Equal(t, 1, v.Recall.Sold, "none was sold while it was recalled")
	require.Equal(t, int64(3), s.pool("p").Stock.Quarantined)
}

// A line that is refunded gets no replacement, and its recalled key does not go back on sale.
func TestRecalledKeyOfARefundedLine(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "bad")
	f := s.sell("game")
	s.claimed(f)
	require.NoError(t, s.Stock().Recall(s.ctx, "p", s.batchOf("p"), "leaked", true, "ops"))
	s.resolve(f, keyturn.ActionRefund)
	require.Equal(t, keyturn.Stock{Quarantined: 1}, s.pool("p").Stock, "nobody saw it, but it is bad")
	s.refunded(f)
	require.Equal(t, "VOID", read[string](s, `SELECT status FROM replacements`))
	wantKind(t, s.OweReplacements(s.ctx, f, nil, "leaked", "ops"), keyturn.KindConflict)
}

func TestOneKeyIsPutAsideOrReplaced(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "a", "b", "c")
	f := s.sell("game")
	s.claimed(f)
	s.delivered(f)
	require.NoError(t, s.Stock().QuarantineKey(s.ctx, "p", "b", "typo", "ops"))
	wantKind(t, s.Stock().QuarantineKey(s.ctx, "p", "a", "leaked", "ops"), keyturn.KindConflict)
	wantKind(t, s.Stock().QuarantineKey(s.ctx, "p", "none", "leaked", "ops"), keyturn.KindNotFound)
	_, err := s.OweReplacementOf(s.ctx, "p", "c", "leaked", "ops")
	wantKind(t, err, keyturn.KindConflict)
	got, err := s.OweReplacementOf(s.ctx, "p", "a", "leaked", "ops")
	require.NoError(t, err)
	require.Equal(t, f, got)
	_, err = s.ReplaceOwed(s.ctx, 10, renderMail)
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, s.keysOf(f), "b was put aside")
	all, err := s.Replacements(s.ctx, f)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, keyturn.ReplacementDone, all[0].Status)
}

func TestExpiringKeys(t *testing.T) {
	s := newShop(t)
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "p", MinValidity: keyturn.Duration(30 * 24 * time.Hour)})
	require.NoError(t, err)
	s.product("game", fromPool("p"))
	day := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format(time.DateOnly) }
	file := "key,until\nshort," + day(10) + "\nsoon," + day(32) + "\nlong," + day(400) + "\never,\nbroken,tomorrow\n"
	in := stock.ImportInput{Pool: "p", By: "ops", CSV: true, Column: "key", ExpiryColumn: "until"}
	in.File = strings.NewReader(file)
	_, err = s.ImportFile(s.ctx, in)
	wantKind(t, err, keyturn.KindInvalid, "line 2", "line 6")
	in.File, in.SkipBad = strings.NewReader(file), true
	r, err := s.ImportFile(s.ctx, in)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"expired": 1, "malformed_expiry": 1}, r.Counts)

	s.later(4 * 24 * time.Hour) // 28 days are left of the first one
	f := s.sell("game")
	s.claimed(f)
	require.Equal(t, []string{"long"}, s.keysOf(f), "passed over before anybody took it out of the sale")
	n, err := s.Stock().ExpireKeys(s.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, keyturn.Stock{Available: 1, Claimed: 1, Expired: 1}, s.pool("p").Stock)
}

// Orders in another currency pass a pool over; one that no pool serves is refused.
func TestPoolsPerCurrency(t *testing.T) {
	s := newShop(t)
	for _, c := range []string{"EUR", "USD"} {
		_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "keys-" + c, Currency: c})
		require.NoError(t, err)
	}
	s.product("game", fromPool("keys-USD"), fromPool("keys-EUR"))
	s.product("us", fromPool("keys-USD"))
	s.stock("keys-USD", "us-1")
	s.stock("keys-EUR", "eu-1")
	f := s.sell("game") // the shop's orders are in EUR
	s.claimed(f)
	require.Equal(t, []string{"eu-1"}, s.keysOf(f))
	_, err := s.tryOrder("us-order", "us")
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].productId")
}

func TestOrdersOfAnEmptyPoolAreRefused(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{
		ID: "game", Sources: []keyturn.Source{fromPool("p")},
		Sell: keyturn.Sell{WhenEmpty: keyturn.SellRefuse},
	})
	_, err := s.tryOrder("o1", "game")
	wantKind(t, err, keyturn.KindConflict, "lineItems[0].productId")
	require.Zero(t, read[int](s, `SELECT count(*) FROM orders`))
	s.stock("p", "a")
	f, err := s.tryOrder("o1", "game")
	require.NoError(t, err)
	s.claimed(f)
	_, err = s.tryOrder("o2", "game")
	wantKind(t, err, keyturn.KindConflict)

	s.put(keyturn.Product{
		ID: "both", Sources: []keyturn.Source{fromPool("p"), {Type: keyturn.SourceManual}},
		Sell: keyturn.Sell{WhenEmpty: keyturn.SellRefuse},
	})
	_, err = s.tryOrder("o3", "both")
	require.NoError(t, err, "a person can deliver")
}

func TestWaitingLinesAreServedAtThePoolsPace(t *testing.T) {
	s := newShop(t)
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "p", ServePerSecond: 3})
	require.NoError(t, err)
	s.product("game", fromPool("p"))
	var lines []string
	for range 8 {
		f := s.sell("game")
		s.claimed(f)
		lines = append(lines, f)
	}
	r := s.stock("p", keysNamed("K", 8)...)
	require.Equal(t, 3, r.Served)
	require.Equal(t, 5, r.Waiting)
	n, err := s.ServeWaiting(s.ctx, 100, time.Hour)
	require.NoError(t, err)
	require.LessOrEqual(t, n, 1, "the second is used up")
	s.exec(`UPDATE pools SET serve_after = serve_after - interval '1 second'`)
	more, err := s.ServeWaiting(s.ctx, 100, time.Hour)
	require.NoError(t, err)
	require.GreaterOrEqual(t, more, 2)
	for i, f := range lines[:3] {
		require.Equal(t, []string{fmt.Sprintf("K-%05d", i)}, s.keysOf(f), "in the order of payment")
	}
}

func TestForecastAndItsAlert(t *testing.T) {
	s := newShop(t)
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "p", ForecastHorizon: keyturn.Duration(5 * time.Hour)})
	require.NoError(t, err)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 10)...)
	require.NoError(t, s.Stock().WatchPools(s.ctx))
	require.Nil(t, s.pool("p").Forecast.HoursLeft, "nothing is taken yet")
	s.claimed(s.sellUnits("game", 4))
	s.later(5 * time.Minute)
	require.NoError(t, s.Stock().WatchPools(s.ctx))
	f := s.pool("p").Forecast
	require.Zero(t, f.PerHour, "four in five minutes are no 48 in an hour")
	require.Nil(t, f.HoursLeft)
	require.Empty(t, reads[string](s, `SELECT cause FROM alerts WHERE pool_id = 'p'`))
	s.later(55 * time.Minute)
	f = s.pool("p").Forecast
	require.InDelta(t, 4, f.PerHour, 0.2)
	require.InDelta(t, 1.5, *f.HoursLeft, 0.1)
	alerts := func() []string {
		return reads[string](s,
			`SELECT cause || CASE WHEN closed_at IS NULL THEN ' open' ELSE ' closed' END FROM alerts WHERE pool_id = 'p'
				ORDER BY id`)
	}
	require.NoError(t, s.Stock().WatchPools(s.ctx))
	require.NoError(t, s.Stock().WatchPools(s.ctx))
	require.Equal(t, []string{"RunsDry open"}, alerts(), "once")
	s.stock("p", keysNamed("L", 50)...)
	require.NoError(t, s.Stock().WatchPools(s.ctx))
	require.Equal(t, []string{"RunsDry closed"}, alerts(), "a refill ends it")
	waiting := s.sellUnits("game", 100)
	s.claimed(waiting)
	require.Zero(t, *s.pool("p").Forecast.HoursLeft, "waiting lines come first")
	require.NoError(t, s.Stock().WatchPools(s.ctx))
	require.Equal(t, []string{"RunsDry closed", "RunsDry open"}, alerts(), "and the next crossing is told again")
}
