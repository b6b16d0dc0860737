package db

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
)

// modelLine is what a few lines of Go believe of a line item.
type modelLine struct {
	f       string
	product string
	units   int
	status  keyturn.LineStatus
	has     bool // its keys
	pooled  bool // from a pool
	sending *Delivery
	seen    bool // somebody may know its keys
	call    *Call
}

// model is a shop of few lines and what is believed of it. Every action runs on the database and on the belief, and
// both must agree after each.
type model struct {
	*shop
	prefix      string
	lines       []*modelLine
	imported    int
	available   int
	quarantined int
}

var modelRuns atomic.Int64

func newModel(s *shop) *model {
	m := &model{shop: s, prefix: fmt.Sprintf("m%d-", modelRuns.Add(1))}
	for _, p := range []keyturn.Product{
		{ID: m.prefix + "game", Sources: []keyturn.Source{fromPool(m.prefix + "pool")}},
		{ID: m.prefix + "app", Sources: []keyturn.Source{fromEndpoint(m.prefix + "acme")}},
	} {
		m.put(p)
	}
	return m
}

func (m *model) pick(t *rapid.T, fits func(l *modelLine) bool) *modelLine {
	var some []*modelLine
	for _, l := range m.lines {
		if fits(l) {
			some = append(some, l)
		}
	}
	if len(some) == 0 {
		t.Skip("no line fits")
	}
	return rapid.SampledFrom(some).Draw(t, "line")
}

func anyLine(*modelLine) bool { return true }

func (l *modelLine) undecided() bool { return l.status.Open() && l.status != keyturn.LineCanceling }

func (m *model) accept(t *rapid.T) {
	if len(m.lines) > 5 {
		t.Skip("enough lines")
	}
	var items []keyturn.LineItem
	var lines []*modelLine
	for range rapid.IntRange(1, 3).Draw(t, "lines") {
		l := &modelLine{
			product: rapid.SampledFrom([]string{"game", "app"}).Draw(t, "product"), units: 1,
			status: keyturn.LinePending,
		}
		l.pooled = l.product == "game"
		if l.pooled {
			l.units = rapid.IntRange(1, 2).Draw(t, "quantity")
		}
		items, lines = append(items, lineOf(m.prefix+l.product, l.units)), append(lines, l)
	}
	for i, f := range m.order(fmt.Sprintf("%so%d", m.prefix, len(m.lines)), items...) {
		lines[i].f = f
		m.lines = append(m.lines, lines[i])
	}
}

// obtain is what a line's getting its keys does.
func (l *modelLine) obtain() {
	l.has = true
	if l.status == keyturn.LinePending {
		l.status = keyturn.LineObtained
	} else {
		l.status = keyturn.LineRetrying
	}
}

func (m *model) claim(t *rapid.T) {
	l := m.pick(t, func(l *modelLine) bool { return l.pooled })
	m.claimed(l.f)
	if !l.undecided() || l.has || l.status == keyturn.LineHeld {
		return
	}
	others := slices.ContainsFunc(m.lines[:slices.Index(m.lines, l)],
		func(o *modelLine) bool { return o.status == keyturn.LineWaitingForStock })
	if others || m.available < l.units {
		l.status = keyturn.LineWaitingForStock
		return
	}
	m.available -= l.units
	l.obtain()
}

func (m *model) serve() {
	for _, l := range m.lines {
		if l.status != keyturn.LineWaitingForStock {
			continue
		}
		if m.available < l.units {
			return
		}
		m.available -= l.units
		l.obtain()
	}
}

func (m *model) importKeys(t *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(t, "keys")
	m.stock(m.prefix+"pool", keysNamed(fmt.Sprintf("%s%d", m.prefix, m.imported), n)...)
	m.imported += n
	m.available += n
	m.serve()
}

func (m *model) serveWaiting() {
	_, err := m.ServeWaiting(m.ctx, 10, 0)
	require.NoError(m.t, err)
	m.serve()
}

func (m *model) call(t *rapid.T) {
	l := m.pick(t, func(l *modelLine) bool { return !l.pooled })
	call, _, wait, err := m.BeginCall(m.ctx, l.f, callTimeout, renderCall)
	switch {
	case !l.undecided() || l.has || l.status == keyturn.LineHeld:
		require.NoError(t, err)
		require.Nil(t, call)
	case l.call != nil:
		wantKind(t, err, keyturn.KindConflict)
		require.Positive(t, wait)
	default:
		require.NoError(t, err)
		l.call = call
	}
}

func (m *model) answer(t *rapid.T) {
	l := m.pick(t, func(l *modelLine) bool { return l.call != nil })
	good := rapid.Bool().Draw(t, "good")
	permanent := rapid.Bool().Draw(t, "permanent")
	r := answered(l.call, "KEY-"+l.f)
	if !good {
		r = refused(l.call, keyturn.KindRejected)
		r.Failed.Permanent = permanent
	}
	m.finishCall(l.f, r)
	l.call = nil
	switch {
	case !l.undecided():
	case good && l.status == keyturn.LineHeld:
		l.has = true
	case good:
		l.obtain()
	case l.status == keyturn.LineHeld:
	case permanent:
		l.status = keyturn.LineCanceling
	default:
		l.status = keyturn.LineRetrying
	}
}

