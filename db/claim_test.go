package db

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// atOnce runs fn n times at the same time and gives the errors.
func atOnce(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func keysNamed(prefix string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s-%05d", prefix, i)
	}
	return keys
}

func TestClaimGivesKeysInTheOrderOfImport(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-b", "K-a")
	s.stock("games", "K-0")
	f := s.order("o1", lineOf("game", 1), lineOf("game", 2))
	next := s.claimed(f[1])
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.Equal(t, keyturn.LineObtained, next.Status)
	require.Equal(t, []string{"K-b", "K-a"}, s.keysOf(f[1]))
	s.claimed(f[0])
	require.Equal(t, []string{"K-0"}, s.keysOf(f[0]))
}

func TestClaimTwiceKeepsTheKeys(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 10)...)
	f := s.order("o1", lineOf("game", 3))[0]
	s.claimed(f)
	first := s.keysOf(f)
	next := s.claimed(f)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.Equal(t, first, s.keysOf(f))
	require.Equal(t, 3, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'claimed'`))
}

func TestOneKeyPerLine(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{ID: "site", QuantityMode: keyturn.OnePerLine, Sources: []keyturn.Source{fromPool("sites")}})
	s.stock("sites", "one", "two")
	f := s.order("o1", lineOf("site", 5))[0]
	s.claimed(f)
	require.Equal(t, []string{"one"}, s.keysOf(f))
}

// With too few keys a line takes none: another line may need just these.
func TestClaimTakesAllOrNothing(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1", "K-2")
	f := s.order("o1", lineOf("game", 3))[0]
	next := s.claimed(f)
	require.Equal(t, keyturn.LineWaitingForStock, next.Status)
	require.Equal(t, keyturn.DoClaim, next.Do)
	require.Equal(t, keyturn.KindOutOfStock, next.Failure.Kind)
	require.Positive(t, next.Wait)
	require.Empty(t, s.keysOf(f))
	require.Equal(t, keyturn.OrderPartialCompleted, s.orderStatus(f))
}

// Eight attempts of one activity at the same time: one outcome.
func TestConcurrentClaimsOfOneLineTakeItsKeysOnce(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 40)...)
	for range 4 {
		f := s.sell("game")
		for _, err := range atOnce(8, func(int) error { _, err := s.Claim(s.ctx, f, nil); return err }) {
			require.NoError(t, err)
		}
		require.Len(t, s.keysOf(f), 1)
		require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_log WHERE line_id = $1`, s.lineID(f)))
	}
	require.Equal(t, 4, read[int](s, `SELECT count(*) FROM pool_keys WHERE line_id IS NOT NULL`))
}

// Many lines on few keys: each key once, and nobody is told "empty" while keys are left.
func TestConcurrentClaimsShareTheKeys(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	const keys, lines = 30, 40
	s.stock("games", keysNamed("K", keys)...)
	f := s.order("o1", repeatLine(lineOf("game", 1), lines)...)
	for _, err := range atOnce(lines, func(i int) error { _, err := s.Claim(s.ctx, f[i], nil); return err }) {
		require.NoError(t, err)
	}
	require.Equal(t, keys, read[int](s, `SELECT count(*) FROM line_items WHERE status = 'OBTAINED'`))
	require.Equal(t, lines-keys, read[int](s, `SELECT count(*) FROM line_items WHERE status = 'WAITING_FOR_STOCK'`))
	require.Equal(t, keys, read[int](s, `SELECT count(DISTINCT line_id) FROM pool_keys WHERE state = 'claimed'`))
}

func repeatLine(l keyturn.LineItem, n int) []keyturn.LineItem {
	out := make([]keyturn.LineItem, n)
	for i := range out {
		out[i] = l
	}
	return out
}

// A key that another transaction holds and then gives back was never sold out: SKIP LOCKED alone would have said so.
func TestKeyHeldByOthersIsNotEmpty(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "the-last")
	f := s.sell("game")
	held, claimed := make(chan struct{}), make(chan error, 1)
	err := s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(s.ctx, `SELECT FROM pool_keys FOR UPDATE`); err != nil {
			return err
		}
		close(held)
		go func() { _, err := s.Claim(s.ctx, f, nil); claimed <- err }()
		s.waitFor(func() bool { // until the claim has come to the keys and gone on without them
			return read[int](s, `SELECT count(*) FROM pg_stat_activity
				WHERE query LIKE '%FROM pool_keys WHERE pool_id = $1 AND state%' AND datname = current_database()
				AND pid <> pg_backend_pid()`) > 0
		})
		require.Equal(t, keyturn.LinePending, s.status(f), "it does not say that the pool is empty")
		return errUndo
	})
	require.ErrorIs(t, err, errUndo)
	<-held
	require.NoError(t, <-claimed)
	require.Equal(t, []string{"the-last"}, s.keysOf(f))
}

// And if the holder keeps it, the line learns that, too.
func TestKeyHeldForLongIsUnavailable(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "the-last")
	f := s.sell("game")
	require.ErrorIs(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(s.ctx, `SELECT FROM pool_keys FOR UPDATE`); err != nil {
			return err
		}
		_, err := s.Claim(s.ctx, f, nil)
		wantKind(t, err, keyturn.KindUnavailable)
		return errUndo
	}), errUndo)
	require.Equal(t, keyturn.LinePending, s.status(f), "the line is not in trouble: the keys are there")
}

