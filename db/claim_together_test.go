package db

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// queued is how many claimants wait for the pool while a statement is under way.
func (s *shop) queued(pool string) int {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	return len(s.claims.pools[pool].waiting)
}

// together has the lines claim their keys by one statement, as if one had been under way when they came, and gives what
// each is to do next. meanwhile happens after they have looked. Those whose context is over have given up by then.
func (s *shop) together(pool string, lines []string, meanwhile func(), over ...string) map[string]keyturn.Next {
	s.t.Helper()
	s.claims.mu.Lock()
	queue := &claimQueue{busy: true}
	s.claims.pools = map[string]*claimQueue{pool: queue}
	s.claims.mu.Unlock()
	out := map[string]keyturn.Next{}
	var mu sync.Mutex
	var claiming, gone sync.WaitGroup
	for i, f := range lines {
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		claim := func() {
			next, err := s.Claim(ctx, f, nil)
			mu.Lock()
			defer mu.Unlock()
			if slices.Contains(over, f) {
				require.Error(s.t, err)
			} else {
				require.NoError(s.t, err)
				out[f] = next
			}
		}
		if slices.Contains(over, f) {
			gone.Go(claim)
		} else {
			claiming.Go(claim)
		}
		s.waitFor(func() bool { return s.queued(pool) == i+1 })
		if slices.Contains(over, f) {
			cancel()
			gone.Wait()
		}
	}
	meanwhile()
	s.claims.serve(s.ctx, s.DB, pool, queue, s.claims.next(queue))
	claiming.Wait()
	return out
}

func nothing() {}

func (s *shop) sells(n, quantity int) []string {
	s.t.Helper()
	lines := make([]string, n)
	for i := range lines {
		lines[i] = s.order(newID(), lineOf("game", quantity))[0]
	}
	return lines
}

func TestClaimsOfOneMomentGoTogether(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 40)...)
	lines := s.sells(9, 3)
	before := s.RoundTrips()
	next := s.together("games", lines, nothing)
	require.LessOrEqual(t, s.RoundTrips()-before, int64(len(lines)+1), "a look for each, and one statement for all")
	for f, next := range next {
		require.Equal(t, keyturn.LineObtained, next.Status)
		require.Equal(t, keyturn.DoDeliver, next.Do)
		require.Equal(t, 2, next.Version)
		require.Len(t, s.keysOf(f), 3)
	}
	require.Len(t, lines, 9)
	require.Equal(t, keysNamed("K", 40)[:3], s.keysOf(lines[0]), "first come, first served")
	require.Equal(t, keysNamed("K", 40)[24:27], s.keysOf(lines[8]))
	for _, f := range lines {
		s.delivered(f)
	}
}

// One that was changed meanwhile, or is being changed, gets nothing by the statement of all, and the others do.
func TestOneThatCannotClaimDoesNotStopTheOthers(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 10)...)
	lines := s.sells(5, 1)
	tx, err := s.pg.Beginx()
	require.NoError(t, err)
	_, err = lockLine(s.ctx, tx, lines[2]) // somebody decides on it
	require.NoError(t, err)
	over := time.AfterFunc(300*time.Millisecond, func() { _ = tx.Rollback() })
	defer over.Stop()
	next := s.together("games", lines, func() { s.resolve(lines[1], keyturn.ActionHold) })
	require.Equal(t, keyturn.LineHeld, next[lines[1]].Status)
	for _, f := range lines {
		if f != lines[1] {
			require.Len(t, s.keysOf(f), 1)
			require.Equal(t, keyturn.DoDeliver, next[f].Do)
		}
	}
	require.Empty(t, s.keysOf(lines[1]))
}

func TestLinesThatWantMoreThanThereIsTakeWhatThereIs(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 7)...)
	lines := s.sells(5, 2)
	waiting := 0
	for f, next := range s.together("games", lines, nothing) {
		if next.Status == keyturn.LineWaitingForStock {
			waiting++
			require.Empty(t, s.keysOf(f))
		}
	}
	require.Equal(t, 2, waiting)
	require.Equal(t, 6, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'claimed'`))
}

func TestAClaimantThatGivesUpLeavesTheOthersAlone(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 10)...)
	lines := s.sells(4, 1)
	next := s.together("games", lines, nothing, lines[0])
	require.Len(t, next, 3)
	for _, f := range lines[1:] {
		require.Len(t, s.keysOf(f), 1)
	}
	require.Len(t, s.keysOf(lines[0]), 1, "it was asked for in its name, and is found by its next try")
	require.Equal(t, keyturn.DoDeliver, s.claimed(lines[0]).Do)
	require.Equal(t, 4, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'claimed'`))
}