func (m *model) beginMail(t *rapid.T) {
	l := m.pick(t, anyLine)
	d, _, _, err := m.BeginDelivery(m.ctx, l.f, renderMail)
	switch {
	case !l.undecided() || !l.has || l.status == keyturn.LineHeld:
		require.NoError(t, err)
		require.Nil(t, d)
	case l.sending != nil:
		wantKind(t, err, keyturn.KindConflict)
	default:
		require.NoError(t, err)
		l.sending = d
	}
}

func (m *model) finishMail(t *rapid.T) {
	l := m.pick(t, func(l *modelLine) bool { return l.sending != nil })
	var failed *StepFailure
	exposed := rapid.Bool().Draw(t, "exposed")
	if rapid.Bool().Draw(t, "fails") {
		failed = mailServerDown
	}
	_, err := m.FinishDelivery(m.ctx, l.f, l.sending, failed, exposed)
	require.NoError(t, err)
	l.sending = nil
	switch {
	case failed == nil:
		l.status, l.seen = keyturn.LineDelivered, true
	case l.status != keyturn.LineHeld:
		l.status = keyturn.LineRetrying
	}
	l.seen = l.seen || exposed
}

func (m *model) decide(t *rapid.T) {
	l := m.pick(t, anyLine)
	action := rapid.SampledFrom([]keyturn.Action{
		keyturn.ActionHold, keyturn.ActionRelease, keyturn.ActionRetry,
		keyturn.ActionRefund,
	}).Draw(t, "action")
	_, err := m.Resolve(m.ctx, l.f, keyturn.Resolution{Action: action})
	if !action.Allows(l.status) || action == keyturn.ActionRefund && l.sending != nil {
		wantKind(t, err, keyturn.KindConflict)
		return
	}
	require.NoError(t, err)
	switch action { //nolint:exhaustive // of those above
	case keyturn.ActionHold:
		l.status = keyturn.LineHeld
	case keyturn.ActionRelease:
		l.status = keyturn.LineRetrying
	case keyturn.ActionRetry:
		if l.status == keyturn.LineHeld {
			l.status = keyturn.LineRetrying
		}
	case keyturn.ActionRefund:
		l.status = keyturn.LineCanceling
		if l.pooled && l.has && l.seen {
			m.quarantined += l.units
		} else if l.pooled && l.has {
			m.available += l.units
		}
	}
}

func (m *model) refund(t *rapid.T) {
	l := m.pick(t, func(l *modelLine) bool { return l.status == keyturn.LineCanceling })
	m.refunded(l.f)
	l.status = keyturn.LineCanceled
}

// agree requires that the database is what the model believes.
func (m *model) agree() {
	m.t.Helper()
	for i, l := range m.lines {
		require.Equal(m.t, l.status, m.status(l.f), "line %d (%s)", i, l.product)
		if l.has && l.undecided() {
			require.Len(m.t, m.keysOf(l.f), l.units)
		}
	}
	stock := m.pool(m.prefix + "pool").Stock
	require.EqualValues(m.t, m.available, stock.Available)
	require.EqualValues(m.t, m.quarantined, stock.Quarantined)
	require.EqualValues(m.t, m.imported, stock.Available+stock.Claimed+stock.Delivered+stock.Quarantined,
		"no key appears or goes")
	m.invariants(m.prefix)
}

// settle brings every line to its end: what every line of a shop must come to.
func (m *model) settle() {
	m.t.Helper()
	m.stock(m.prefix+"pool", keysNamed(m.prefix+"last", 20)...)
	m.serve()
	for _, l := range m.lines {
		if l.call != nil {
			m.finishCall(l.f, answered(l.call, "KEY-"+l.f))
		}
		if l.sending != nil {
			_, err := m.FinishDelivery(m.ctx, l.f, l.sending, nil, false)
			require.NoError(m.t, err)
		}
		if m.status(l.f) == keyturn.LineHeld {
			m.resolve(l.f, keyturn.ActionRelease)
		}
		for range 3 {
			switch m.next(l.f).Do { //nolint:exhaustive // nobody is waited for
			case keyturn.DoClaim:
				m.claimed(l.f)
			case keyturn.DoCall:
				m.finishCall(l.f, answered(m.beginCall(l.f), "KEY-"+l.f))
			case keyturn.DoDeliver:
				m.delivered(l.f)
			case keyturn.DoRefund:
				m.refunded(l.f)
			}
		}
		final := m.status(l.f)
		require.Contains(m.t, []keyturn.LineStatus{keyturn.LineDelivered, keyturn.LineCanceled}, final)
		sent := read[bool](m.shop,
			`SELECT EXISTS (SELECT FROM deliveries WHERE line_id = $1 AND kind = 'keys' AND status = 'SENT')`, m.lineID(l.f))
		paid := read[bool](m.shop,
			`SELECT EXISTS (SELECT FROM sandbox_refunds WHERE key = 'refund-' || $1 AND applied_at IS NOT NULL)`, m.lineID(l.f))
		require.NotEqual(m.t, sent, paid, "delivered or refunded, never both, never neither")
	}
	m.invariants(m.prefix)
}

// Random stories of a few lines: after every step the database agrees with the model and every invariant holds, and in
// the end each line is delivered or refunded.
func TestRandomStoriesAgreeWithAModel(t *testing.T) {
	s := newShop(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(s.with(rt))
		m.accept(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"accept": m.accept, "claim": m.claim, "import": m.importKeys, "serve": func(*rapid.T) { m.serveWaiting() },
			"call": m.call, "answer": m.answer,
			"begin mail": m.beginMail, "finish mail": m.finishMail, "decide": m.decide, "refund": m.refund,
			"": func(*rapid.T) { m.agree() },
		})
		m.settle()
	})
}
