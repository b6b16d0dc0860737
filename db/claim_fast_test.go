package db

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func (s *shop) sells(n, quantity int) []string {
	s.t.Helper()
	lines := make([]string, n)
	for i := range lines {
		lines[i] = s.order(newID(), lineOf("game", quantity))[0]
	}
	return lines
}

// Lines that claim at the same moment and want more than there is take what there is.
func TestLinesThatWantMoreThanThereIsTakeWhatThereIs(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 7)...)
	lines := s.sells(5, 2)
	for _, err := range atOnce(len(lines), func(i int) error { return second(s.Claim(s.ctx, lines[i], nil)) }) {
		require.NoError(t, err)
	}
	require.Equal(t, 2, read[int](s, `SELECT count(*) FROM line_items WHERE status = 'WAITING_FOR_STOCK'`))
	require.Equal(t, 6, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'claimed'`))
	require.Equal(t, 3, read[int](s, `SELECT count(DISTINCT line_id) FROM pool_keys WHERE state = 'claimed'`))
}

// A line that somebody else has locked takes nothing on the fast path, and waits for the lock on the general one.
func TestALockedLineClaimsWhenItIsFree(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1", "K-2")
	lines := s.sells(2, 1)
	tx, err := s.pg.Beginx()
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = lockLine(s.ctx, tx, lines[0])
	require.NoError(t, err)
	_, ok, err := s.claimFast(s.ctx, lines[0], nil)
	require.NoError(t, err)
	require.False(t, ok)
	require.Zero(t, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'claimed'`))
	claimed := make(chan error, 1)
	go func() { claimed <- second(s.Claim(s.ctx, lines[0], nil)) }()
	s.claimed(lines[1]) // it is nobody's business but the line's
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-claimed)
	require.Len(t, s.keysOf(lines[0]), 1)
	require.Len(t, s.keysOf(lines[1]), 1)
}

// One that was changed since it was read takes nothing on the fast path.
func TestAChangedLineClaimsNothingOnTheFastPath(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "K-1")
	f := s.sell("game")
	l, err := s.readLine(s.ctx, f)
	require.NoError(t, err)
	s.resolve(f, keyturn.ActionHold)
	l.markObtained()
	taken, err := s.claimKeys(s.ctx, s.pg.Implicit(), l, "games", l.CreatedAt, byWorkflow, "")
	require.NoError(t, err)
	require.Empty(t, taken)
	require.Equal(t, keyturn.LineHeld, s.claimed(f).Status)
	require.Empty(t, s.keysOf(f))
}

// A claim that gives up while its statement is under way takes nothing, and nobody waits for it.
func TestAClaimThatGivesUpIsUndone(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", keysNamed("K", 10)...)
	lines := s.sells(2, 1)
	tx, err := s.pg.Beginx()
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.Exec(`LOCK TABLE pool_stock IN EXCLUSIVE MODE`)
	require.NoError(t, err)
	ctx, giveUp := context.WithCancel(s.ctx)
	defer giveUp()
	gone := make(chan error, 1)
	go func() { gone <- second(s.Claim(ctx, lines[0], nil)) }()
	s.waitFor(func() bool {
		return read[int](
			s, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('pool_stock' AS regclass)`) > 0
	})
	giveUp()
	require.Error(t, <-gone)
	require.NoError(t, tx.Rollback())
	require.Equal(t, keyturn.DoDeliver, s.claimed(lines[1]).Do)
	require.Equal(t, []string{"K-00000"}, s.keysOf(lines[1]), "the other one's claim was undone")
	require.Equal(t, keyturn.DoDeliver, s.claimed(lines[0]).Do)
}

// A claim that waits for keys which others hold ends with its context.
func TestAContendedClaimEndsWithItsContext(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("games"))
	s.stock("games", "the-last")
	f := s.sell("game")
	require.ErrorIs(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(s.ctx, `SELECT FROM pool_keys FOR UPDATE`); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond) // a connection comes first
		defer cancel()
		_, err := s.Claim(ctx, f, nil)
		wantKind(t, err, keyturn.KindUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		return errUndo
	}), errUndo)
	require.Equal(t, keyturn.LinePending, s.status(f))
}

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
			SELECT CAST(to_jsonb(l) - ARRAY['id', 'fulfillment_id', 'order_id', 'created_at', 'source_started_at', 'obtained_at',
				'give_up_at'] AS text)
				|| (give_up_at - created_at) || (source_started_at = created_at) || (obtained_at IS NOT NULL)
				|| (SELECT string_agg(concat_ws(' ', g.version, from_status, to_status, by, reason), ',') FROM line_log g
					WHERE g.line_id = l.id)
			FROM line_items l WHERE fulfillment_id = $1`, f)
	}
	require.Equal(t, booked(lines[1]), booked(lines[0]))
}
