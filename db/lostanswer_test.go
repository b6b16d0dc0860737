package db

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
	"keyturn.dev/keyturn/pg"
)

// A use case of which any answer may be lost: PostgreSQL carried out a statement, or the commit, and nobody heard of
// it. Whoever asked asks again, and there must be one effect.
type lossy struct {
	name    string
	prepare func(s *shop) string                       // gives what it is about
	run     func(s *shop, d *DB, subject string) error // d loses an answer, now and then
	check   func(s *shop, subject string)              // there is exactly one effect
}

func TestLostAnswers(t *testing.T) {
	for _, c := range lossyCases {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.product("game", fromPool("p"))
			s.product("app", fromEndpoint("acme"))
			s.product("gift", byHand)
			s.emptyPool("imports")
			s.stock("p", keysNamed("K", 60)...)
			p, dsn := throughProxy(t, s.dsn)
			for _, reset := range []bool{false, true} {
				trips := 0
				for s.lose(t, c, p, dsn, trips+1, reset) {
					trips++
				}
				require.GreaterOrEqual(t, trips, 1)
			}
		})
	}
}

// lose runs a use case, loses the answer of its k-th round trip, by FIN or RST, and runs it again. It is false when the
// use case has no such trip.
func (s *shop) lose(t *testing.T, c lossy, p *faultproxy.Proxy, dsn string, k int, reset bool) bool {
	t.Helper()
	subject := c.prepare(s)
	d := s.open(t, dsn) // a fresh process, whose statements are not prepared yet
	defer d.Close()
	p.Lose(faultproxy.Loss{After: k - 1, Reset: reset})
	err := c.run(s, d, subject)
	_, lost := p.Disarm()
	if lost {
		// PostgreSQL may still be about to notice that nobody listens: until then it holds its locks.
		s.waitFor(func() bool {
			err = c.run(s, d, subject)
			return keyturn.KindOf(err) != keyturn.KindConflict
		})
	}
	require.NoError(t, err, "round trip %d, reset: %v, lost: %v", k, reset, lost)
	c.check(s, subject)
	return lost
}

func (s *shop) count(query string, args ...any) int {
	s.t.Helper()
	return read[int](s, `SELECT count(*) FROM `+query, args...)
}

// What a process that did the step before has in its hands, by fulfillment.
var (
	callsMade = map[string]*Call{}
	mailsMade = map[string]*Delivery{}
)

