package audit

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// lister is the sandbox as a processor whose books are elsewhere: it gives them as lists.
type lister struct {
	payment.Sandbox

	books keyturn.ProcessorBooks
	fails error
}

func (l lister) Aftermath(context.Context, payment.Ref) (keyturn.Aftermath, error) {
	return keyturn.Aftermath{}, l.fails
}

func (l lister) Books(context.Context, time.Time) (keyturn.ProcessorBooks, error) {
	return l.books, l.fails
}

// listsOf are the lists of a processor that has what the database has.
func (s *shop) listsOf() (b keyturn.ProcessorBooks) {
	rows, err := s.x.QueryContext(s.ctx, `
		SELECT id, payment_reference, status, captured_minor FROM payments WHERE payment_reference IS NOT NULL`)
	s.ok(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		m := keyturn.MadePayment{
			Captured: keyturn.Money{Currency: "EUR"}, Authorized: keyturn.Money{Currency: "EUR"},
			At: time.Now(),
		}
		var status keyturn.PaymentStatus
		s.ok(rows.Scan(&m.ID, &m.Reference, &status, &m.Captured.Minor))
		switch status {
		case keyturn.PaymentCaptured:
			m.Status = keyturn.AtProcessorCaptured
		case keyturn.PaymentVoided, keyturn.PaymentLost:
			m.Status = keyturn.AtProcessorVoided
		default:
			m.Status, m.Authorized.Minor = keyturn.AtProcessorAuthorized, 1000
		}
		b.Payments = append(b.Payments, m)
	}
	s.ok(rows.Err())
	back, err := s.x.QueryContext(s.ctx, `
		SELECT r.provider_id, r.line_id, o.payment_reference, r.amount_minor FROM refunds r JOIN orders o ON o.id = r.order_id
		WHERE r.status = 'DONE' AND r.amount_minor > 0 AND r.provider = 'sandbox'`)
	s.ok(err)
	defer func() { _ = back.Close() }()
	for back.Next() {
		r := keyturn.MadeRefund{Amount: keyturn.Money{Currency: "EUR"}, At: time.Now()}
		s.ok(back.Scan(&r.ID, &r.OurID, &r.Reference, &r.Amount.Minor))
		b.Refunds = append(b.Refunds, r)
	}
	s.ok(back.Err())
	return b
}

// paymentOf is the place in the lists of the payment of an order, with its ID.
func (s *shop) paymentOf(b *keyturn.ProcessorBooks, order string) *keyturn.MadePayment {
	id := s.read(`SELECT id FROM payments WHERE order_id = $1`, order)
	return &b.Payments[slices.IndexFunc(b.Payments, func(m keyturn.MadePayment) bool { return m.ID == id })]
}

func (s *shop) auditLists(change func(*keyturn.ProcessorBooks), strict bool) *Report {
	b := s.listsOf()
	require.NotEmpty(s.t, b.Payments)
	require.NotEmpty(s.t, b.Refunds)
	if change != nil {
		change(&b)
	}
	return s.auditWith(func(e *Evidence) {
		e.Quiescent = strict
		e.Processors = payment.Processors{payment.SandboxName: lister{Sandbox: s.sandbox(), books: b}}
	})
}