// The first to come serves itself. If it gives up, its statement ends, and those who came meanwhile are served.
func TestAClaimantThatServesItselfMayGiveUp(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 10)...)
	lines := s.sells(3, 1)
	s.claimed(lines[0])
	tx, err := s.pg.Beginx()
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.Exec(`LOCK TABLE pool_stock IN EXCLUSIVE MODE`)
	require.NoError(t, err)
	stuck := func() bool {
		return read[int](s, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('pool_stock' AS regclass)`) > 0
	}
	ctx, giveUp := context.WithCancel(s.ctx)
	defer giveUp()
	var claiming, gone sync.WaitGroup
	gone.Go(func() {
		_, err := s.Claim(ctx, lines[1], nil)
		require.Error(t, err)
	})
	s.waitFor(stuck)
	claiming.Go(func() {
		_, err := s.Claim(s.ctx, lines[2], nil)
		require.NoError(t, err)
	})
	s.waitFor(func() bool { return s.queued("games") == 1 })
	giveUp()
	gone.Wait()
	require.NoError(t, tx.Rollback())
	claiming.Wait()
	require.Equal(t, []string{"K-00001"}, s.keysOf(lines[2]), "the other one's claim was undone")
	require.Equal(t, keyturn.DoDeliver, s.claimed(lines[1]).Do)
}

// Two attempts of one activity at the same time.
func TestOneLineThatClaimsTwiceAtOnceIsServedOnce(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 10)...)
	lines := s.sells(2, 2)
	s.together("games", []string{lines[0], lines[1], lines[0]}, nothing)
	require.Len(t, s.keysOf(lines[0]), 2)
	require.Len(t, s.keysOf(lines[1]), 2)
	require.Equal(t, 4, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'claimed'`))
}

func TestAPoolIsServedAgainAfterNobodyWantedAKey(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 200)...)
	for _, n := range []int{1, 70, 1} { // more than one statement takes
		lines := s.sells(n, 1)
		for _, err := range atOnce(n, func(i int) error { return second(s.Claim(s.ctx, lines[i], nil)) }) {
			require.NoError(t, err)
		}
		s.waitFor(func() bool {
			s.claims.mu.Lock()
			defer s.claims.mu.Unlock()
			return !s.claims.pools["games"].busy
		})
	}
	require.Equal(t, 72, read[int](s, `SELECT count(DISTINCT line_id) FROM pool_keys WHERE state = 'claimed'`))
}

// A line of thousands of units goes alone, however small the others are.
func TestLargeLinesClaimAlone(t *testing.T) {
	p := &claimQueue{}
	for _, units := range []int{1, 5000, 600, 300, 200, 1} {
		p.waiting = append(p.waiting, &claimant{units: units})
	}
	var sizes []int
	var q claims
	for {
		n := len(q.next(p))
		if n == 0 {
			break
		}
		sizes = append(sizes, n)
	}
	require.Equal(t, []int{1, 1, 2, 2}, sizes)
	require.False(t, p.busy)
}

// Where PostgreSQL does not answer, nobody waits for the tries of others.
func TestClaimsOfADatabaseThatIsGoneEndTogether(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 10)...)
	lines := s.sells(5, 1)
	all := make([]*claimant, len(lines))
	for i, f := range lines {
		l, err := s.look(s.ctx, f)
		require.NoError(t, err)
		l.markObtained()
		all[i] = &claimant{id: l.ID, units: 1, came: l.CreatedAt, line: l}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	before := s.RoundTrips()
	s.claimTogether(ctx, "games", all)
	for _, c := range all {
		wantKind(t, c.err, keyturn.KindUnavailable)
		require.Empty(t, c.taken)
	}
	require.LessOrEqual(t, s.RoundTrips()-before, int64(1))
}

// obtainedLines.moves books what line.moves does.
func TestALineIsBookedTheSameHoweverItClaims(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 2)...)
	lines := s.sells(2, 1)
	s.claimed(lines[0])
	_, err := s.claim(s.ctx, lines[1], nil)
	require.NoError(t, err)
	booked := func(f string) string {
		return read[string](s, `
			SELECT CAST(to_jsonb(l) - ARRAY['id', 'fulfillment_id', 'order_id', 'created_at', 'source_started_at', 'obtained_at', 'give_up_at'] AS text)
				|| (give_up_at - created_at) || (source_started_at = created_at) || (obtained_at IS NOT NULL)
				|| (SELECT string_agg(concat_ws(' ', g.version, from_status, to_status, by, reason), ',') FROM line_log g WHERE g.line_id = l.id)
			FROM line_items l WHERE fulfillment_id = $1`, f)
	}
	require.Equal(t, booked(lines[1]), booked(lines[0]))
}
