package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// owes are the sources of a line that are owed a cancel.
func (s *shop) owes(f string) []string {
	s.t.Helper()
	return reads[string](s, `SELECT source FROM revocations WHERE line_id = $1 AND status = 'OWED' ORDER BY source`,
		s.lineID(f))
}

// A call is cut off, and the product gets another source meanwhile. Whatever delivers the line then, the first partner
// may have issued a key, and is told to cancel it.
func TestAPartnerWhoseCallWasCutOffIsToldWhateverDelivers(t *testing.T) {
	cutOff := map[string]func(s *shop, f string){
		"answer lost": func(s *shop, f string) { s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable)) },
		"process died": func(s *shop, f string) {
			s.beginCall(f)
			s.later(callTime + time.Second)
		},
	}
	delivers := map[string]func(s *shop, f string){
		"another partner": func(s *shop, f string) {
			s.product("app", fromEndpoint("other"))
			call := s.beginCall(f)
			require.Equal(s.t, []string{"endpoint/acme"}, s.owes(f), "at once")
			s.finishCall(f, answered(call, "KEY-1"))
		},
		"a pool": func(s *shop, f string) {
			s.product("app", fromPool("p"))
			s.stock("p", "KEY-1")
			require.Equal(s.t, keyturn.DoDeliver, s.claimed(f).Do)
		},
		"a pool that was empty": func(s *shop, f string) {
			s.product("app", fromPool("p"))
			require.Equal(s.t, keyturn.LineWaitingForStock, s.claimed(f).Status)
			s.stock("p", "KEY-1")
		},
		"a person": func(s *shop, f string) {
			s.product("app", byHand)
			_, err := s.Review(s.ctx, f)
			require.NoError(s.t, err)
			require.Equal(s.t, []string{"endpoint/acme"}, s.owes(f), "at once")
			require.NoError(s.t, s.StageSupply(s.ctx, f, "", []string{"KEY-1"}))
			s.resolve(f, keyturn.ActionSupply)
		},
	}
	for how, cut := range cutOff {
		for who, deliver := range delivers {
			t.Run(how+", "+who, func(t *testing.T) {
				s := newShop(t)
				s.product("app", fromEndpoint("acme"))
				f := s.sell("app")
				cut(s, f)
				deliver(s, f)
				require.Equal(t, []string{"KEY-1"}, s.keysOf(f))
				require.Equal(t, []string{"endpoint/acme"}, s.owes(f))
				s.delivered(f)
				require.Equal(t, []string{f}, s.revoked(f, "endpoint/acme"))
			})
		}
	}
}

// A product that is changed back asks its partner again if the cancel has not left; one that was told to cancel is not
// asked for the same line any more.
func TestAProductThatIsChangedBack(t *testing.T) {
	t.Parallel()
	for told, want := range map[bool]keyturn.LineStatus{false: keyturn.LineDelivered, true: keyturn.LineCanceling} {
		s := openShop(t)
		s.product("app", fromEndpoint("acme"))
		f := s.sell("app")
		s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
		s.product("app", fromEndpoint("other"))
		r := refused(s.beginCall(f), keyturn.KindUnavailable)
		r.Sent, r.Unknown = false, false
		s.finishCall(f, r)
		if told {
			s.revoked(f, "endpoint/acme")
		}
		s.product("app", fromEndpoint("acme"))
		call, _, _, err := s.BeginCall(s.ctx, f, callTimeout, renderCall)
		require.NoError(t, err)
		if !told {
			s.finishCall(f, answered(call, "KEY-1"))
			require.Empty(t, s.owes(f))
			s.delivered(f)
		}
		require.Equal(t, want, s.status(f))
		if told {
			s.refunded(f)
		}
	}
}

