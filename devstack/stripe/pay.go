package stripe

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// Numbers of cards and accounts that Stripe documents for tests, and what follows from them here.
const (
	CardGood            = "4242424242424242"
	CardDeclined        = "4000000000000002"
	CardNoFunds         = "4000000000009995"
	CardDisputed        = "4000000000000259" // disputed as fraudulent as soon as it is charged
	CardInquiry         = "4000000000001976" // an inquiry instead of a dispute
	CardFraudWarning    = "4000000000005423" // an early fraud warning as soon as it is charged
	CardRefundLate      = "4000000000007726" // its refunds are pending first, and succeed
	CardRefundFails     = "4000000000005126" // its refunds succeed, and fail later
	AccountGood         = "AT611904300234573201"
	AccountFails        = "AT861904300235473202"
	settlesAfter        = 3 * time.Minute
	refundSettlesAfter  = 5 * time.Minute
	refundFailsAfter    = time.Hour
	disputeResponseTime = 9 * 24 * time.Hour
)

// Method is a means of payment that a customer uses on the hosted page.
type Method struct {
	Kind   string // card, link or sepa_debit
	Number string // of a test; empty: the one that is good
	// Lasts is how long its authorization lasts; 0: seven days. Stripe tells it in whole seconds.
	Lasts time.Duration
	// Settles is how long a delayed payment or a late refund of it takes; 0: three minutes and five.
	Settles time.Duration
}

// Card is the means of payment of a test card.
func Card(number string) Method { return Method{Kind: "card", Number: number} }

// Debit is a delayed means of payment, by the number of a test account.
func Debit(number string) Method { return Method{Kind: "sepa_debit", Number: number} }

// ErrDeclined says that the customer's bank declines; the session stays open.
var ErrDeclined = errors.New("the payment was declined")

// Pay does what a customer does on the hosted page: it pays a session, and gives the address of the shop that the page
// leads to. ErrDeclined; KindConflict: the session is not open, or does not take this means of payment.
func (s *Server) Pay(sessionID string, m Method) (returnURL string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passTime()
	r, ok := s.state.byID[sessionID].(*session)
	switch {
	case !ok:
		return "", keyturn.Errorf(keyturn.KindNotFound, "there is no session %s", sessionID)
	case r.Status != "open":
		return "", keyturn.Errorf(keyturn.KindConflict, "the session is %s", r.Status)
	case !slices.Contains(r.methods(), m.Kind):
		return "", keyturn.Errorf(keyturn.KindConflict, "the session does not take %s", m.Kind)
	}
	s.cause("", "", func() { err = s.pay(r, m) })
	return strings.ReplaceAll(r.SuccessURL, "{CHECKOUT_SESSION_ID}", r.ID), err
}

func (s *Server) pay(r *session, m Method) error {
	i, ok := s.state.byID[r.Intent].(*intent)
	if !ok {
		i = add(&s.state, &s.state.Intents, &intent{
			ID: newID("pi_"), Session: r.ID, Status: "requires_payment_method", CaptureMethod: r.CaptureMethod,
			Methods: r.methods(), MethodCapture: maps.Clone(r.MethodCapture), Currency: r.Currency, Amount: r.Total,
			Created: s.unix(), Metadata: maps.Clone(r.IntentMetadata), Description: r.Description, Live: r.Live,
		})
		r.Intent = i.ID
		s.tell("payment_intent.created", i)
	}
	if m.Number == "" {
		m.Number = map[string]string{"sepa_debit": AccountGood}[m.Kind]
	}
	if m.Number == "" {
		m.Number = CardGood
	}
	ch := s.charge(i, m, r.Email)
	if ch.Status == "failed" {
		return fmt.Errorf("%w: %s", ErrDeclined, ch.FailureMessage)
	}
	r.Status = "complete"
	if i.Status == "succeeded" {
		r.PaymentStatus = "paid"
	}
	s.tell("checkout.session.completed", r)
	return nil
}

