package db

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// soldNext is the key that the next line gets.
func (s *shop) soldNext() string {
	s.t.Helper()
	f := s.sell("game")
	s.claimed(f)
	keys := s.keysOf(f)
	require.Len(s.t, keys, 1)
	return keys[0]
}

// A file of several chunks knows the keys that other imports, its earlier chunks and the same chunk have.
func TestImportOfSeveralChunksKnowsItsKeys(t *testing.T) {
	s := newShop(t)
	s.emptyPool("other")
	s.emptyPool("games")
	s.stock("other", "K-00002")
	s.stock("games", keysNamed("K", 9)[3:]...)
	n := 2*importChunk + 6
	file := keysNamed("K", n)
	file[n-1], file[n-3] = "K-00000", "K-20001" // the last chunk has a key of the first and one of its own twice
	r, err := s.Import(s.ctx, "games", strings.NewReader(strings.Join(file, "\n")), "ops", false)
	require.NoError(t, err)
	require.Equal(t, n-9, r.Accepted)
	require.Equal(t, map[string]int{
		keyturn.RowDuplicateInPool: 6, keyturn.RowDuplicateInOtherPool: 1,
		keyturn.RowDuplicateInFile: 2,
	}, r.Counts)
	rejected := []keyturn.RejectedKey{{Line: 3, Reason: keyturn.RowDuplicateInOtherPool}}
	for line := 4; line <= 9; line++ {
		rejected = append(rejected, keyturn.RejectedKey{Line: line, Reason: keyturn.RowDuplicateInPool})
	}
	for _, line := range []int{n - 2, n} {
		rejected = append(rejected, keyturn.RejectedKey{Line: line, Reason: keyturn.RowDuplicateInFile})
	}
	require.Equal(t, rejected, r.Rejected)
	want := slices.Concat(keysNamed("K", 9)[3:], []string{"K-00000", "K-00001"}, file[9:n-3], file[n-2:n-1])
	require.Equal(t, want, s.keysIn("games"))
	require.Equal(t, int64(len(want)), s.pool("games").Stock.Available)
}

func TestWaitingLinesAreServedInTheirOrder(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.emptyPool("games")
	var lines []string
	for range 8 {
		f := s.sellUnits("game", 3)
		require.Equal(t, keyturn.LineWaitingForStock, s.claimed(f).Status)
		lines = append(lines, f)
	}
	all := keysNamed("K", 22)
	r := s.stock("games", all...)
	require.Equal(t, 7, r.Served)
	require.Equal(t, 1, r.Waiting)
	for i, f := range lines[:7] {
		require.Equal(t, all[3*i:3*i+3], s.keysOf(f))
	}
	n, err := s.ServeWaiting(s.ctx, 100, 0)
	require.NoError(t, err)
	require.Zero(t, n)
	s.resolve(lines[6], keyturn.ActionRefund) // its keys go back
	s.refunded(lines[6])
	n, err = s.ServeWaiting(s.ctx, 100, 0)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, all[18:21], s.keysOf(lines[7]))
}

func TestReplacementsPassOverExpiredKeys(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "bad-1", "bad-2")
	f := s.sellUnits("game", 2)
	s.claimed(f)
	s.delivered(f)
	batch := s.batchOf("games")
	all := keysNamed("K", 12)
	s.stock("games", all...)
	require.NoError(t, s.Stock().Recall(s.ctx, "games", batch, "leaked", true, "ops"))
	s.exec(`
		UPDATE pool_keys SET give_until = now() - interval '1 h'
		WHERE id IN (SELECT id FROM pool_keys WHERE state = 'available' ORDER BY position LIMIT 3)`)
	n, err := s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, all[3:5], s.keysOf(f))
	s.exec(`UPDATE pool_keys SET give_until = NULL`)
}

