package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// inStatus gives a line in each of the statuses.
func (s *shop) inStatus(status keyturn.LineStatus) string {
	s.t.Helper()
	pool := strings.ToLower(string(status))
	if _, err := s.Product(s.ctx, pool); err != nil {
		s.product(pool, fromPool(pool))
	}
	f := s.sell(pool)
	switch status {
	case keyturn.LinePending:
		return f
	case keyturn.LineWaitingForStock:
		s.claimed(f)
		return f
	case keyturn.LineHeld:
		s.resolve(f, keyturn.ActionHold)
		return f
	case keyturn.LineCanceling, keyturn.LineCanceled:
		s.resolve(f, keyturn.ActionRefund)
		if status == keyturn.LineCanceled {
			s.refunded(f)
		}
		return f
	case keyturn.LineRetrying:
		s.resolve(f, keyturn.ActionHold)
		s.resolve(f, keyturn.ActionRelease)
		return f
	case keyturn.LineObtained, keyturn.LineDelivered:
		s.stock(pool, "K-"+f)
		s.claimed(f)
		if status == keyturn.LineDelivered {
			s.delivered(f)
		}
	}
	return f
}

// Every action on a line in every status: what it leads to, or that it changes nothing.
func TestEveryDecisionInEveryStatus(t *testing.T) {
	s := newShop(t)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	after := map[keyturn.Action]func(was keyturn.LineStatus) keyturn.LineStatus{
		keyturn.ActionRetry: func(was keyturn.LineStatus) keyturn.LineStatus {
			if was == keyturn.LineHeld {
				return keyturn.LineRetrying
			}
			return was
		},
		keyturn.ActionSupply: func(was keyturn.LineStatus) keyturn.LineStatus {
			if was == keyturn.LinePending {
				return keyturn.LineObtained
			}
			return keyturn.LineRetrying
		},
		keyturn.ActionRefund:  func(keyturn.LineStatus) keyturn.LineStatus { return keyturn.LineCanceling },
		keyturn.ActionHold:    func(keyturn.LineStatus) keyturn.LineStatus { return keyturn.LineHeld },
		keyturn.ActionRelease: func(keyturn.LineStatus) keyturn.LineStatus { return keyturn.LineRetrying },
		keyturn.ActionExtend:  func(was keyturn.LineStatus) keyturn.LineStatus { return was },
	}
	for _, status := range keyturn.LineStatuses {
		for _, action := range keyturn.Actions {
			what := fmt.Sprintf("%s of a line that is %s", action, status)
			f := s.inStatus(status)
			require.Equal(t, status, s.status(f), what)
			r := keyturn.Resolution{ID: "r1", Action: action, Reason: "because", By: "ada"}
			if action == keyturn.ActionExtend {
				r.Until = &until
			}
			if action == keyturn.ActionSupply {
				err := s.StageSupply(s.ctx, f, "", []string{"BY-HAND-" + f})
				require.Equal(t, action.Allows(status), err == nil, what)
			}
			next, err := s.Resolve(s.ctx, f, r)
			if !action.Allows(status) {
				wantKind(t, err, keyturn.KindConflict)
				require.Equal(t, status, s.status(f), what)
				require.Zero(t, read[int](s, `SELECT count(*) FROM resolutions WHERE line_id = $1 AND id = 'r1'`, s.lineID(f)),
					what)
				continue
			}
			require.NoError(t, err, what)
			require.Equal(t, after[action](status), next.Status, what)
			version := next.Version

			next, err = s.Resolve(s.ctx, f, r)
			require.NoError(t, err, what)
			require.Equal(t, version, next.Version, "the same decision twice is one: "+what)
			known, _, err := s.Resolved(s.ctx, f, "r1")
			require.NoError(t, err)
			require.True(t, known)
			v, err := s.Fulfillment(s.ctx, f)
			require.NoError(t, err)
			last := v.Resolutions[len(v.Resolutions)-1]
			require.Equal(t, []string{string(action), "because", "ada"}, []string{string(last.Action), last.Reason, last.By},
				what)
			if action == keyturn.ActionExtend {
				require.InDelta(t, time.Until(until), time.Duration(next.Left), float64(time.Minute))
			}
		}
	}
}

func TestMalformedDecisionsChangeNothing(t *testing.T) {
	s := newShop(t)
	f := s.inStatus(keyturn.LineRetrying)
	past := time.Now().Add(-time.Hour)
	for _, r := range []keyturn.Resolution{
		{},
		{Action: "deliver"},
		{Action: keyturn.ActionExtend},
		{Action: keyturn.ActionExtend, Until: &past},
		{Action: keyturn.ActionRetry, Reason: "\x00"},
		{Action: keyturn.ActionRetry, ID: "\xff"},
		{Action: keyturn.ActionRetry, By: "a\nb"},
	} {
		_, err := s.Resolve(s.ctx, f, r)
		wantKind(t, err, keyturn.KindInvalid)
	}
	require.Equal(t, keyturn.LineRetrying, s.status(f))
}

