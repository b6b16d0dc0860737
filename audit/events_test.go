package audit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// webhooks has a receiver and a subscription be told of everything.
func (s *shop) webhooks() {
	for _, w := range []keyturn.Webhook{
		{ID: "shop", URL: "https://shop.test", Events: []string{"*"}}, {ID: "pull", Events: []string{"*"}},
	} {
		w, err := s.PrepareWebhook(s.ctx, w.WithDefaults())
		s.ok(err)
		_, _, err = s.PutWebhook(s.ctx, w)
		s.ok(err)
	}
}

// tells numbers what has happened and sends it, all but two events: of one a try has failed, the other is not tried.
func (s *shop) tells() {
	_, more, err := s.NumberEvents(s.ctx)
	s.ok(err)
	require.False(s.t, more)
	for range 1000 {
		sending, err := s.TakeEvents(s.ctx, "shop", 1)
		s.ok(err)
		require.Len(s.t, sending.Events, 1)
		r := db.SendResult{Webhook: "shop", Event: sending.Events[0], Status: 204}
		if s.read(`SELECT count(*) FROM event_deliveries WHERE next_at <= now()`) == "1" {
			r.Status, r.Failed = 503, keyturn.KindUnavailable
			s.ok(s.BookSent(s.ctx, r))
			break
		}
		s.ok(s.BookSent(s.ctx, r))
	}
	// all of it was a while ago
	s.exec(`UPDATE webhooks SET updated_at = updated_at - interval '1 hour'`)
}

// aftermathSet notes two things of a kind about the payment of an order that a checkout link made.
func aftermathSet(order, kind, status string) string {
	return `
		INSERT INTO payment_aftermath (provider, id, payment_id, kind, amount_minor, currency, status)
		SELECT 'sandbox', 'x' || n, p.id, '` + kind + `', 100, 'EUR', '` + status + `'
		FROM payments p, generate_series(1, 2) n WHERE p.order_id = '` + order + `';`
}

// paidAftermath notes a dispute of a payment that an order came in paid with.
const paidAftermath = `
	INSERT INTO payment_aftermath (provider, id, reference, kind, status)
	VALUES ('sandbox', 'du_fresh', 'pay-fresh', 'dispute', 'open');`

// What came of payments is told by the steps that note it, also of disputes that are decided since, of refunds that
// fail later, and of several at once.
func TestWhatCameOfPaymentsIsTold(t *testing.T) {
	for name, sql := range map[string]string{
		"disputes": aftermathSet("linked", "dispute", "open") + `
			UPDATE payment_aftermath SET status = 'won', closed_at = now() WHERE id = 'x1'`,
		"warnings": aftermathSet("linked", "warning", ""),
		"refunds": aftermathSet("linked", "refund", "") + `
			UPDATE payment_aftermath SET status = 'failed' WHERE id = 'x1'`,
		"refunds that failed at once":         aftermathSet("linked", "refund", "failed"),
		"a dispute of an order that was paid": paidAftermath,
		"a dispute before anybody was told": aftermathSet("linked", "dispute", "open") + `
			DELETE FROM events WHERE type = 'payment.disputed';
			UPDATE payment_aftermath SET noted_at = now() - interval '2 hours'`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.exec(sql)
			r := s.audit()
			require.Empty(t, listed(r))
			require.True(t, r.OK)
		})
	}
}