// waitFor looks again and again until the condition holds.
func (s *shop) waitFor(condition func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		require.True(s.t, time.Now().Before(deadline), "it did not come to be in 20 s")
	}
}

// Whatever plan PostgreSQL chooses, a claim takes exactly what it needs: a sub-select with SKIP LOCKED may be
// executed once per row.
func TestClaimUnderHostilePlans(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 300)...)
	for i, settings := range []string{
		"enable_hashjoin=off enable_mergejoin=off", "enable_nestloop=off enable_hashjoin=off",
		"enable_nestloop=off enable_mergejoin=off",
		"enable_indexscan=off enable_bitmapscan=off enable_indexonlyscan=off", "enable_seqscan=off enable_sort=off",
		"enable_material=off enable_hashjoin=off enable_mergejoin=off",
		"enable_hashagg=off enable_sort=off", "plan_cache_mode=force_generic_plan",
		"random_page_cost=0.001 cpu_tuple_cost=1000",
	} {
		s.exec(`SELECT set_config('search_path', 'public', false)`)
		options := ""
		for setting := range strings.FieldsSeq(settings) {
			options += "%20-c%20" + strings.Replace(setting, "=", "%3D", 1)
		}
		hostile := s.open(t, s.dsn+"&options="+options[3:])
		for n := range 3 {
			f := s.order(fmt.Sprintf("o-%d-%d", i, n), lineOf("game", 1+n))[0]
			_, err := hostile.Claim(s.ctx, f, nil)
			require.NoError(t, err, settings)
			require.Len(t, s.keysOf(f), 1+n, settings)
		}
		require.Equal(t, strings.Split(strings.Fields(settings)[0], "=")[1],
			func() string {
				var v string
				require.NoError(t, hostile.pg.Get(&v, "SELECT current_setting('"+strings.Split(settings, "=")[0]+"')"))
				return v
			}(), "the setting is on")
		require.NoError(t, hostile.Close())
	}
}

// After any mixture of claims, deliveries, refunds and imports, at the same time, the figures are a recount
// (invariants) and the first key in is the first out.
func TestStockFiguresAfterAMelee(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 30)...)
	lines := repeatLine(lineOf("game", 1), 24)
	for i := range lines {
		lines[i].Quantity = 1 + i%3
	}
	f := s.order("o1", lines...)
	errs := atOnce(4, func(worker int) error {
		for i := worker; i < len(f); i += 4 {
			if err := s.random(s.ctx, f[i], fmt.Sprintf("extra-%d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	s.invariants("")
}

// random takes a line some way.
func (s *shop) random(ctx context.Context, f, extra string) error {
	next, err := s.Claim(ctx, f, nil)
	if err != nil {
		return err
	}
	if next.Do == keyturn.DoClaim {
		_, err := s.Import(ctx, "games", strings.NewReader(extra+"-a\n"+extra+"-b\n"+extra+"-c"), "test", false)
		return err
	}
	switch rand.IntN(3) {
	case 0:
		_, err = s.Resolve(ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund})
	case 1:
		d, _, _, beginErr := s.BeginDelivery(ctx, f, renderMail)
		if beginErr != nil {
			return beginErr
		}
		_, err = s.FinishDelivery(ctx, f, d, nil, false)
	}
	return err
}

// readingLittle takes n keys of the pool and requires that PostgreSQL reads hardly more than those.
func (s *shop) readingLittle(pool string, n int) {
	s.t.Helper()
	require.ErrorIs(s.t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		read := func() (whole, rows int) { // by the backend, which does not always tell at once
			require.NoError(s.t, tx.QueryRow(`SELECT seq_scan, coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
				WHERE relname = 'pool_keys'`).Scan(&whole, &rows))
			return whole, rows
		}
		wholeBefore, rowsBefore := read()
		taken, err := s.DB.stock.Take(s.ctx, tx, stock.Claim{Pool: pool, Line: newID(), Units: n, CreatedAt: time.Now()})
		require.NoError(s.t, err)
		require.Len(s.t, taken, n)
		left, err := stock.Left(s.ctx, tx, pool, 5)
		require.NoError(s.t, err)
		require.Equal(s.t, 5, left)
		whole, rows := read()
		require.Equal(s.t, wholeBefore, whole, "the whole table was read")
		require.Less(s.t, rows-rowsBefore, 50, "rows that indexes led to")
		return errUndo // there is no such line
	}), errUndo)
}

// A pool that came in one file has one batch, of which PostgreSQL knows after its next analysis that every key is of
// it.
func TestClaimsReadOnlyWhatTheyTakeFromAPoolOfOneBatch(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 20_000)...)
	s.exec(`ANALYZE pool_keys`)
	for i := range 10 { // by then the plan is the one for all arguments
		s.readingLittle("games", 1+i%3)
	}
}

// Until PostgreSQL analyzes a table anew, it plans for what was there before, and keeps the plans that it has.
func TestClaimsReadOnlyWhatTheyTakeFromAPoolThatHasJustGrown(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 12)...)
	s.exec(`ANALYZE`)
	s.pg.SetMaxOpenConns(1)
	for range 10 {
		s.readingLittle("games", 1)
	}
	s.pg.SetMaxOpenConns(2) // the import's connection
	s.stock("games", keysNamed("L", 20_000)...)
	s.pg.SetMaxOpenConns(1)
	for range 3 {
		s.readingLittle("games", 1)
	}
}
