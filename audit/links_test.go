package audit

import (
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/workflows"
)

// sellByLink sells a product by a checkout link up to the authorization of its payment, and gives the line's
// fulfillment. The order is named after what becomes of it.
func (s *shop) sellByLink(name, product string) (fulfillment, paymentID string) {
	paymentID = s.payByLink(name, product, "")
	out, err := s.desk().Look(s.ctx, paymentID)
	s.ok(err)
	return out.Accepted.Starts[0].FulfillmentID, paymentID
}

// payByLink has a customer pay a link, and nobody know of it yet. trouble is what the sandbox is to make.
func (s *shop) payByLink(name, product, trouble string) (paymentID string) {
	desk := s.desk()
	token := s.LinkToken(s.checkoutLink(name, product, trouble))
	page, err := s.CheckoutPage(s.ctx, token)
	s.ok(err)
	begun, err := s.BeginPayment(s.ctx, db.PaymentStart{
		Token: token, Version: page.Version, Customer: page.Customer, PayWithin: time.Hour,
		CheckAddress: func(string) error { return nil }, Respond: func(db.Accepted) ([]byte, error) { return nil, nil },
	})
	s.ok(err)
	_, err = desk.Open(s.ctx, begun.ID)
	s.ok(err)
	facts, err := s.Payment(s.ctx, begun.ID)
	s.ok(err)
	_, err = s.sandbox().Act(s.ctx, facts.SessionURL[strings.LastIndex(facts.SessionURL, "/")+1:], keyturn.SandboxPay)
	s.ok(err)
	return begun.ID
}

// checkoutLink makes a link that sells a product, and gives its ID.
func (s *shop) checkoutLink(name, product, trouble string) (id string) {
	v, _, err := s.CreateLink(s.ctx, db.LinkInput{
		Link: keyturn.CheckoutLink{
			OrderID: name, Currency: "EUR",
			Customer:       keyturn.Customer{ID: "c-" + name, Email: "ada@buyer.test", Country: "FR", Locale: "fr-FR"},
			AdditionalData: map[string]string{"sandbox": trouble},
			LineItems:      []keyturn.LinkLine{{ProductID: product, Name: strings.ToUpper(product), UnitPrice: "10.00"}},
		},
		Client: "shop", IdempotencyKey: "link-" + name, RequestHash: hashOf(name),
		Complete: func(l keyturn.CheckoutLink, now time.Time) (keyturn.CheckoutLink, error) {
			return l.WithDefaults(now, payment.SandboxName), nil
		},
	})
	s.ok(err)
	return v.ID
}

// What is charged at once is taken before its order is accepted, be it for a while.
func TestMoneyThatWaitsForItsOrderIsNoViolation(t *testing.T) {
	s := newShop(t)
	s.payByLink("charged", "game", "cannot-authorize")
	require.Equal(t, "1", s.read(`SELECT count(*) FROM sandbox_payments WHERE order_id = 'charged'`))
	require.Empty(t, listed(s.auditWith(func(e *Evidence) { e.Quiescent = false })))
}

// Whoever captures a payment does not wake its workflow, which ends at its next look: of one whose key came late,
// within an hour.
func TestAPaymentsWorkflowEndsAtItsNextLook(t *testing.T) {
	s := newShop(t)
	id := s.read(`SELECT max(CAST(id AS text)) FROM payments WHERE status = 'CAPTURED'`)
	s.outer.Running = append(slices.Clone(s.outer.Running), OpenWorkflow{ID: "payment-" + id})
	idle := func(endedAgo time.Duration) bool {
		s.exec(`UPDATE payments SET ended_at = now() - make_interval(secs => $2) WHERE CAST(id AS text) = $1`, id,
			endedAgo.Seconds())
		return slices.ContainsFunc(listed(s.audit()), func(v Violation) bool {
			return v.Subject == "payment-"+id && strings.Contains(v.What, "nothing left to do")
		})
	}
	require.False(t, idle(db.LooksWithin-time.Minute))
	require.True(t, idle(db.LooksWithin+time.Hour))
}

