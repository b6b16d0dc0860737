package db

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// poolModel is what a pool must be: its keys in the order of their import, and whose they are.
type poolModel struct {
	s       *shop
	pool    string
	keys    []*modelKey
	batches []string
	undone  map[string]bool
	recalls map[string]bool
	lines   map[string][]*modelKey // by fulfillment; of lines that are not refunded
	sent    map[string]bool
	waiting []string
	n       int
}

type modelKey struct {
	text, batch string
	state       keyturn.KeyState
	owed        bool
	old         bool // too little of its validity is left
}

func (m *poolModel) free() (out []*modelKey) {
	for _, k := range m.keys {
		if k.state == keyturn.KeyAvailable && !k.old {
			out = append(out, k)
		}
	}
	return out
}

// serve gives keys to lines that wait, in their order, as far as there are any.
func (m *poolModel) serve() {
	for len(m.waiting) > 0 && len(m.free()) > 0 {
		m.give(m.waiting[0])
		m.waiting = m.waiting[1:]
	}
}

func (m *poolModel) give(f string) {
	k := m.free()[0]
	k.state = keyturn.KeyClaimed
	m.lines[f] = []*modelKey{k}
}

func (m *poolModel) imports(t *rapid.T) {
	var rows []string
	n := rapid.IntRange(1, 6).Draw(t, "keys")
	known := rapid.Bool().Draw(t, "with known keys") && len(m.keys) > 0
	old := rapid.IntRange(0, 3).Draw(t, "old")
	var fresh []*modelKey
	for i := range n {
		m.n++
		k := &modelKey{text: fmt.Sprintf("%s-%04d", m.pool, m.n), state: keyturn.KeyAvailable}
		until := ""
		if i < old {
			until = time.Now().AddDate(0, 0, 2).Format(time.DateOnly)
		}
		fresh, rows = append(fresh, k), append(rows, k.text+","+until)
	}
	expected := n
	if known {
		k := m.keys[len(m.keys)/2]
		rows = append(rows, k.text+",")
		if k.state == keyturn.KeyWithdrawn && !slices.ContainsFunc(m.keys,
			func(o *modelKey) bool { return o.text == k.text && o.state != keyturn.KeyWithdrawn }) {
			fresh, expected = append(fresh, &modelKey{text: k.text, state: keyturn.KeyAvailable}), n+1
		}
	}
	dry := rapid.Bool().Draw(t, "dry run")
	r, err := m.s.ImportFile(m.s.ctx, stock.ImportInput{
		Pool: m.pool, By: "ops", CSV: true, Column: "1", ExpiryColumn: "2",
		DryRun: dry, File: strings.NewReader(strings.Join(rows, "\n")),
	})
	require.NoError(t, err)
	require.Equal(t, expected, r.Accepted)
	if dry {
		return
	}
	for _, k := range fresh {
		k.batch = r.BatchID
	}
	m.keys, m.batches = append(m.keys, fresh...), append(m.batches, r.BatchID)
	before := len(m.waiting)
	if !m.owes() {
		m.serve()
	}
	require.Equal(t, before-len(m.waiting), r.Served)
}

func (m *poolModel) owes() bool {
	for f, keys := range m.lines { // a line gets its replacement after its first e-mail, and holds up nobody before
		if m.sent[f] && keys[len(keys)-1].owed {
			return true
		}
	}
	return false
}

// claims sells a unit. A claim may crash before it commits, and may be repeated after it did.
func (m *poolModel) claims(t *rapid.T) {
	f := m.s.order(uuid.NewString(), lineOf("from-"+m.pool, 1))[0]
	if rapid.Bool().Draw(t, "crashes first") {
		_, err := m.s.Claim(m.s.ctx, f, func(MailFacts) ([]byte, error) { return nil, errors.New("the process died") })
		if len(m.free()) > 0 && len(m.waiting) == 0 && !m.owes() {
			require.Error(t, err)
		}
	}
	next := m.s.claimed(f)
	if len(m.waiting) > 0 || len(m.free()) == 0 || m.owes() {
		require.Equal(t, keyturn.LineWaitingForStock, next.Status)
		m.waiting = append(m.waiting, f)
		return
	}
	m.give(f)
	if rapid.Bool().Draw(t, "again") {
		m.s.claimed(f)
	}
}

func (m *poolModel) some(t *rapid.T) (string, bool) {
	var all []string
	for f := range m.lines {
		all = append(all, f)
	}
	if len(all) == 0 {
		return "", false
	}
	slices.Sort(all)
	return rapid.SampledFrom(all).Draw(t, "line"), true
}

func (m *poolModel) delivers(t *rapid.T) {
	f, ok := m.some(t)
	if !ok || m.sent[f] {
		return
	}
	m.s.delivered(f)
	m.sent[f] = true
	for _, k := range m.lines[f] {
		k.state = keyturn.KeyDelivered
	}
}

// cancels refunds a line before its e-mail: nobody saw its key, which goes back unless it is a recalled batch's.
func (m *poolModel) cancels(t *rapid.T) {
	f, ok := m.some(t)
	if !ok || m.sent[f] {
		return
	}
	m.s.resolve(f, keyturn.ActionRefund)
	m.s.refunded(f)
	for _, k := range m.lines[f] {
		k.state = keyturn.KeyAvailable
		if k.owed || m.recalls[k.batch] {
			k.state, k.owed = keyturn.KeyQuarantined, false
		}
	}
	delete(m.lines, f)
}