// plantedLists are corruptions of a processor's lists. at is the order, or where there is none the subject, that the
// audit must name.
var plantedLists = []struct {
	id, name, at string
	strict       bool // it may be so while something is under way
	change       func(*shop, *keyturn.ProcessorBooks)
}{
	{
		id: "P5", name: "the processor has a payment of which nobody here knows", at: "payment pi_unknown",
		change: func(_ *shop, b *keyturn.ProcessorBooks) {
			b.Payments = append(b.Payments, keyturn.MadePayment{
				ID: uuid.NewString(), Reference: "pi_unknown", Status: keyturn.AtProcessorCaptured,
				Captured: keyturn.Money{Minor: 1000, Currency: "EUR"},
			})
		},
	},
	{
		id: "P5", name: "what names us names no payment", at: "payment pi_unknown",
		change: func(_ *shop, b *keyturn.ProcessorBooks) {
			b.Payments = append(b.Payments, keyturn.MadePayment{
				ID: "cart-77", Reference: "pi_unknown", Status: keyturn.AtProcessorOpen, Captured: keyturn.Money{Currency: "EUR"},
			})
		},
	},
	{
		id: "P5", name: "the processor does not have a payment", at: "linked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			id := s.paymentOf(b, "linked").ID
			b.Payments = slices.DeleteFunc(b.Payments, func(m keyturn.MadePayment) bool { return m.ID == id })
		},
	},
	{
		id: "P5", name: "the processor has taken another sum", at: "linked",
		change: func(s *shop, b *keyturn.ProcessorBooks) { s.paymentOf(b, "linked").Captured.Minor-- },
	},
	{
		id: "P5", name: "the processor has taken what was let go", at: "uncharged",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			m := s.paymentOf(b, "uncharged")
			m.Status, m.Captured.Minor = keyturn.AtProcessorCaptured, 1000
		},
	},
	{
		id: "P5", name: "what was let go is blocked at the customer's bank", at: "uncharged",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			m := s.paymentOf(b, "uncharged")
			m.Status, m.Authorized.Minor = keyturn.AtProcessorAuthorized, 1000
		},
	},
	{
		id: "P5", name: "what is to be taken was taken already", at: "authorized", strict: true,
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			m := s.paymentOf(b, "authorized")
			m.Status, m.Captured.Minor = keyturn.AtProcessorCaptured, 1000
		},
	},
	{
		id: "P5", name: "a customer has paid twice", at: "linked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			m := *s.paymentOf(b, "linked")
			m.Reference = "pi_second"
			b.Payments = append(b.Payments, m)
		},
	},
	{
		id: "P5", name: "what was let go can be paid", at: "uncharged",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			b.Open = append(b.Open, keyturn.MadeSession{ID: s.paymentOf(b, "uncharged").ID, Reference: "cs_1"})
		},
	},
	{
		id: "P5", name: "a session is nobody's", at: "session cs_1",
		change: func(_ *shop, b *keyturn.ProcessorBooks) {
			b.Open = append(b.Open, keyturn.MadeSession{ID: uuid.NewString(), Reference: "cs_1"})
		},
	},
	{
		id: "P5", name: "the processor has not given back what counts as done", at: "revoked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			b.Refunds = slices.DeleteFunc(b.Refunds, func(r keyturn.MadeRefund) bool {
				return r.OurID == s.read(`SELECT line_of('revoked')`)
			})
		},
	},
	{
		id: "P5", name: "the processor has given something back twice", at: "revoked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			r := b.Refunds[slices.IndexFunc(b.Refunds, func(r keyturn.MadeRefund) bool {
				return r.OurID == s.read(`SELECT line_of('revoked')`)
			})]
			r.ID = "re_second"
			b.Refunds = append(b.Refunds, r)
		},
	},
	{
		id: "P5", name: "the processor has given another sum back", at: "revoked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			b.Refunds[slices.IndexFunc(b.Refunds, func(r keyturn.MadeRefund) bool {
				return r.OurID == s.read(`SELECT line_of('revoked')`)
			})].Amount.Minor--
		},
	},
	{
		id: "P5", name: "the processor has given back what nobody asked for", at: "refund re_unknown",
		change: func(_ *shop, b *keyturn.ProcessorBooks) {
			b.Refunds = append(b.Refunds, keyturn.MadeRefund{
				ID: "re_unknown", OurID: uuid.NewString(), Reference: "pi_1", Amount: keyturn.Money{Minor: 1, Currency: "EUR"},
			})
		},
	},
	{
		id: "P5", name: "somebody else's refund was never noticed", at: "linked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			b.Refunds = append(b.Refunds, keyturn.MadeRefund{
				ID: "re_theirs", Reference: s.paymentOf(b, "linked").Reference, Amount: keyturn.Money{Minor: 1, Currency: "EUR"},
				At: time.Now().Add(-25 * time.Hour),
			})
		},
	},
	{
		id: "P8", name: "a dispute was never noticed", at: "linked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			b.Disputes = append(b.Disputes, keyturn.Dispute{
				ID: "du_1", Reference: s.paymentOf(b, "linked").Reference, Status: keyturn.DisputeOpen,
				At: time.Now().Add(-25 * time.Hour),
			})
		},
	},
	{
		id: "P8", name: "the end of a dispute was never noticed", at: "sold",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			s.exec(`INSERT INTO payment_aftermath (provider, id, reference, kind, status)
				VALUES ('sandbox', 'du_1', 'pay-sold', 'dispute', 'open')`)
			b.Disputes = append(b.Disputes, keyturn.Dispute{
				ID: "du_1", Reference: "pay-sold", Status: keyturn.DisputeLost, At: time.Now().Add(-25 * time.Hour),
			})
		},
	},
	{
		id: "P8", name: "a fraud warning was never noticed", at: "linked",
		change: func(s *shop, b *keyturn.ProcessorBooks) {
			b.Warnings = append(b.Warnings, keyturn.MadeWarning{
				ID: "issfr_1", Reference: s.paymentOf(b, "linked").Reference, At: time.Now().Add(-25 * time.Hour),
			})
		},
	},
}