var lossyCases = []lossy{
	{
		name:    "Accept",
		prepare: func(*shop) string { return uuid.NewString() },
		run: func(s *shop, d *DB, id string) error {
			_, answer, err := d.Accept(s.ctx, orderOf(id, lineOf("game", 1), lineOf("app", 2)))
			if err == nil {
				require.Equal(s.t, "answer to "+id+" "+s.PageToken(id), string(answer))
			}
			return err
		},
		check: func(s *shop, id string) {
			require.Equal(s.t, 2, s.count(`line_items WHERE order_id = $1`, id))
			require.Equal(s.t, 1, s.count(`idempotency_keys WHERE order_id = $1`, id))
			require.Equal(s.t, 1, s.count(`sandbox_payments WHERE order_id = $1`, id))
		},
	},
	{
		name:    "Claim",
		prepare: func(s *shop) string { return s.order(uuid.NewString(), lineOf("game", 2))[0] },
		run:     func(s *shop, d *DB, f string) error { return second(d.Claim(s.ctx, f, nil)) },
		check: func(s *shop, f string) {
			require.Len(s.t, s.keysOf(f), 2)
			require.Equal(s.t, keyturn.LineObtained, s.status(f))
			require.Equal(s.t, 1, s.count(`line_log WHERE line_id = $1`, s.lineID(f)))
			s.invariants("")
		},
	},
	{
		name: "Claim of an empty pool",
		prepare: func(s *shop) string {
			id := "empty-" + uuid.NewString()
			s.product(id, fromPool(id))
			return s.sell(id)
		},
		run: func(s *shop, d *DB, f string) error { return second(d.Claim(s.ctx, f, nil)) },
		check: func(s *shop, f string) {
			require.Equal(s.t, keyturn.LineWaitingForStock, s.status(f))
			require.Equal(s.t, 1, s.count(`alerts WHERE line_id = $1`, s.lineID(f)))
			require.Equal(s.t, 1, s.count(`line_log WHERE line_id = $1`, s.lineID(f)))
		},
	},
	{
		name:    "BeginCall",
		prepare: func(s *shop) string { return s.sell("app") },
		run: func(s *shop, d *DB, f string) error {
			call, _, wait, err := d.BeginCall(s.ctx, f, callTimeout, renderCall)
			if wait > 0 { // the attempt whose answer was lost may be under way, for all we know; its time passes
				s.later(callTime)
				call, _, _, err = d.BeginCall(s.ctx, f, callTimeout, renderCall)
			}
			if err == nil {
				require.NotNil(s.t, call)
			}
			return err
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, 1, s.count(`attempts WHERE line_id = $1 AND outcome = 'running'`, s.lineID(f)))
			require.Equal(s.t, 1, s.count(`partner_requests WHERE line_id = $1`, s.lineID(f)), "one request, whatever was lost")
			require.LessOrEqual(s.t, s.count(`attempts WHERE line_id = $1`, s.lineID(f)), 3,
				"one whose answer was lost, one that came after it, and one of the caller's second attempt")
		},
	},
	{
		name: "BeginCall of a line that waits",
		prepare: func(s *shop) string {
			s.product("gone", fromEndpoint("gone"))
			f := s.sell("gone")
			s.exec(`INSERT INTO partner_gates (integration, opened_at, next_try_at)
				VALUES ('gone', now(), now() + interval '1 h') ON CONFLICT DO NOTHING`)
			return f
		},
		run: func(s *shop, d *DB, f string) error {
			_, next, wait, err := d.BeginCall(s.ctx, f, callTimeout, renderCall)
			if keyturn.KindOf(err) == keyturn.KindRateLimited || err == nil && next.Wait > 0 {
				return nil
			}
			require.Zero(s.t, wait, "it is in no queue, for all we know, and comes again at once: %v", err)
			if err == nil {
				require.Equal(s.t, keyturn.LineRetrying, next.Status)
			}
			return err
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, keyturn.LineRetrying, s.status(f))
			require.Equal(s.t, 1, s.count(`partner_queue WHERE line_id = $1`, s.lineID(f)))
		},
	},
	{
		name:    "FinishCall",
		prepare: func(s *shop) string { f := s.sell("app"); s.beginCall(f); return f },
		run: func(s *shop, d *DB, f string) error {
			return second(d.FinishCall(s.ctx, f, answered(&Call{Attempt: 1}, "KEY-"+f), nil))
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, []string{"KEY-" + f}, s.keysOf(f))
			require.Equal(s.t, []string{"success"}, s.outcomes(f))
			require.Equal(s.t, 1, s.count(`line_log WHERE line_id = $1`, s.lineID(f)))
			require.Zero(s.t, s.count(`revocations`))
		},
	},
	{
		name:    "Claim with its e-mail",
		prepare: func(s *shop) string { return s.order(uuid.NewString(), lineOf("game", 2))[0] },
		run: func(s *shop, d *DB, f string) error {
			next, err := d.Claim(s.ctx, f, renderMail)
			if err == nil {
				require.Equal(s.t, keyturn.DoDeliver, next.Do)
				var wait time.Duration
				if _, _, wait, err = d.BeginDelivery(s.ctx, f, renderMail); wait > 0 { // it is being sent, for all we know
					s.later(sendLease)
					_, _, _, err = d.BeginDelivery(s.ctx, f, renderMail)
				}
			}
			return err
		},
		check: func(s *shop, f string) {
			require.Len(s.t, s.keysOf(f), 2)
			require.Equal(s.t, 1, s.count(`deliveries WHERE line_id = $1`, s.lineID(f)))
		},
	},
	{
		name:    "FinishCall with its e-mail",
		prepare: func(s *shop) string { f := s.sell("app"); s.beginCall(f); return f },
		run: func(s *shop, d *DB, f string) error {
			return second(d.FinishCall(s.ctx, f, answered(&Call{Attempt: 1}, "KEY-"+f), renderMail))
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, []string{"KEY-" + f}, s.keysOf(f))
			require.Equal(s.t, 1, s.count(`deliveries WHERE line_id = $1`, s.lineID(f)))
			require.Zero(s.t, s.count(`revocations`))
		},
	},
	{
		name:    "FinishCall of the call just made",
		prepare: func(s *shop) string { f := s.sell("app"); callsMade[f] = s.beginCall(f); return f },
		run: func(s *shop, d *DB, f string) error {
			next, err := d.FinishCall(s.ctx, f, answered(callsMade[f], "KEY-"+f), renderMail)
			if err == nil {
				require.Equal(s.t, keyturn.DoDeliver, next.Do)
			}
			return err
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, []string{"KEY-" + f}, s.keysOf(f))
			require.Equal(s.t, []string{"success"}, s.outcomes(f))
			require.Equal(s.t, 1, s.count(`deliveries WHERE line_id = $1`, s.lineID(f)))
			require.Equal(s.t, 1, s.count(`line_log WHERE line_id = $1`, s.lineID(f)))
			require.Zero(s.t, s.count(`revocations`))
		},
	},
	{
		name: "FinishDelivery of the e-mail just made",
		prepare: func(s *shop) string {
			f := s.sell("app")
			_, err := s.FinishCall(s.ctx, f, answered(s.beginCall(f), "KEY-"+f), renderMail)
			require.NoError(s.t, err)
			mailsMade[f] = s.beginDelivery(f)
			return f
		},
		run: func(s *shop, d *DB, f string) error {
			return second(d.FinishDelivery(s.ctx, f, mailsMade[f], nil, false))
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, keyturn.LineDelivered, s.status(f))
			require.Equal(s.t, 1, s.count(`licenses WHERE line_id = $1`, s.lineID(f)))
			require.Equal(s.t, 2, s.count(`line_log WHERE line_id = $1`, s.lineID(f)))
			s.invariants("")
		},
	},
	{
		name:    "FinishCall of a failure",
		prepare: func(s *shop) string { f := s.sell("app"); s.beginCall(f); return f },
		run: func(s *shop, d *DB, f string) error {
			return second(d.FinishCall(s.ctx, f, refused(&Call{Attempt: 1}, keyturn.KindRejected), nil))
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, keyturn.LineRetrying, s.status(f))
			require.Equal(s.t, 1, s.count(`alerts WHERE line_id = $1`, s.lineID(f)))
			require.Equal(s.t, 1, read[int](s, `SELECT failures FROM line_items WHERE fulfillment_id = $1`, f),
				"one failure is one step of the schedule")
		},
	},
	{
		name:    "BeginDelivery",
		prepare: func(s *shop) string { return s.obtained() },
		run: func(s *shop, d *DB, f string) error {
			out, _, wait, err := d.BeginDelivery(s.ctx, f, renderMail)
			if wait > 0 {
				s.later(sendLease)
				out, _, _, err = d.BeginDelivery(s.ctx, f, renderMail)
			}
			if err == nil {
				require.NotNil(s.t, out)
			}
			return err
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, 1, s.count(`deliveries WHERE line_id = $1 AND status = 'SENDING'`, s.lineID(f)))
			require.Equal(s.t, 1, s.count(`deliveries WHERE line_id = $1`, s.lineID(f)), "one e-mail, whatever was lost")
		},
	},
	{
		name:    "FinishDelivery",
		prepare: func(s *shop) string { f := s.obtained(); s.beginDelivery(f); return f },
		run: func(s *shop, d *DB, f string) error {
			sent := &Delivery{ID: read[string](s, `SELECT id FROM deliveries WHERE line_id = $1`, s.lineID(f)), try: 1}
			return second(d.FinishDelivery(s.ctx, f, sent, nil, false))
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, keyturn.LineDelivered, s.status(f))
			require.Equal(s.t, []string{"delivered"}, s.keyStates(f))
			require.Equal(s.t, 1, s.count(`licenses WHERE line_id = $1`, s.lineID(f)))
			s.invariants("")
		},
	},
	{
		name:    "FinishRefund",
		prepare: func(s *shop) string { return s.canceling() },
		run:     func(s *shop, d *DB, f string) error { return second(d.FinishRefund(s.ctx, f, "re_1", renderMail)) },
		check: func(s *shop, f string) {
			require.Equal(s.t, keyturn.LineCanceled, s.status(f))
			require.Equal(s.t, 1, s.count(`deliveries WHERE line_id = $1`, s.lineID(f)), "the customer is told once")
			require.Equal(s.t, 1, s.count(`outbox WHERE subject = CAST((SELECT id FROM deliveries WHERE line_id = $1) AS text)`,
				s.lineID(f)))
		},
	},
	{
		name:    "LedgerRefund",
		prepare: func(s *shop) string { id := uuid.NewString(); s.order(id, lineOf("game", 1)); return id },
		run: func(s *shop, d *DB, id string) error {
			return second(d.LedgerRefund(s.ctx, id, "pay-"+id, id, keyturn.Money{Minor: 1000, Currency: "EUR"}, never))
		},
		check: func(s *shop, id string) {
			require.Equal(s.t, 1, s.count(`sandbox_refunds WHERE order_id = $1 AND applied_at IS NOT NULL`, id))
		},
	},
	{
		name:    "Import",
		prepare: func(*shop) string { return uuid.NewString() },
		run: func(s *shop, d *DB, id string) error {
			_, err := d.Import(s.ctx, "imports", strings.NewReader(id+"-a\n"+id+"-b\n"+id+"-a"), "ops", false)
			return err
		},
		check: func(s *shop, id string) {
			keys := 0
			for _, k := range s.keysIn("imports") {
				if strings.HasPrefix(k, id) {
					keys++
				}
			}
			require.Equal(s.t, 2, keys)
			s.invariants("")
		},
	},
	{
		name:    "Resolve (refund)",
		prepare: func(s *shop) string { return s.obtained() },
		run: func(s *shop, d *DB, f string) error {
			return second(d.Resolve(s.ctx, f, keyturn.Resolution{ID: "r1", Action: keyturn.ActionRefund}))
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, 1, s.count(`refunds WHERE line_id = $1`, s.lineID(f)))
			require.Equal(s.t, 1, s.count(`resolutions WHERE line_id = $1`, s.lineID(f)))
			require.Empty(s.t, s.keysOf(f))
			s.invariants("")
		},
	},
	{
		name: "Resolve (supply)",
		prepare: func(s *shop) string {
			f := s.sell("gift")
			require.NoError(s.t, s.StageSupply(s.ctx, f, "", []string{"GIFT-" + f}))
			return f
		},
		run: func(s *shop, d *DB, f string) error {
			return second(d.Resolve(s.ctx, f, keyturn.Resolution{ID: "r1", Action: keyturn.ActionSupply}))
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, []string{"GIFT-" + f}, s.keysOf(f))
			require.Equal(s.t, 1, s.count(`line_log WHERE line_id = $1`, s.lineID(f)))
		},
	},
	{
		name:    "StageSupply",
		prepare: func(s *shop) string { return s.order(uuid.NewString(), lineOf("gift", 2))[0] },
		run:     func(s *shop, d *DB, f string) error { return d.StageSupply(s.ctx, f, "", []string{"one", "two"}) },
		check: func(s *shop, f string) {
			require.Equal(s.t, 2, s.count(`supplies WHERE line_id = $1`, s.lineID(f)))
		},
	},
	{
		name: "TakeDue and RelayDone",
		prepare: func(s *shop) string {
			f := s.sell("gift")
			s.later(relayAfter)
			return f
		},
		run: func(s *shop, d *DB, _ string) error {
			due, err := d.TakeDue(s.ctx, 100)
			if err == nil && len(due) == 0 { // taken by the one whose answer was lost
				s.later(relayLease)
				due, err = d.TakeDue(s.ctx, 100)
			}
			if err != nil {
				return err
			}
			return d.RelayDone(s.ctx, due)
		},
		check: func(s *shop, f string) {
			require.Equal(s.t, 1, s.count(`line_items WHERE fulfillment_id = $1 AND wake_at IS NULL`, f))
		},
	},
	{
		name:    "PutProduct",
		prepare: func(*shop) string { return "new-" + uuid.NewString() },
		run: func(s *shop, d *DB, id string) error {
			_, _, err := d.PutProduct(s.ctx, keyturn.Product{ID: id, Name: "New", Sources: []keyturn.Source{fromPool("p")}})
			return err
		},
		check: func(s *shop, id string) {
			require.Equal(s.t, 1, read[int](s, `SELECT version FROM products WHERE id = $1`, id))
		},
	},
}

// A database without room is one that does not answer: whoever asked asks again.
func TestAFullDiskIsAnOutage(t *testing.T) {
	for code, want := range map[string]keyturn.Kind{
		"53100": keyturn.KindUnavailable, "53200": keyturn.KindUnavailable, "53300": keyturn.KindUnavailable,
		"57P03": keyturn.KindUnavailable,
		"22001": keyturn.KindInternal,
	} {
		require.Equal(t, want, keyturn.KindOf(pg.AsKind(&pq.Error{Code: pqerror.Code(code)})), code)
	}
}