func TestAKeyIsPutAsideAlone(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.emptyPool("others")
	all := keysNamed("K", 12)
	s.stock("games", all...)
	life, err := s.Stock().Key(s.ctx, "games", all[9])
	require.NoError(t, err)
	require.Equal(t, keyturn.KeyAvailable, life.State)
	require.Equal(t, s.batchOf("games"), life.BatchID)
	require.Len(t, life.History, 1)
	_, err = s.Stock().Key(s.ctx, "others", all[9])
	wantKind(t, err, keyturn.KindNotFound)
	_, err = s.OweReplacementOf(s.ctx, "games", all[9], "leaked", "ops")
	wantKind(t, err, keyturn.KindConflict)

	for _, i := range []int{9, 8, 11, 10, 5} {
		require.NoError(t, s.Stock().QuarantineKey(s.ctx, "games", all[i], "seen in a forum", "ops"))
		require.NoError(t, s.Stock().QuarantineKey(s.ctx, "games", all[i], "again", "ops"))
	}
	require.Equal(t, keyturn.Stock{Available: 7, Quarantined: 5}, s.pool("games").Stock)
	life, err = s.Stock().Key(s.ctx, "games", all[9])
	require.NoError(t, err)
	require.Equal(t, keyturn.KeyQuarantined, life.State)
	require.Len(t, life.History, 2)
	for _, i := range []int{0, 1, 2, 3, 4, 6, 7} {
		require.Equal(t, all[i], s.soldNext(), "the others stay in their order")
	}

	r, err := s.Import(s.ctx, "others", strings.NewReader(strings.Join(all, "\n")), "test", false)
	require.NoError(t, err)
	require.Equal(t, map[string]int{keyturn.RowDuplicateInOtherPool: 5, keyturn.RowAlreadySold: 7}, r.Counts)
}

func TestEachUnsoldKeyIsKnown(t *testing.T) {
	s := newShop(t)
	s.product("byhand", byHand)
	s.emptyPool("games")
	s.emptyPool("others")
	all := keysNamed("K", 12)
	s.stock("games", all...)
	for pool, reason := range map[string]string{
		"games":  keyturn.RowDuplicateInPool,
		"others": keyturn.RowDuplicateInOtherPool,
	} {
		r, err := s.Import(s.ctx, pool, strings.NewReader(strings.Join(append(slices.Clone(all), "new"), "\n")), "test", true)
		require.NoError(t, err)
		require.Equal(t, map[string]int{reason: 12}, r.Counts)
		require.Equal(t, 1, r.Accepted)
	}
	f := s.sell("byhand")
	_, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	wantKind(t, s.StageSupply(s.ctx, f, "", []string{all[11]}), keyturn.KindInvalid, "keys[0]")
	require.NoError(t, s.CheckKeys(s.ctx))
}

func TestOnlyKeysWithTooLittleValidityExpire(t *testing.T) {
	s := newShop(t)
	pool := keyturn.Pool{ID: "games", MinValidity: keyturn.Duration(24 * time.Hour)}
	_, _, err := s.PutPool(s.ctx, pool)
	require.NoError(t, err)
	s.product("game", fromPool("games"))
	var file strings.Builder
	for i := range 16 {
		until := ""
		if i%2 == 1 {
			until = time.Now().AddDate(0, 0, i).UTC().Format(time.DateOnly)
		}
		fmt.Fprintf(&file, "K-%02d,%s\n", i, until)
	}
	r, err := s.ImportFile(s.ctx, stock.ImportInput{
		Pool: "games", By: "ops", CSV: true, Column: "1", ExpiryColumn: "2",
		File: strings.NewReader(file.String()), SkipBad: true,
	})
	require.NoError(t, err)
	require.Equal(t, 16, r.Accepted)
	life, err := s.Stock().Key(s.ctx, "games", "K-09")
	require.NoError(t, err)
	require.NotNil(t, life.ExpiresAt)
	require.WithinDuration(t, time.Now().AddDate(0, 0, 9), *life.ExpiresAt, 48*time.Hour)

	s.later(10 * 24 * time.Hour) // K-01 to K-09 are of no use any more
	n, err := s.Stock().ExpireKeys(s.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	n, err = s.Stock().ExpireKeys(s.ctx, 100)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, keyturn.Stock{Available: 11, Expired: 5}, s.pool("games").Stock)
	pool.MinValidity = keyturn.Duration(3 * 24 * time.Hour)
	_, _, err = s.PutPool(s.ctx, pool)
	require.NoError(t, err)
	n, err = s.Stock().ExpireKeys(s.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 1, n, "K-11, whose validity is too little by the new rule")
	for _, i := range []int{0, 2, 4, 6, 8, 10, 12, 13, 14, 15} {
		require.Equal(t, fmt.Sprintf("K-%02d", i), s.soldNext())
	}
}