// Each corruption of a processor's lists is found, and named by its invariant alone.
func TestPlantedListsOfProcessors(t *testing.T) {
	for _, c := range plantedLists {
		t.Run(c.id+" "+c.name, func(t *testing.T) {
			s := newShop(t)
			r := s.auditLists(func(b *keyturn.ProcessorBooks) { c.change(s, b) }, c.strict)
			if c.strict {
				found := r.Result(c.id).Listed
				require.True(t, slices.ContainsFunc(found, func(v Violation) bool { return v.OrderID == c.at }), found)
				require.Empty(t, listed(s.auditLists(func(b *keyturn.ProcessorBooks) { c.change(s, b) }, false)))
				return
			}
			require.Equal(t, []string{c.id}, r.Violated(), listed(r))
			for _, v := range r.Result(c.id).Listed {
				if v.OrderID == "" {
					v.OrderID = v.Subject
				}
				require.Equal(t, c.at, v.OrderID, v)
			}
		})
	}
}

// What is under way, what is somebody else's, and lists that are right are no violation. A processor that does not
// answer leaves the rest to be checked, and the report says so.
func TestListsThatAreRight(t *testing.T) {
	s := newShop(t)
	r := s.auditLists(nil, false)
	require.Empty(t, listed(r))
	require.Contains(t, r.Evidence, string(needProcessors))
	require.Empty(t, r.Result("P5").NotChecked)
	require.Empty(t, listed(s.auditLists(func(b *keyturn.ProcessorBooks) {
		b.Refunds = append(b.Refunds,
			keyturn.MadeRefund{ID: "re_others", Reference: "pi_others", Amount: keyturn.Money{Minor: 1, Currency: "EUR"}},
			keyturn.MadeRefund{
				ID: "re_new", Reference: s.paymentOf(b, "linked").Reference, Amount: keyturn.Money{Minor: 1, Currency: "EUR"},
				At: time.Now(),
			})
		b.Disputes = append(b.Disputes, keyturn.Dispute{ID: "du_others", Reference: "pi_others"})
	}, false)))

	silent := s.auditWith(func(e *Evidence) {
		e.Quiescent = false
		e.Processors = payment.Processors{payment.SandboxName: lister{
			Sandbox: s.sandbox(), fails: keyturn.Errorf(keyturn.KindUnavailable, "no answer"),
		}}
	})
	require.Empty(t, listed(silent))
	require.NotContains(t, silent.Evidence, string(needProcessors))
	for _, id := range []string{"P5", "P8"} {
		require.True(t, silent.Result(id).Checked)
		require.Equal(t, "in part: sandbox did not answer (Unavailable)", silent.Result(id).NotChecked)
	}
}
