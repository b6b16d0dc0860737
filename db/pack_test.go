package db

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/pg"
)

// packs makes a shop whose keys lie in small packs: n get rows of their own at a time.
func (s *shop) packs(keys, n int) {
	s.packing = packing{keys: keys, bytes: 5000, unpack: n, block: 100}
}

func (s *shop) packed(pool string) int {
	return read[int](s, `SELECT count(*) FROM packed_keys WHERE pool_id = $1`, pool)
}

func (s *shop) soldNext() string {
	s.t.Helper()
	f := s.sell("game")
	s.claimed(f)
	keys := s.keysOf(f)
	require.Len(s.t, keys, 1)
	return keys[0]
}

func TestPackedKeysAreSoldInTheOrderOfTheirImport(t *testing.T) {
	s := newShop(t)
	s.packs(4, 5)
	s.product("game", fromPool("games"))
	all := keysNamed("K", 45)
	s.stock("games", all[:30]...)
	require.Equal(t, 22, s.packed("games"), "of 30, two packs are for sale at once")
	s.stock("games", all[30:]...)
	require.Equal(t, 37, s.packed("games"), "what came later waits behind them")
	require.Equal(t, int64(45), s.pool("games").Stock.Available)
	require.Equal(t, all, s.keysIn("games"))
	for i, key := range all {
		require.Equal(t, key, s.soldNext())
		require.Equal(t, int64(44-i), s.pool("games").Stock.Available)
	}
	require.Zero(t, s.packed("games"))
	f := s.sell("game")
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(f).Status)
}

// Keys are packed before it is known which of them were here already. Those leave their packs again, alone or with the
// whole pack; the others keep their order.
func TestKeysThatAreHereAlreadyLeaveTheirPacks(t *testing.T) {
	for _, block := range []int{1, 1_000_000} { // fingerprints are stored chunk by chunk, or all together
		t.Run(fmt.Sprint(block), func(t *testing.T) {
			s := newShop(t)
			s.packs(4, 1)
			s.packing.block = block
			s.emptyPool("other")
			s.emptyPool("games")
			s.stock("other", "K-00002")
			s.stock("games", keysNamed("K", 9)[3:]...) // to K-00008: one has a row, the others are packed
			n := 2*importChunk + 6
			file := keysNamed("K", n)
			file[n-1], file[n-3] = "K-00000", "K-20001" // the last chunk has a key of the first and one of its own twice
			r, err := s.Import(s.ctx, "games", strings.NewReader(strings.Join(file, "\n")), "ops", false)
			require.NoError(t, err)
			require.Equal(t, n-9, r.Accepted)
			require.Equal(t, map[string]int{keyturn.RowDuplicateInPool: 6, keyturn.RowDuplicateInOtherPool: 1, keyturn.RowDuplicateInFile: 2}, r.Counts)
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
			require.Zero(t, read[int](s, `SELECT count(*) FROM key_packs WHERE cardinality(gone) = cardinality(ends)`))
			require.Equal(t, len(want)+1, read[int](s, `SELECT count(*) FROM key_fingerprints`))
		})
	}
}

// The pack of a key that leaves it because it was here already expires when one that stays does.
func TestAPackExpiresWithTheKeysThatStay(t *testing.T) {
	s := newShop(t)
	s.packs(4, 1)
	s.emptyPool("games")
	s.stock("games", "first", "soon")
	r, err := s.ImportFile(s.ctx, ImportInput{Pool: "games", By: "ops", CSV: true, Column: "1", ExpiryColumn: "2", File: strings.NewReader("a,\nsoon,2099-01-01\nb,2099-03-01\nc,2099-02-01")})
	require.NoError(t, err)
	require.Equal(t, 3, r.Accepted)
	require.Equal(t, "2099-02-02", read[time.Time](s, `SELECT expiring FROM key_packs WHERE expiring IS NOT NULL`).UTC().Format(time.DateOnly), "when the day of the first of them is over")
	require.Equal(t, []string{"first", "soon", "a", "b", "c"}, s.keysIn("games"))
}

// A line may want more than what is unpacked at a time; one that cannot have all keeps nothing from others.
func TestALineOfManyUnitsUnpacksWhatItNeeds(t *testing.T) {
	s := newShop(t)
	s.packs(3, 2)
	s.product("game", fromPool("games"))
	all := keysNamed("K", 20)
	s.stock("games", all...)
	f := s.sellUnits("game", 11)
	s.claimed(f)
	require.Equal(t, all[:11], s.keysOf(f))
	big := s.sellUnits("game", 10)
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(big).Status)
	s.stock("games", "L-1", "L-2", "L-3")
	require.Equal(t, append(all[11:], "L-1"), s.keysOf(big), "served by the import")
}

