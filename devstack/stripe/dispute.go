package stripe

import (
	"strings"

	"keyturn.dev/keyturn"
)

// dispute is a charge that its customer has called off at the bank.
type dispute struct {
	ID        string
	Charge    string
	Intent    string
	Currency  string
	Amount    int64
	Created   int64
	DueBy     int64
	Reason    string
	Status    string
	Evidence  map[string]string
	Submitted int64
	Metadata  map[string]string
	Live      bool
}

// warning is an early fraud warning of a card's issuer.
type warning struct {
	ID      string
	Charge  string
	Intent  string
	Created int64
	Live    bool
}

// evidenceTexts are the fields of a dispute's evidence that take text.
var evidenceTexts = []string{
	"access_activity_log", "billing_address", "cancellation_policy_disclosure", "cancellation_rebuttal",
	"customer_email_address", "customer_name", "customer_purchase_ip", "duplicate_charge_explanation",
	"duplicate_charge_id",
	"product_description", "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "shipping_address",
	"shipping_carrier", "shipping_date", "shipping_tracking_number", "uncategorized_text",
}

// evidenceFiles are those that take the ID of a file, which the emulator does not keep.
var evidenceFiles = []string{
	"cancellation_policy", "customer_communication", "customer_signature", "duplicate_charge_documentation", "receipt",
	"refund_policy", "service_documentation", "shipping_documentation", "uncategorized_file",
}

var disputeParams = params{
	"evidence": fields(evidenceParams()), "metadata": {kind: metadata}, "submit": {kind: boolean},
}

func evidenceParams() params {
	all := params{}
	for _, name := range evidenceTexts {
		all[name] = param{longest: 20000}
	}
	return all
}

// dispute opens a dispute of a charge, or an inquiry.
func (s *Server) dispute(ch *charge, status string) *dispute {
	d := add(&s.state, &s.state.Disputes, &dispute{
		ID: newID("du_"), Charge: ch.ID, Intent: ch.Intent, Currency: ch.Currency, Amount: ch.AmountCaptured,
		Created: s.unix(), DueBy: s.now().Add(disputeResponseTime).Unix(), Reason: "fraudulent", Status: status,
		Evidence: map[string]string{}, Live: ch.Live,
	})
	ch.Disputed = true
	s.tell("charge.dispute.created", d)
	if !d.inquiry() {
		s.tell("charge.dispute.funds_withdrawn", d)
	}
	return d
}

func (r *dispute) inquiry() bool { return strings.HasPrefix(r.Status, "warning_") }

func (r *dispute) open() bool {
	return strings.HasSuffix(r.Status, "needs_response") || strings.HasSuffix(r.Status, "under_review")
}

// inquiryOnly says that no money of a charge was withdrawn by a dispute.
func (s *Server) inquiryOnly(ch *charge) bool {
	for _, d := range s.state.Disputes {
		if d.Charge == ch.ID && !d.inquiry() && d.Status != "won" {
			return false
		}
	}
	return true
}

func (s *Server) closeDispute(d *dispute, status string) {
	if !d.open() {
		return
	}
	if d.inquiry() {
		status = "warning_closed"
	}
	d.Status = status
	s.tell("charge.dispute.closed", d)
	if status == "won" {
		s.tell("charge.dispute.funds_reinstated", d)
	}
}

func (s *Server) warn(ch *charge) {
	w := add(&s.state, &s.state.Warnings, &warning{
		ID: newID("issfr_"), Charge: ch.ID, Intent: ch.Intent, Created: s.unix(), Live: ch.Live,
	})
	s.tell("radar.early_fraud_warning.created", w)
}