// Two people decide at the same moment: both are carried out, one after the other, or the second is refused.
func TestConcurrentDecisions(t *testing.T) {
	s := newShop(t)
	for range 10 {
		f := s.inStatus(keyturn.LineRetrying)
		good := 0
		for _, err := range atOnce(6, func(i int) error {
			_, err := s.Resolve(s.ctx, f, keyturn.Resolution{
				ID:     fmt.Sprint(i % 2),
				Action: []keyturn.Action{keyturn.ActionRefund, keyturn.ActionHold}[i%2],
			})
			return err
		}) {
			if err == nil {
				good++
			} else {
				wantKind(t, err, keyturn.KindConflict)
			}
		}
		require.Positive(t, good)
		require.Contains(t, []keyturn.LineStatus{keyturn.LineCanceling, keyturn.LineHeld}, s.status(f))
	}
}

func TestSupply(t *testing.T) {
	s := newShop(t)
	s.product("gift", byHand)
	f := s.order("o1", lineOf("gift", 2))[0]
	_, err := s.Resolve(s.ctx, f, keyturn.Resolution{ID: "r1", Action: keyturn.ActionSupply})
	wantKind(t, err, keyturn.KindConflict)
	for _, bad := range [][]string{
		nil,
		{"one"},
		{"one", "two", "three"},
		{"one", "one"},
		{"one", ""},
		{"one", " \u200b\n"},
		{"one", " one\r\n"},
		{"one", "t\two"},
		{"one", "t\u200bwo"},
		{"one", "\x00"},
		{"one", strings.Repeat("x", keyturn.MaxKeyLength+1)},
	} {
		wantKind(t, s.StageSupply(s.ctx, f, "", bad), keyturn.KindInvalid)
	}
	require.NoError(t, s.StageSupply(s.ctx, f, "", []string{"wrong", "typo"}))
	require.NoError(t, s.StageSupply(s.ctx, f, "", []string{"\ufeffone ", "two\r\nlines\r\n"}),
		"what is stored last counts")
	next := s.resolve(f, keyturn.ActionSupply)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.Equal(t, []string{"one", "two\nlines"}, s.keysOf(f))
	require.Zero(t, read[int](s, `SELECT count(*) FROM supplies`))
	s.delivered(f)
	wantKind(t, s.StageSupply(s.ctx, f, "", []string{"one", "two"}), keyturn.KindConflict)
}

// A line whose keys are there and whose e-mail is late takes no other keys.
func TestSupplyOfALineThatHasItsKeys(t *testing.T) {
	s := newShop(t)
	f := s.inStatus(keyturn.LineObtained)
	s.failDelivery(f, s.beginDelivery(f), false)
	require.Equal(t, keyturn.LineRetrying, s.status(f))
	if err := s.StageSupply(s.ctx, f, "", []string{"another"}); err == nil {
		_, err = s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionSupply})
		wantKind(t, err, keyturn.KindConflict)
	}
	require.Equal(t, []string{"K-" + f}, s.keysOf(f))
}

func TestHoldEndsByItself(t *testing.T) {
	s := newShop(t)
	f := s.inStatus(keyturn.LineRetrying)
	until := time.Now().Add(time.Hour)
	next, err := s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionHold, Until: &until})
	require.NoError(t, err)
	require.InDelta(t, time.Hour, time.Duration(next.Wait), float64(time.Minute))
	next, err = s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineHeld, next.Status, "not yet")
	s.later(time.Hour)
	next, err = s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineRetrying, next.Status)
	require.Equal(t, keyturn.DoClaim, next.Do)
}

// The deadline keeps running while a line is held, and a person can move it.
func TestDeadlines(t *testing.T) {
	s := newShop(t)
	f := s.inStatus(keyturn.LineHeld)
	s.later(keyturn.DefaultGiveUp)
	next, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineRetrying, next.Status, "the last attempt")
	require.Equal(t, keyturn.LineCanceling, s.claimed(f).Status)

	g := s.inStatus(keyturn.LineWaitingForStock)
	until := time.Now().Add(keyturn.DefaultGiveUp + time.Hour)
	_, err = s.Resolve(s.ctx, g, keyturn.Resolution{Action: keyturn.ActionExtend, Until: &until})
	require.NoError(t, err)
	s.later(keyturn.DefaultGiveUp)
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(g).Status, "an hour is left")
	s.later(time.Hour)
	require.Equal(t, keyturn.LineCanceling, s.claimed(g).Status)
}

// Nobody supplied keys in time.
func TestManualLineEndsAtItsDeadline(t *testing.T) {
	s := newShop(t)
	s.product("gift", byHand)
	f := s.sell("gift")
	next, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoAwait, next.Do)
	require.InDelta(t, keyturn.DefaultGiveUp, time.Duration(next.Wait), float64(time.Minute))
	s.later(keyturn.DefaultGiveUp)
	next, err = s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	require.Equal(t, keyturn.KindUnavailable, next.Failure.Kind)
}