func TestWaitingLinesAreServedFromPacks(t *testing.T) {
	s := newShop(t)
	s.packs(3, 2)
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

func TestReplacementsComeFromPacks(t *testing.T) {
	s := newShop(t)
	s.packs(3, 1)
	s.product("game", fromPool("games"))
	s.stock("games", "bad-1", "bad-2")
	f := s.sellUnits("game", 2)
	s.claimed(f)
	s.delivered(f)
	batch := s.batchOf("games")
	all := keysNamed("K", 12)
	s.stock("games", all...)
	require.NoError(t, s.Recall(s.ctx, "games", batch, "leaked", true, "ops"))
	s.exec(`UPDATE pool_keys SET give_until = now() - interval '1 h' WHERE state = 'available'`) // what lies open is of no use
	n, err := s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, all[3:5], s.keysOf(f))
	s.exec(`UPDATE pool_keys SET give_until = NULL`)
}

func TestAPackedKeyIsPutAsideAlone(t *testing.T) {
	s := newShop(t)
	s.packs(4, 1)
	s.product("game", fromPool("games"))
	s.emptyPool("others")
	all := keysNamed("K", 12)
	s.stock("games", all...)
	require.Equal(t, 8, s.packed("games"))
	life, err := s.Key(s.ctx, "games", all[9])
	require.NoError(t, err)
	require.Equal(t, keyturn.KeyAvailable, life.State)
	require.Equal(t, s.batchOf("games"), life.BatchID)
	require.Len(t, life.History, 1)
	_, err = s.Key(s.ctx, "others", all[9])
	wantKind(t, err, keyturn.KindNotFound)
	_, err = s.OweReplacementOf(s.ctx, "games", all[9], "leaked", "ops")
	wantKind(t, err, keyturn.KindConflict)
	require.Equal(t, 8, s.packed("games"), "a look changes nothing")

	for _, i := range []int{9, 8, 11, 10, 5} { // a pack that is emptied one by one, and one out of another
		require.NoError(t, s.QuarantineKey(s.ctx, "games", all[i], "seen in a forum", "ops"))
		require.NoError(t, s.QuarantineKey(s.ctx, "games", all[i], "again", "ops"))
	}
	require.Equal(t, 3, s.packed("games"))
	require.Equal(t, keyturn.Stock{Available: 7, Quarantined: 5}, s.pool("games").Stock)
	life, err = s.Key(s.ctx, "games", all[9])
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

func TestEachPackedKeyIsKnown(t *testing.T) {
	s := newShop(t)
	s.packs(4, 1)
	s.product("byhand", byHand)
	s.emptyPool("games")
	s.emptyPool("others")
	all := keysNamed("K", 12)
	s.stock("games", all...)
	for pool, reason := range map[string]string{"games": keyturn.RowDuplicateInPool, "others": keyturn.RowDuplicateInOtherPool} {
		r, err := s.Import(s.ctx, pool, strings.NewReader(strings.Join(append(slices.Clone(all), "new"), "\n")), "test", true)
		require.NoError(t, err)
		require.Equal(t, map[string]int{reason: 12}, r.Counts)
		require.Equal(t, 1, r.Accepted)
	}
	f := s.sell("byhand")
	_, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	wantKind(t, s.StageSupply(s.ctx, f, []string{all[11]}), keyturn.KindInvalid, "keys[0]")
	require.NoError(t, s.CheckKeys(s.ctx))
}

// What expires in a pack is taken out of it, and nothing else.
func TestPackedKeysExpire(t *testing.T) {
	s := newShop(t)
	s.packs(4, 1)
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
	r, err := s.ImportFile(s.ctx, ImportInput{Pool: "games", By: "ops", CSV: true, Column: "1", ExpiryColumn: "2", File: strings.NewReader(file.String()), SkipBad: true})
	require.NoError(t, err)
	require.Equal(t, 16, r.Accepted)
	life, err := s.Key(s.ctx, "games", "K-09")
	require.NoError(t, err)
	require.NotNil(t, life.ExpiresAt)
	require.WithinDuration(t, time.Now().AddDate(0, 0, 9), *life.ExpiresAt, 48*time.Hour)

	s.later(10 * 24 * time.Hour) // K-01 to K-09 are of no use any more
	n, err := s.ExpireKeys(s.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	n, err = s.ExpireKeys(s.ctx, 100)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, keyturn.Stock{Available: 11, Expired: 5}, s.pool("games").Stock)
	pool.MinValidity = keyturn.Duration(3 * 24 * time.Hour)
	_, _, err = s.PutPool(s.ctx, pool)
	require.NoError(t, err)
	n, err = s.ExpireKeys(s.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 1, n, "K-11, whose validity is too little by the new rule")
	for _, i := range []int{0, 2, 4, 6, 8, 10, 12, 13, 14, 15} {
		require.Equal(t, fmt.Sprintf("K-%02d", i), s.soldNext())
	}
}

func TestPackedBatchesAreUndoneAndRecalled(t *testing.T) {
	s := newShop(t)
	s.packs(4, 1)
	s.product("game", fromPool("games"))
	first, second, third := keysNamed("A", 10), keysNamed("B", 10), keysNamed("C", 10)
	s.stock("games", first...)
	s.stock("games", second...)
	undone := s.batchOf("games")
	s.stock("games", third...)
	require.NoError(t, s.UndoBatch(s.ctx, "games", undone, "ops"))
	require.Equal(t, keyturn.Stock{Available: 20, Withdrawn: 10}, s.pool("games").Stock)
	require.Zero(t, read[int](s, `SELECT count(*) FROM packed_keys WHERE batch_id = $1`, undone), "nobody needs them any more")
	view, err := s.Batch(s.ctx, "games", undone)
	require.NoError(t, err)
	require.NotNil(t, view.UndoneAt)
	require.Equal(t, "ops", view.UndoneBy)
	_, err = s.Key(s.ctx, "games", second[9])
	wantKind(t, err, keyturn.KindNotFound)
	s.stock("games", second...)
	require.Equal(t, first[0], s.soldNext())
	batch := read[string](s, `SELECT batch_id FROM pool_keys WHERE line_id IS NOT NULL`)
	wantKind(t, s.UndoBatch(s.ctx, "games", batch, "ops"), keyturn.KindConflict)
	require.NoError(t, s.Recall(s.ctx, "games", batch, "leaked", false, "ops"))
	view, err = s.Batch(s.ctx, "games", batch)
	require.NoError(t, err)
	require.True(t, view.Recall.Complete)
	require.Equal(t, 1, view.Recall.Sold)
	require.Equal(t, keyturn.Stock{Available: 20, Claimed: 1, Quarantined: 9, Withdrawn: 10}, s.pool("games").Stock)
	for _, key := range append(third, second...) {
		require.Equal(t, key, s.soldNext())
	}
}

// A recall goes through the numbers of a file's keys, between whose chunks are wide gaps.
func TestRecallOfAFileOfSeveralChunks(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 2*importChunk+10)...)
	s.soldNext()
	before := s.RoundTrips()
	require.NoError(t, s.Recall(s.ctx, "games", s.batchOf("games"), "leaked", false, "ops"))
	require.Eventually(t, func() bool {
		_, err := s.FinishRecalls(s.ctx)
		require.NoError(t, err)
		return s.pool("games").Stock.Available == 0
	}, time.Minute, 100*time.Millisecond)
	require.Less(t, s.RoundTrips()-before, int64(2000), "steps in which nothing is done")
	require.Equal(t, int64(2*importChunk+9), s.pool("games").Stock.Quarantined)
}