func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func (s *shop) sandbox() payment.Sandbox {
	return payment.Sandbox{Ledger: s.DB, Sessions: s.DB, PublicURL: "http://shop.test", Secret: []byte("secret")}
}

func (s *shop) desk() *checkout.Desk {
	return &checkout.Desk{
		DB: s.DB, Processors: payment.Processors{payment.SandboxName: s.sandbox()},
		Providers: payment.Providers{payment.SandboxName: s.sandbox()}, PublicURL: "http://shop.test",
		Logger: slog.New(slog.DiscardHandler),
	}
}

// A line that cannot be charged yet has an alert of that, and of nothing else.
func TestACaptureThatFailsIsNoViolation(t *testing.T) {
	s := newShop(t)
	f, _ := s.sellByLink("uncaptured", "game")
	s.claim(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	s.ok(err)
	_, err = s.FailCapture(s.ctx, f, due, keyturn.Errorf(keyturn.KindUnavailable, "no answer"))
	s.ok(err)
	s.outer.Running = append(s.outer.Running,
		OpenWorkflow{ID: workflows.LineWorkflowID(f), Type: "FulfillLineItem", Started: time.Now().Add(-time.Hour)})
	require.Empty(t, listed(s.auditWith(func(e *Evidence) { e.Quiescent = false })))
}

// Money that counts as let go, and is blocked at the customer's bank all the same, is found once nothing is under way.
func TestMoneyThatIsStillBlockedIsFound(t *testing.T) {
	s := newShop(t)
	s.exec(`UPDATE sandbox_sessions SET status = 'authorized', capture_by = now() + interval '1 d'
		WHERE order_id = 'uncharged'`)
	var named []string
	for _, v := range s.auditWith(func(e *Evidence) { e.Quiescent = true }).Result("P5").Listed {
		named = append(named, v.OrderID)
	}
	require.Equal(t, []string{"uncharged"}, named)
}

// fillLinks makes an order by a link for each way that its payment can go.
func (s *shop) fillLinks() {
	desk := s.desk()
	linked, paid := s.sellByLink("linked", "game") // charged, and delivered
	s.claim(linked)
	due, _, _, err := s.BeginCapture(s.ctx, linked)
	s.ok(err)
	state, err := desk.Capture(s.ctx, due)
	s.ok(err)
	_, err = s.FinishCapture(s.ctx, linked, state)
	s.ok(err)
	s.tell(paid)
	s.deliver(linked)

	uncharged, id := s.sellByLink("uncharged", "game") // given up before it was charged
	s.resolve(uncharged, keyturn.ActionRefund)
	_, err = desk.Void(s.ctx, id)
	s.ok(err)
	s.payBack(uncharged)
	s.tell(id)

	authorized, id := s.sellByLink("authorized", "game") // its key is in hand
	s.claim(authorized)
	s.tell(id)
	s.outer.Running = append(s.outer.Running,
		OpenWorkflow{ID: workflows.LineWorkflowID(authorized), Type: "FulfillLineItem", Started: time.Now().Add(-time.Hour)},
		OpenWorkflow{ID: workflows.PaymentWorkflowID(id), Type: "SettlePayment", Started: time.Now().Add(-time.Hour)})
}

// tell sends the e-mails about a payment that are due.
func (s *shop) tell(paymentID string) {
	for {
		m, _, err := s.BeginPaymentMail(s.ctx, paymentID, func(f db.PaymentMailFacts) ([]byte, error) {
			return render(db.MailFacts{DeliveryID: f.ID, To: f.Snapshot.Customer.Email})
		})
		s.ok(err)
		if m == nil {
			return
		}
		s.arrives(&db.Delivery{Message: m.Message})
		_, err = s.FinishPaymentMail(s.ctx, paymentID, m, nil)
		s.ok(err)
	}
}