// A pool that gets a currency serves no line of another, however it comes to ask: not one that is new, not one that
// waits, not a replacement.
func TestAPoolThatGetsACurrencyServesNoOther(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1", "K-2")
	owner, next := s.sell("game"), s.sell("game")
	s.claimed(owner)
	s.delivered(owner)
	euro := s.sell("game")
	s.claimed(next)
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(euro).Status)
	s.delivered(next)
	late := s.sell("game")
	require.NoError(t, s.OweReplacements(s.ctx, owner, nil, "leaked", "ops"))
	_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: "p", Currency: "USD"})
	require.NoError(t, err)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_items WHERE wake_at <= now() AND waiting_pool = 'p'`),
		"it is woken to go on")
	s.stock("p", "K-3", "K-4", "K-5")
	_, err = s.ReplaceOwed(s.ctx, 10, renderMail)
	require.ErrorContains(t, err, "sells in USD")
	_, err = s.ServeWaiting(s.ctx, 10, 0)
	require.NoError(t, err)
	for _, f := range []string{euro, late} {
		require.Equal(t, keyturn.LineCanceling, s.claimed(f).Status, "no source is left")
		s.refunded(f)
	}
	require.Equal(t, int64(3), s.pool("p").Stock.Available)
	s.exec(`UPDATE replacements SET status = 'VOID', done_at = now()`)
}

// The currency changes between the look at a line and the statement that takes its keys.
func TestACurrencyThatChangesBetweenTwoStatements(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	f := s.sell("game")
	l, err := s.readLine(s.ctx, f)
	require.NoError(t, err)
	_, _, err = s.PutPool(s.ctx, keyturn.Pool{ID: "p", Currency: "USD"})
	require.NoError(t, err)
	l.markObtained()
	taken, err := s.claimKeys(s.ctx, s.pg.Implicit(), l, "p", l.CreatedAt, byWorkflow, "")
	require.NoError(t, err)
	require.Empty(t, taken)
	require.Equal(t, keyturn.LineCanceling, s.claimed(f).Status)
	s.refunded(f)
}

// What was paid is what is delivered, whatever becomes of the product's quantity mode.
func TestAQuantityModeThatChangesShortsNobody(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("app", fromEndpoint("acme"))
	game, app := s.order("o1", lineOf("game", 3))[0], s.order("o2", lineOf("app", 2))[0]
	s.put(keyturn.Product{ID: "game", Sources: []keyturn.Source{fromPool("p")}, QuantityMode: keyturn.OnePerLine})
	s.put(keyturn.Product{ID: "app", Sources: []keyturn.Source{fromEndpoint("acme")}, QuantityMode: keyturn.OnePerLine})
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(game).Status)
	s.stock("p", "K-1", "K-2")
	require.Equal(t, keyturn.LineWaitingForStock, s.status(game))
	s.stock("p", "K-3")
	require.Len(t, s.keysOf(game), 3)
	s.delivered(game)
	s.finishCall(app, answered(s.beginCall(app), "A"))
	require.Equal(t, keyturn.DoDeliver, s.finishCall(app, answered(s.beginCall(app), "B")).Do)
	s.delivered(app)
	one := s.order("o3", lineOf("game", 3))[0]
	s.stock("p", "K-4")
	s.claimed(one)
	require.Len(t, s.keysOf(one), 1, "what is sold now is one")
	s.delivered(one)
}

// A recall's replacements come before lines that wait, and before new ones, whoever asks when.
func TestReplacementsComeFirst(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "bad")
	owner, waits := s.sell("game"), s.sell("game")
	s.claimed(owner)
	s.claimed(waits)
	s.delivered(owner)
	require.NoError(t, s.OweReplacements(s.ctx, owner, nil, "leaked", "ops"))
	s.stock("p", "K-1", "K-2")
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(waits).Status, "its own retry")
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(s.sell("game")).Status, "a new line")
	n, err := s.ReplaceOwed(s.ctx, 10, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = s.ServeWaiting(s.ctx, 10, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"K-1"}, s.keysOf(owner))
	require.Equal(t, []string{"K-2"}, s.keysOf(waits))
}

// movesTo is a renderer whose requests are for one address, as those of package activities are.
func movesTo(address string) RenderCall {
	return func(f CallFacts) ([]byte, error) {
		if f.Stored != nil && string(f.Stored[:len(address)]) != address {
			return nil, ErrMoved
		}
		if f.Stored != nil {
			return f.Stored, nil
		}
		return []byte(address + " " + string(f.Operation) + " " + f.LicenseID), nil
	}
}

// A partner moves its address. What never left, or was answered, goes to the new one; where nobody knows what became of
// a call at the old one, a person decides, and nobody is refunded for it meanwhile.
func TestAPartnerThatMoves(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	begin := func(f, address string) (*Call, keyturn.Next) {
		t.Helper()
		call, next, _, err := s.BeginCall(s.ctx, f, callTimeout, movesTo(address))
		require.NoError(t, err)
		return call, next
	}
	never, refusedOnce, open := s.sell("app"), s.sell("app"), s.sell("app")
	call, _ := begin(never, "old")
	r := refused(call, keyturn.KindUnavailable)
	r.Sent, r.Unknown = false, false
	s.finishCall(never, r)
	call, _ = begin(refusedOnce, "old")
	s.finishCall(refusedOnce, refused(call, keyturn.KindRejected))
	for _, f := range []string{never, refusedOnce} {
		call, _ = begin(f, "new")
		require.Equal(t, "new create "+f, string(call.Request))
		s.finishCall(f, refused(call, keyturn.KindRejected))
		call, _ = begin(f, "new")
		require.Equal(t, "new create "+f, string(call.Request))
		s.finishCall(f, answered(call, "KEY-"+f))
		s.delivered(f)
	}
	require.Zero(t, s.alerts("cause = 'PartnerMoved'"))

	call, _ = begin(open, "old")
	s.finishCall(open, refused(call, keyturn.KindUnavailable))
	call, next := begin(open, "new")
	require.Nil(t, call)
	require.Equal(t, []any{keyturn.LineHeld, keyturn.DoAwait}, []any{next.Status, next.Do})
	require.Equal(t, 1, s.alerts("cause = 'PartnerMoved' AND closed_at IS NULL"))
	s.later(2 * keyturn.DefaultGiveUp)
	next, err := s.Review(s.ctx, open)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineHeld, next.Status, "nobody is refunded for that")
	s.resolve(open, keyturn.ActionRetry)
	require.Zero(t, s.alerts("cause = 'PartnerMoved' AND closed_at IS NULL"))
	call, _ = begin(open, "new")
	require.Equal(t, "new create "+open, string(call.Request))
	s.finishCall(open, answered(call, "KEY-"+open))
	s.delivered(open)
}

// A source that starts anew has not forgotten that nobody knows what became of a call: only a person lets that go.
func TestASourceThatStartsAnewDoesNotForgetAnOpenCall(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	call, _, _, err := s.BeginCall(s.ctx, f, callTimeout, movesTo("old"))
	require.NoError(t, err)
	s.finishCall(f, refused(call, keyturn.KindUnavailable))
	s.exec(`UPDATE line_items SET source_started_at = now() WHERE fulfillment_id = $1`, f)
	call, next, _, err := s.BeginCall(s.ctx, f, callTimeout, movesTo("new"))
	require.NoError(t, err)
	require.Nil(t, call)
	require.Equal(t, keyturn.LineHeld, next.Status)
}

// A partner moves, a person lets its line go on, and by then the partner has moved back: it gets what it got before,
// although today's build or catalog would say it in other words.
func TestAPartnerThatMovesBackGetsTheSameBytes(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	call, _, _, err := s.BeginCall(s.ctx, f, callTimeout, func(CallFacts) ([]byte, error) {
		return []byte("old create in words of then"), nil
	})
	require.NoError(t, err)
	s.finishCall(f, refused(call, keyturn.KindUnavailable))
	call, _, _, err = s.BeginCall(s.ctx, f, callTimeout, movesTo("new"))
	require.NoError(t, err)
	require.Nil(t, call)
	s.resolve(f, keyturn.ActionRetry)
	call, _, _, err = s.BeginCall(s.ctx, f, callTimeout, movesTo("old"))
	require.NoError(t, err)
	require.Equal(t, "old create in words of then", string(call.Request))

	s.finishCall(f, refused(call, keyturn.KindUnavailable))
	call, next, _, err := s.BeginCall(s.ctx, f, callTimeout, movesTo("new"))
	require.NoError(t, err)
	require.Nil(t, call, "what was asked since is open again")
	require.Equal(t, keyturn.LineHeld, next.Status)
	s.resolve(f, keyturn.ActionRetry)
	call, _, _, err = s.BeginCall(s.ctx, f, callTimeout, movesTo("new"))
	require.NoError(t, err)
	require.Equal(t, "new create "+f, string(call.Request))
}