func TestRestoredPutsPackedKeysAside(t *testing.T) {
	for first, left := range map[int]int{0: 0, 7: 13} {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			s := newShop(t)
			s.packs(4, 1)
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

// An older build stores keys with rows of their own, without a word about fingerprints.
func TestKeysOfAnOlderBuildAreKnown(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1")
	older := func(fingerprint []byte) error {
		return s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(s.ctx, `
				INSERT INTO pool_keys (pool_id, batch_id, position, fingerprint, content) SELECT pool_id, id, nextval('pool_key_position'), $1, 'x' FROM batches`, fingerprint)
			return err
		})
	}
	err := older(s.keys.Fingerprint("K-1"))
	require.ErrorContains(t, err, "pool_keys_once", "which is how it knows a duplicate")
	require.NoError(t, older(s.keys.Fingerprint("K-2")))
	s.exec(`UPDATE pool_stock SET available = available + 1 WHERE slot = 0`)
	s.exec(`UPDATE batches SET accepted = 2`)
	r, err := s.Import(s.ctx, "games", strings.NewReader("K-1\nK-2\nK-3"), "test", true)
	require.NoError(t, err)
	require.Equal(t, 1, r.Accepted)
}

// The keys of a database from before there were packs.
func TestMigrationKeepsTheFingerprintsOfKeysThatAreThere(t *testing.T) {
	t.Parallel()
	dsn := testkit.Postgres(t, "", nil)
	x, err := pg.Open(t.Context(), dsn)
	require.NoError(t, err)
	defer func() { _ = x.Close() }()
	before := fstest.MapFS{}
	files, err := migrations.ReadDir("migrations")
	require.NoError(t, err)
	for _, f := range files {
		if f.Name() < "00100" {
			text, err := migrations.ReadFile("migrations/" + f.Name())
			require.NoError(t, err)
			before[f.Name()] = &fstest.MapFile{Data: text}
		}
	}
	p, err := goose.NewProvider(goose.DialectPostgres, x.DB.DB, before)
	require.NoError(t, err)
	_, err = p.Up(t.Context())
	require.NoError(t, err)
	_, err = x.Exec(`
		INSERT INTO pools (id, spec, data_key) VALUES ('p', '{}', '');
		INSERT INTO batches (id, pool_id, accepted, rejected, created_by) VALUES ('11111111-1111-1111-1111-111111111111', 'p', 3, 0, 'ops');
		INSERT INTO pool_keys (pool_id, batch_id, position, fingerprint, content, state)
		SELECT 'p', '11111111-1111-1111-1111-111111111111', n, decode(md5(CAST(n AS text)), 'hex'), 'x', CASE n WHEN 2 THEN 'withdrawn' ELSE 'available' END FROM generate_series(1, 3) AS n`) //keyturn:autocommit one statement each
	require.NoError(t, err)
	done, err := Migrate(t.Context(), dsn)
	require.NoError(t, err)
	require.Contains(t, done, "00100_key_packs.sql")
	var kept []int64
	require.NoError(t, x.Select(&kept, `SELECT key_id FROM key_fingerprints f JOIN pool_keys k ON k.id = f.key_id AND k.fingerprint = f.fingerprint ORDER BY key_id`))
	require.Equal(t, []int64{1, 3}, kept)
}

