package db

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// alerts counts the alerts that fit a condition.
func (s *shop) alerts(where string) int {
	s.t.Helper()
	return read[int](s, `SELECT count(*) FROM alerts WHERE `+where)
}

func TestOneAlertPerLineAndCause(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f, g := s.sell("app"), s.sell("app")
	for _, kind := range []keyturn.Kind{
		keyturn.KindRejected, keyturn.KindRejected, keyturn.KindUnavailable,
		keyturn.KindRejected,
	} {
		s.finishCall(f, refused(s.beginCall(f), kind))
	}
	s.finishCall(g, refused(s.beginCall(g), keyturn.KindRejected))
	require.Equal(t, 3, s.alerts("closed_at IS NULL"))

	var mailed []Alert
	n, err := s.TakeAlerts(s.ctx, 10, func(a []Alert) error { mailed = a; return nil })
	require.NoError(t, err)
	require.Equal(t, 3, n)
	var detail AlertDetail
	require.NoError(t, json.Unmarshal([]byte(mailed[0].Detail), &detail))
	require.Equal(t, f, detail.FulfillmentID)
	require.Equal(t, "endpoint/acme", detail.Source)
	require.NotEmpty(t, detail.Happened)
	require.False(t, detail.GiveUpAt.IsZero())
	n, err = s.TakeAlerts(s.ctx, 10, func([]Alert) error { t.Error("nobody is told twice"); return nil })
	require.NoError(t, err)
	require.Zero(t, n)

	s.finishCall(f, answered(s.beginCall(f), "KEY"))
	s.delivered(f)
	require.Zero(t, s.alerts("closed_at IS NULL AND line_id = '"+s.lineID(f)+"'"), "the resolution closes them")
	require.Equal(t, 1, s.alerts("closed_at IS NULL"))
}

// An alert that could not be mailed is mailed later.
func TestAlertsThatCouldNotBeSentStay(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.claimed(s.sell("game"))
	_, err := s.TakeAlerts(s.ctx, 10, func([]Alert) error { return errors.New("the mail server is down") })
	require.Error(t, err)
	n, err := s.TakeAlerts(s.ctx, 10, func([]Alert) error { return nil })
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestConcurrentMailersShareTheAlerts(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	for _, f := range s.order("o1", repeatLine(lineOf("game", 1), 12)...) {
		s.claimed(f)
	}
	taken := make([]map[int64]bool, 4)
	for _, err := range atOnce(4, func(i int) error {
		taken[i] = map[int64]bool{}
		_, err := s.TakeAlerts(s.ctx, 12, func(alerts []Alert) error {
			for _, a := range alerts {
				taken[i][a.ID] = true
			}
			return nil
		})
		return err
	}) {
		require.NoError(t, err)
	}
	seen := map[int64]int{}
	for _, ids := range taken {
		for id := range ids {
			seen[id]++
		}
	}
	require.Len(t, seen, 12)
	for id, n := range seen {
		require.Equal(t, 1, n, "alert %d", id)
	}
}

// A product delivered by hand alerts whoever has the keys, and the alert ends with the line.
func TestManualLineAlertsUntilItIsDelivered(t *testing.T) {
	s := newShop(t)
	s.product("gift", byHand)
	f := s.sell("gift")
	for range 2 {
		next, err := s.Review(s.ctx, f)
		require.NoError(t, err)
		require.Equal(t, keyturn.DoAwait, next.Do)
	}
	require.Equal(t, 1, s.alerts("cause = 'Manual' AND closed_at IS NULL"))
	require.NoError(t, s.StageSupply(s.ctx, f, "", []string{"GIFT"}))
	s.resolve(f, keyturn.ActionSupply)
	s.delivered(f)
	require.Zero(t, s.alerts("closed_at IS NULL"))
}

func TestPoolAlertsOncePerCrossing(t *testing.T) {
	s := newShop(t)
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "p", Threshold: 3})
	require.NoError(t, err)
	s.product("game", fromPool("p"))
	_, _, err = s.PutPool(s.ctx, keyturn.Pool{ID: "without threshold"})
	require.NoError(t, err)
	batch := 0
	for _, step := range []struct {
		what          string
		sell, import_ int
		open, ever    int
	}{
		{"empty from the start", 0, 0, 1, 1},
		{"filled", 0, 5, 0, 1},
		{"at the threshold", 2, 0, 0, 1},
		{"below", 1, 0, 1, 2},
		{"further below", 1, 0, 1, 2},
		{"filled again", 0, 5, 0, 2},
		{"below again", 4, 0, 1, 3},
	} {
		for range step.sell {
			s.claimed(s.sell("game"))
		}
		if step.import_ > 0 {
			batch++
			s.stock("p", keysNamed(fmt.Sprint("B", batch), step.import_)...)
		}
		for _, err := range atOnce(4, func(int) error { return s.Stock().WatchPools(s.ctx) }) {
			require.NoError(t, err)
		}
		require.NoError(t, s.Stock().WatchPools(s.ctx))
		require.Equal(t, step.open, s.alerts("pool_id = 'p' AND closed_at IS NULL"), step.what)
		require.Equal(t, step.ever, s.alerts("pool_id = 'p'"), step.what)
	}
	require.Zero(t, s.alerts("pool_id <> 'p'"))
}

func TestMissingSearchAttributesAreToldOfOnceAndClosed(t *testing.T) {
	s := newShop(t)
	const open = "cause = 'SearchAttributes' AND closed_at IS NULL"
	for range 2 {
		require.NoError(t, s.WatchSearchAttributes(s.ctx, "shop", []string{"OrderId", "Source"}, "run this"))
		require.Equal(t, 1, s.alerts(open+" AND detail LIKE '%OrderId, Source, without which no workflow starts: run this%'"))
	}
	require.NoError(t, s.WatchSearchAttributes(s.ctx, "another", nil, ""))
	require.Equal(t, 1, s.alerts(open))
	require.NoError(t, s.WatchSearchAttributes(s.ctx, "shop", nil, ""))
	require.Zero(t, s.alerts(open))
	require.Equal(t, 1, s.alerts("cause = 'SearchAttributes'"))
}