func (m *poolModel) undoes(t *rapid.T) {
	if len(m.batches) == 0 {
		return
	}
	batch := rapid.SampledFrom(m.batches).Draw(t, "batch")
	possible := !slices.ContainsFunc(m.keys, func(k *modelKey) bool {
		return k.batch == batch && k.state != keyturn.KeyAvailable && k.state != keyturn.KeyExpired
	})
	err := m.s.Stock().UndoBatch(m.s.ctx, m.pool, batch, "ops")
	if m.undone[batch] {
		require.NoError(t, err)
		return
	}
	if !possible {
		wantKind(t, err, keyturn.KindConflict)
		return
	}
	require.NoError(t, err)
	m.undone[batch] = true
	for _, k := range m.keys {
		if k.batch == batch && k.state == keyturn.KeyAvailable {
			k.state = keyturn.KeyWithdrawn
		}
	}
}

func (m *poolModel) recall(t *rapid.T) {
	if len(m.batches) == 0 {
		return
	}
	batch := rapid.SampledFrom(m.batches).Draw(t, "batch")
	err := m.s.Stock().Recall(m.s.ctx, m.pool, batch, "leaked", true, "ops")
	if m.undone[batch] {
		wantKind(t, err, keyturn.KindConflict)
		return
	}
	require.NoError(t, err)
	if m.recalls[batch] {
		return
	}
	m.recalls[batch] = true
	for _, k := range m.keys {
		switch {
		case k.batch != batch:
		case k.state == keyturn.KeyAvailable:
			k.state = keyturn.KeyQuarantined
		case k.state == keyturn.KeyClaimed || k.state == keyturn.KeyDelivered:
			k.owed = true
		}
	}
}

func (m *poolModel) replaces(t *rapid.T) {
	_, err := m.s.ReplaceOwed(m.s.ctx, 100, renderMail)
	require.NoError(t, err)
	for _, id := range reads[string](m.s,
		`SELECT y.id FROM deliveries y JOIN replacements r ON r.delivery_id = y.id WHERE y.status = 'READY'
			AND r.pool_id = $1`, m.pool) {
		_, _, err := m.s.BeginSend(m.s.ctx, id)
		require.NoError(t, err)
		require.NoError(t, m.s.FinishSend(m.s.ctx, &Delivery{ID: id}, nil))
	}
	// Whom it came to is the order of the recalls; that each got the first key is checked against the database.
	for f, keys := range m.lines {
		if !m.sent[f] || !keys[len(keys)-1].owed {
			continue
		}
		got := m.s.keysOf(f)
		require.Len(t, got, 1)
		if got[0] == keys[len(keys)-1].text {
			continue
		}
		i := slices.IndexFunc(m.keys, func(k *modelKey) bool {
			return k.text == got[0] && k.state == keyturn.KeyAvailable &&
				!k.old
		})
		require.GreaterOrEqual(t, i, 0, "a replacement was for sale")
		keys[len(keys)-1].state, keys[len(keys)-1].owed = keyturn.KeyRecalled, false
		m.keys[i].state = keyturn.KeyDelivered
		m.lines[f] = append(keys, m.keys[i])
	}
}

// check compares all states with the database's.
func (m *poolModel) check(t *rapid.T) {
	want := map[keyturn.KeyState]int64{}
	for _, k := range m.keys {
		want[k.state]++
	}
	got := m.s.pool(m.pool).Stock
	require.Equal(t, keyturn.Stock{
		Available: want[keyturn.KeyAvailable], Claimed: want[keyturn.KeyClaimed], Delivered: want[keyturn.KeyDelivered],
		Quarantined: want[keyturn.KeyQuarantined],
		Recalled:    want[keyturn.KeyRecalled], Expired: want[keyturn.KeyExpired], Withdrawn: want[keyturn.KeyWithdrawn],
		Waiting: int64(len(m.waiting)),
	}, got)
	for f, keys := range m.lines {
		require.Equal(t, []string{keys[len(keys)-1].text}, m.s.keysOf(f), "each line has the key that was first in the queue")
	}
	m.s.invariants(m.pool)
}

// Whatever is imported, sold, undone, recalled, replaced, cancelled and crashes: each key is in one state, the one that
// the model says, and every line has the first key that was for sale.
func TestPoolsBehaveAsTheModel(t *testing.T) {
	s := newShop(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := s.with(rt)
		m := &poolModel{
			s: s, pool: "m" + uuid.NewString()[:8], undone: map[string]bool{}, recalls: map[string]bool{},
			lines: map[string][]*modelKey{}, sent: map[string]bool{},
		}
		_, _, err := s.PutPool(s.ctx, keyturn.Pool{ID: m.pool, MinValidity: keyturn.Duration(24 * time.Hour)})
		require.NoError(rt, err)
		s.product("from-"+m.pool, fromPool(m.pool))
		expire := func(*rapid.T) { // two days go by for those that expire
			s.exec(`UPDATE pool_keys SET give_until = now() - interval '1 hour' WHERE pool_id = $1 AND give_until IS NOT NULL
				AND state = 'available'`, m.pool)
			_, err := s.Stock().ExpireKeys(s.ctx, 100)
			require.NoError(rt, err)
			there := slices.DeleteFunc(slices.Clone(m.keys), func(k *modelKey) bool { return k.state == keyturn.KeyWithdrawn })
			for i, state := range reads[string](s, `
				SELECT state FROM pool_keys WHERE pool_id = $1 AND state <> 'withdrawn' ORDER BY position`, m.pool) {
				if state == "expired" {
					there[i].state = keyturn.KeyExpired
				}
			}
		}
		serve := func(*rapid.T) {
			_, err := s.ServeWaiting(s.ctx, 100, 0)
			require.NoError(rt, err)
			if !m.owes() {
				m.serve()
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": m.check, "import": m.imports, "claim": m.claims, "deliver": m.delivers, "cancel": m.cancels, "undo": m.undoes,
			"recall": m.recall, "replace": m.replaces, "expire": expire, "serve": serve,
		})
	})
}