// charge tries to take or to authorize the money of a PaymentIntent.
func (s *Server) charge(i *intent, m Method, email string) *charge {
	ch := &charge{
		ID: newID("ch_"), Intent: i.ID, Status: "succeeded", Currency: i.Currency, Amount: i.Amount, Created: s.unix(),
		Method: m.Kind, Number: m.Number, Email: email, Metadata: maps.Clone(i.Metadata), Live: i.Live,
		Settles: m.Settles,
	}
	if m.Kind == "sepa_debit" {
		ch.ID, ch.Status = newID("py_"), "pending"
	}
	add(&s.state, &s.state.Charges, ch)
	i.LatestCharge, i.LastError = ch.ID, nil
	manual := i.CaptureMethod == "manual" || i.MethodCapture[m.Kind] == "manual"
	switch {
	case m.Number == CardDeclined, m.Number == CardNoFunds:
		ch.DeclineCode, ch.FailureMessage = "generic_decline", "Your card was declined."
		if m.Number == CardNoFunds {
			ch.DeclineCode, ch.FailureMessage = "insufficient_funds", "Your card has insufficient funds."
		}
		ch.FailureCode = "card_declined"
		s.fail(i, ch)
	case ch.Status == "pending":
		i.Status = "processing"
		s.tell("payment_intent.processing", i)
		s.tell("charge.pending", ch)
		s.later(cmp.Or(m.Settles, settlesAfter), due{Do: "settle", ID: ch.ID})
	case manual:
		i.Status, i.Capturable = "requires_capture", i.Amount
		lasts := cmp.Or(m.Lasts, authorizationLasts)
		if m.Kind == "card" { // of Link, Stripe's API does not tell it
			ch.CaptureBefore = s.now().Add(lasts).Unix()
		}
		s.tell("charge.succeeded", ch)
		s.tell("payment_intent.amount_capturable_updated", i)
		s.later(lasts, due{Do: "expire-charge", ID: ch.ID})
	default:
		s.succeed(i, ch)
	}
	return ch
}

// succeed takes the money of a charge at once.
func (s *Server) succeed(i *intent, ch *charge) {
	ch.Status, ch.Captured, ch.AmountCaptured = "succeeded", true, ch.Amount
	i.Status, i.Received = "succeeded", ch.Amount
	s.tell("charge.succeeded", ch)
	s.tell("payment_intent.succeeded", i)
	s.aftermath(ch)
}

func (s *Server) fail(i *intent, ch *charge) {
	ch.Status = "failed"
	i.Status, i.LastError = "requires_payment_method", declined(ch)
	s.tell("charge.failed", ch)
	s.tell("payment_intent.payment_failed", i)
}

// settle ends a delayed payment.
func (s *Server) settle(ch *charge) {
	i := s.intentOf(ch)
	if ch.Status != "pending" {
		return
	}
	r := s.sessionOf(i)
	if ch.Number == AccountFails {
		ch.FailureCode, ch.FailureMessage = "payment_intent_payment_attempt_failed", "The customer's bank account could "+
			"not be debited."
		s.fail(i, ch)
		if r != nil {
			s.tell("checkout.session.async_payment_failed", r)
		}
		return
	}
	s.succeed(i, ch)
	if r != nil {
		r.PaymentStatus = "paid"
		s.tell("checkout.session.async_payment_succeeded", r)
	}
}

// aftermath is what follows by itself from charging some test cards.
func (s *Server) aftermath(ch *charge) {
	switch ch.Number {
	case CardDisputed:
		s.dispute(ch, "needs_response")
	case CardInquiry:
		s.dispute(ch, "warning_needs_response")
	case CardFraudWarning:
		s.warn(ch)
	}
}

// PaidElsewhere is a payment that a shop took itself, without Checkout, and gives its PaymentIntent.
func (s *Server) PaidElsewhere(amount int64, currency string, metadata map[string]string, m Method) (intentID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := add(&s.state, &s.state.Intents, &intent{
		ID: newID("pi_"), Status: "requires_payment_method", CaptureMethod: "automatic_async", Methods: accountMethods,
		Currency: currency, Amount: amount, Created: s.unix(), Metadata: metadata, Live: s.live,
	})
	s.cause("", "", func() {
		s.tell("payment_intent.created", i)
		if m.Number == "" {
			m.Number = CardGood
		}
		s.charge(i, m, "")
	})
	return i.ID
}