// Claimers of two processes empty a pool, and nobody gets a key twice or is told of an empty pool.
func TestManyClaimersUnpackTogether(t *testing.T) {
	s := newShop(t)
	s.packs(2, 3)
	s.product("game", fromPool("games"))
	const n = 60
	s.stock("games", keysNamed("K", n)...)
	other := s.open(t, s.dsn)
	other.packing = s.packing
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
	require.Zero(t, s.packed("games"))
}

func TestPacksRefuseWhatIsInconsistent(t *testing.T) {
	s := newShop(t)
	s.packs(4, 1)
	s.emptyPool("games")
	s.stock("games", keysNamed("K", 12)...)
	for _, set := range []string{
		`fingerprints = substr(fingerprints, 2)`, `contents = contents || 'x'`, `ends = ends[1:3]`, `gone = ARRAY[1, 2, 3, 4]`,
		`give_until = ARRAY[now()]`, `expires_at = ARRAY[now()], give_until = ARRAY[now()]`,
	} {
		_, err := s.pg.ExecContext(s.ctx, `UPDATE key_packs SET `+set) //keyturn:autocommit it is refused
		require.ErrorContains(t, err, "key_packs_consistent", set)
	}
}

// PostgreSQL plans for the packs that were there when it last analyzed the table.
func TestUnpackingReadsOnlyWhatItTakesOfAPoolThatHasJustGrown(t *testing.T) {
	s := newShop(t)
	s.packs(2, 4)
	s.emptyPool("games")
	s.stock("games", keysNamed("K", 12)...)
	s.exec(`ANALYZE`)
	s.pg.SetMaxOpenConns(1)
	restock := func(n int) {
		t.Helper()
		require.ErrorIs(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
			read := func() (whole, rows int) {
				require.NoError(t, tx.QueryRow(`
					SELECT sum(seq_scan), sum(coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables WHERE relname IN ('key_packs', 'key_fingerprints')`).Scan(&whole, &rows))
				return whole, rows
			}
			wholeBefore, rowsBefore := read()
			done, err := s.restockIn(s.ctx, tx, "games", n)
			require.NoError(t, err)
			require.True(t, done)
			whole, rows := read()
			require.Equal(t, wholeBefore, whole, "the whole table was read")
			require.Less(t, rows-rowsBefore, 200, "rows that indexes led to")
			return errDryRun
		}), errDryRun)
	}
	for range 10 {
		restock(7)
	}
	s.pg.SetMaxOpenConns(2) // the import's connection
	s.stock("games", keysNamed("L", 20_000)...)
	s.pg.SetMaxOpenConns(1)
	for i := range 5 {
		restock(7 + 2*i)
	}
}

// An older build that goes on with a recall does not see packed keys, and takes it for finished.
func TestARecallEndsWithTheLastPack(t *testing.T) {
	s := newShop(t)
	s.packs(4, 1)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 12)...)
	batch := s.batchOf("games")
	s.exec(`UPDATE batches SET recalled_at = now() - interval '1 h', recall = 'leaked', recalled_to = first_key WHERE id = $1`, batch)
	s.exec(`UPDATE pool_keys SET state = 'quarantined'`)
	s.exec(`UPDATE batches SET recalled_to = NULL WHERE id = $1`, batch)
	f := s.sell("game")
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(f).Status)
	s.exec(`UPDATE pool_keys SET state = 'available'`)
	n, err := s.FinishRecalls(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	view, err := s.Batch(s.ctx, "games", batch)
	require.NoError(t, err)
	require.True(t, view.Recall.Complete)
	require.Equal(t, keyturn.Stock{Quarantined: 12, Waiting: 1}, s.pool("games").Stock)
}