func TestOneBatchOfSeveralIsUndoneOrRecalled(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	first, second, third := keysNamed("A", 10), keysNamed("B", 10), keysNamed("C", 10)
	s.stock("games", first...)
	s.stock("games", second...)
	undone := s.batchOf("games")
	s.stock("games", third...)
	require.NoError(t, s.Stock().UndoBatch(s.ctx, "games", undone, "ops"))
	require.Equal(t, keyturn.Stock{Available: 20, Withdrawn: 10}, s.pool("games").Stock)
	require.Equal(t, 10, read[int](s, `SELECT count(*) FROM pool_keys WHERE batch_id = $1 AND state = 'withdrawn'`,
		undone))
	view, err := s.Stock().Batch(s.ctx, "games", undone)
	require.NoError(t, err)
	require.NotNil(t, view.UndoneAt)
	require.Equal(t, "ops", view.UndoneBy)
	_, err = s.Stock().Key(s.ctx, "games", second[9])
	wantKind(t, err, keyturn.KindNotFound)
	s.stock("games", second...)
	require.Equal(t, first[0], s.soldNext())
	batch := read[string](s, `SELECT batch_id FROM pool_keys WHERE line_id IS NOT NULL`)
	wantKind(t, s.Stock().UndoBatch(s.ctx, "games", batch, "ops"), keyturn.KindConflict)
	require.NoError(t, s.Stock().Recall(s.ctx, "games", batch, "leaked", false, "ops"))
	view, err = s.Stock().Batch(s.ctx, "games", batch)
	require.NoError(t, err)
	require.True(t, view.Recall.Complete)
	require.Equal(t, 1, view.Recall.Sold)
	require.Equal(t, keyturn.Stock{Available: 20, Claimed: 1, Quarantined: 9, Withdrawn: 10}, s.pool("games").Stock)
	for _, key := range append(third, second...) {
		require.Equal(t, key, s.soldNext())
	}
}

func TestRecallOfAFileOfSeveralChunks(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 2*importChunk+10)...)
	s.soldNext()
	before := s.RoundTrips()
	require.NoError(t, s.Stock().Recall(s.ctx, "games", s.batchOf("games"), "leaked", false, "ops"))
	require.Eventually(t, func() bool {
		_, err := s.Stock().FinishRecalls(s.ctx)
		require.NoError(t, err)
		return s.pool("games").Stock.Available == 0
	}, time.Minute, 100*time.Millisecond)
	require.Less(t, s.RoundTrips()-before, int64(2000), "steps in which nothing is done")
	require.Equal(t, int64(2*importChunk+9), s.pool("games").Stock.Quarantined)
}

func TestRestoredPutsTheFirstKeysAside(t *testing.T) {
	for first, left := range map[int]int{0: 0, 7: 13} {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			s := newShop(t)
			s.product("game", fromPool("games"))
			all := keysNamed("K", 20)
			s.stock("games", all...)
			since := time.Now()
			for range 2 {
				_, err := s.Restored(s.ctx, since, first, nil)
				require.NoError(t, err)
				require.Equal(t, keyturn.Stock{Available: int64(left), Quarantined: int64(20 - left)}, s.pool("games").Stock)
			}
			if left > 0 {
				require.Equal(t, all[20-left], s.soldNext())
			}
		})
	}
}

func TestClaimersOfTwoProcessesEmptyAPool(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	const n = 60
	s.stock("games", keysNamed("K", n)...)
	other := s.open(t, s.dsn)
	defer func() { require.NoError(t, other.Close()) }()
	lines := s.sells(n, 1)
	for i, err := range atOnce(n, func(i int) error {
		next, err := []*DB{s.DB, other}[i%2].Claim(s.ctx, lines[i], nil)
		if err == nil && next.Status != keyturn.LineObtained {
			err = fmt.Errorf("it is %s", next.Status)
		}
		return err
	}) {
		require.NoError(t, err, "line %d", i)
	}
	require.Equal(t, n, read[int](s, `SELECT count(DISTINCT line_id) FROM pool_keys WHERE state = 'claimed'`))
}