func (c *call) retrieveDispute() (object, *apiError) {
	r, e := find[*dispute](c.Server, "dispute", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listDisputes() (object, *apiError) {
	intentID, chargeID := c.args.text("payment_intent"), c.args.text("charge")
	return page(c, "/v1/disputes", c.state.Disputes, func(r *dispute) bool {
		return (intentID == "" || r.Intent == intentID) && (chargeID == "" || r.Charge == chargeID)
	})
}

func (c *call) updateDispute() (object, *apiError) {
	r, e := find[*dispute](c.Server, "dispute", c.id)
	if e != nil {
		return nil, e
	}
	if !r.open() {
		return nil, impossible("", "This dispute is already closed.")
	}
	for name := range c.args.object("evidence") {
		r.Evidence[name] = c.args.object("evidence").text(name)
	}
	if m := c.args.metadata("metadata"); m != nil {
		r.Metadata = m
	}
	submit, sent := c.args["submit"].(bool)
	if submit || !sent {
		r.Submitted++
		r.Status = strings.Replace(r.Status, "needs_response", "under_review", 1)
	}
	c.cause(c.requestID, c.key, func() { c.tell("charge.dispute.updated", r) })
	return r.render(c.Server), nil
}

func (c *call) retrieveWarning() (object, *apiError) {
	r, e := find[*warning](c.Server, "radar.early_fraud_warning", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listWarnings() (object, *apiError) {
	intentID, chargeID := c.args.text("payment_intent"), c.args.text("charge")
	return page(c, "/v1/radar/early_fraud_warnings", c.state.Warnings, func(r *warning) bool {
		return (intentID == "" || r.Intent == intentID) && (chargeID == "" || r.Charge == chargeID)
	})
}

func (r *dispute) id() string     { return r.ID }
func (r *dispute) created() int64 { return r.Created }
func (*dispute) kind() string     { return "dispute" }

func (r *dispute) render(s *Server) object {
	evidence := object{"enhanced_evidence": object{}}
	for _, name := range evidenceTexts {
		evidence[name] = orNull(r.Evidence[name])
	}
	for _, name := range evidenceFiles {
		evidence[name] = nil
	}
	kind := "chargeback"
	if r.inquiry() {
		kind = "inquiry"
	}
	return object{
		"id": r.ID, "object": "dispute", "livemode": r.Live, "amount": r.Amount, "currency": r.Currency, "charge": r.Charge,
		"payment_intent": r.Intent, "created": r.Created, "reason": r.Reason, "status": r.Status,
		"metadata": orEmpty(r.Metadata), "balance_transactions": []any{}, "enhanced_eligibility_types": []any{},
		"is_charge_refundable": r.inquiry() && r.open(), "evidence": evidence, "evidence_details": object{
			"due_by": r.DueBy, "has_evidence": len(r.Evidence) > 0, "past_due": s.unix() > r.DueBy,
			"submission_count": r.Submitted, "enhanced_eligibility": object{},
		},
		"payment_method_details": object{"type": "card", "card": object{
			"brand": "visa", "case_type": kind, "network": "visa", "network_reason_code": "10.4",
		}},
	}
}

func (r *warning) id() string     { return r.ID }
func (r *warning) created() int64 { return r.Created }
func (*warning) kind() string     { return "radar.early_fraud_warning" }

func (r *warning) render(s *Server) object {
	ch, _ := s.state.byID[r.Charge].(*charge)
	return object{
		"id": r.ID, "object": "radar.early_fraud_warning", "livemode": r.Live, "charge": r.Charge,
		"payment_intent": r.Intent, "created": r.Created, "fraud_type": "made_with_stolen_card",
		"actionable": ch != nil && !ch.Disputed && ch.Refunded < ch.AmountCaptured,
	}
}

// Dispute has the customer of a payment dispute it, and gives the dispute.
func (s *Server) Dispute(intentID string) (disputeID string, err error) {
	err = s.onCharge(intentID, func(ch *charge) { disputeID = s.dispute(ch, "needs_response").ID })
	return disputeID, err
}

// CloseDispute has the bank decide a dispute.
func (s *Server) CloseDispute(disputeID string, won bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.state.byID[disputeID].(*dispute)
	if !ok {
		return keyturn.Errorf(keyturn.KindNotFound, "there is no dispute %s", disputeID)
	}
	s.closeDispute(d, map[bool]string{true: "won", false: "lost"}[won])
	return nil
}

// Warn has the issuer of a payment's card send an early fraud warning.
func (s *Server) Warn(intentID string) error { return s.onCharge(intentID, s.warn) }

// Refund does what a person does in Stripe's dashboard: it gives a sum of a payment back.
func (s *Server) Refund(intentID string, amount int64) (refundID string, err error) {
	err = s.onCharge(intentID, func(ch *charge) {
		refundID = s.giveBack(ch, min(amount, ch.AmountCaptured-ch.Refunded), "requested_by_customer", nil).ID
	})
	return refundID, err
}

// FailRefund has a refund fail.
func (s *Server) FailRefund(refundID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.state.byID[refundID].(*refund)
	if !ok {
		return keyturn.Errorf(keyturn.KindNotFound, "there is no refund %s", refundID)
	}
	s.failRefund(r)
	return nil
}

// AskCustomer has a pending refund wait for the customer, who is asked where the money goes and answers by the time
// that it would have taken.
func (s *Server) AskCustomer(refundID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.state.byID[refundID].(*refund)
	if !ok || r.Status != "pending" {
		return keyturn.Errorf(keyturn.KindNotFound, "there is no pending refund %s", refundID)
	}
	r.Status = "requires_action"
	s.tell("refund.updated", r)
	return nil
}

// Cancel does what a person does in Stripe's dashboard: it lets an authorization go.
func (s *Server) Cancel(intentID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.state.byID[intentID].(*intent)
	if !ok {
		return keyturn.Errorf(keyturn.KindNotFound, "there is no payment %s", intentID)
	}
	s.cancel_(i, "requested_by_customer")
	return nil
}

// onCharge does something to the captured charge of a payment.
func (s *Server) onCharge(intentID string, do func(*charge)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passTime()
	i, ok := s.state.byID[intentID].(*intent)
	if !ok {
		return keyturn.Errorf(keyturn.KindNotFound, "there is no payment %s", intentID)
	}
	ch := s.chargeOf(i)
	if ch == nil || !ch.Captured {
		return keyturn.Errorf(keyturn.KindConflict, "nothing was taken of the payment %s", intentID)
	}
	do(ch)
	return nil
}
