package db

import (
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// The steps that the database allows are those of the code, which are those of the chart in
// docs/understand/state-machine.md (TestChartShowsTheTransitions).
func TestDatabaseAllowsTheSameSteps(t *testing.T) {
	s := newShop(t)
	text := read[string](s, `SELECT prosrc FROM pg_proc WHERE proname = 'line_may_become'`)
	stored := map[string]bool{}
	for _, m := range regexp.MustCompile(`'([A-Z_]+>[A-Z_]+)'`).FindAllStringSubmatch(text, -1) {
		stored[m[1]] = true
	}
	coded := map[string]bool{}
	for from, next := range keyturn.LineTransitions {
		for _, to := range next {
			coded[string(from)+">"+string(to)] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(coded)), slices.Sorted(maps.Keys(stored)))
}

// And it enforces them, whoever writes.
func TestDatabaseRefusesEveryOtherStep(t *testing.T) {
	s := newShop(t)
	for _, from := range keyturn.LineStatuses {
		for _, to := range keyturn.LineStatuses {
			err := s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
				if _, err := tx.ExecContext(s.ctx, `
					INSERT INTO line_log (line_id, version, from_status, to_status, by)
						VALUES (gen_random_uuid(), 2, $1, $2, 'test')`, from, to); err != nil {
					return err
				}
				return errUndo
			})
			if from.CanBecome(to) {
				require.ErrorIs(t, err, errUndo, "%s to %s", from, to)
			} else {
				require.ErrorContains(t, err, "line_transitions", "%s to %s", from, to)
			}
		}
	}
}

func TestDatabaseComputesTheSameOrderStatus(t *testing.T) {
	s := newShop(t)
	rows := reads[struct {
		Status keyturn.OrderStatus `db:"status"`
		keyturn.LineCounts
	}](s, `
		SELECT lines_total AS total, lines_trouble AS trouble, lines_delivered AS delivered, lines_canceling AS canceling,
			lines_canceled AS canceled, order_status(lines_total, lines_trouble, lines_delivered, lines_canceling,
				lines_canceled) AS status
		FROM generate_series(1, 5) AS lines_total, generate_series(0, 5) AS lines_trouble,
			generate_series(0, 5) AS lines_delivered,
			generate_series(0, 5) AS lines_canceling, generate_series(0, 5) AS lines_canceled
		WHERE lines_trouble + lines_delivered + lines_canceling + lines_canceled <= lines_total`)
	require.Len(t, rows, 5+15+35+70+126) // the ways to share n lines over four heaps and a rest, for n up to five
	for _, r := range rows {
		require.Equal(t, keyturn.OrderStatusOf(r.LineCounts), r.Status, "%+v", r.LineCounts)
	}
}

func TestLineMayNotSkipItsVersion(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	f := s.sell("game")
	err := s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		l, err := lockLine(s.ctx, tx, f)
		if err != nil {
			return err
		}
		l.Version-- // as if somebody had written in between
		l.Status = keyturn.LineCanceling
		return l.save(s.ctx, tx, "test", "")
	})
	wantKind(t, err, keyturn.KindConflict)
	require.Equal(t, keyturn.LinePending, s.status(f))
}
