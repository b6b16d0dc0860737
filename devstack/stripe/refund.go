package stripe

import "cmp"

// refund is money that goes back.
type refund struct {
	ID            string
	Charge        string
	Intent        string
	Status        string // pending, requires_action, succeeded, failed, canceled
	Currency      string
	Amount        int64
	Created       int64
	Reason        string
	FailureReason string
	Metadata      map[string]string
	Method        string
}

var refundParams = params{
	"payment_intent": {}, "charge": {}, "amount": {kind: integer},
	"reason":   oneOf("duplicate", "fraudulent", "requested_by_customer"),
	"metadata": {kind: metadata},
}

func (c *call) createRefund() (object, *apiError) {
	intentID, chargeID := c.args.text("payment_intent"), c.args.text("charge")
	if intentID == "" && chargeID == "" {
		return nil, refuse("parameter_missing", "payment_intent", "One of the following params should be provided for this "+
			"request: payment_intent or charge.")
	}
	var ch *charge
	if chargeID != "" {
		var e *apiError
		if ch, e = find[*charge](c.Server, "charge", chargeID); e != nil {
			return nil, e
		}
	}
	if intentID != "" {
		i, e := find[*intent](c.Server, "payment_intent", intentID)
		if e != nil {
			return nil, e
		}
		if ch != nil && ch.Intent != i.ID {
			return nil, refuse("parameters_exclusive", "charge", "The charge is not of this PaymentIntent.")
		}
		ch = c.chargeOf(i)
	}
	amount, e := c.refundable(ch, intentID)
	if e != nil {
		return nil, e
	}
	var r *refund
	c.cause(c.requestID, c.key, func() {
		r = c.giveBack(ch, amount, c.args.text("reason"), c.args.metadata("metadata"))
	})
	return r.render(c.Server), nil
}

// refundable is how much a request gives back, if that can be.
func (c *call) refundable(ch *charge, intentID string) (int64, *apiError) {
	switch {
	case ch == nil || ch.Status != "succeeded":
		return 0, impossible("", "This PaymentIntent (%s) does not have a successful charge to refund.", intentID)
	case !ch.Captured:
		return 0, impossible("", "This uncaptured Charge was created by a PaymentIntent (%s). You must cancel the "+
			"PaymentIntent to "+
			"reverse the authorization instead of refunding the Charge directly.", ch.Intent)
	case ch.Disputed && !c.inquiryOnly(ch):
		return 0, impossible("charge_disputed", "Charge %s has been charged back; cannot issue a refund.", ch.ID)
	case ch.Refunded == ch.AmountCaptured:
		return 0, impossible("charge_already_refunded", "Charge %s has already been refunded.", ch.ID)
	}
	left := ch.AmountCaptured - ch.Refunded
	amount, sent := c.args.number("amount")
	if !sent {
		amount = left
	}
	if amount < 1 {
		return 0, refuse("parameter_invalid_integer", "amount", "This value must be greater than or equal to 1.")
	}
	if e := wholeAmount("amount", amount, ch.Currency); e != nil {
		return 0, e
	}
	if amount > left {
		e := impossible("", "Refund amount (%d %s) is greater than unrefunded amount on charge (%d "+
			"%s)", amount, ch.Currency, left,
			ch.Currency)
		e.Param = "amount"
		return 0, e
	}
	return amount, nil
}

// giveBack makes a refund of a charge.
func (s *Server) giveBack(ch *charge, amount int64, reason string, metadata map[string]string) *refund {
	r := add(&s.state, &s.state.Refunds, &refund{
		ID: newID("re_"), Charge: ch.ID, Intent: ch.Intent, Status: "succeeded", Currency: ch.Currency, Amount: amount,
		Created: s.unix(), Reason: reason, Metadata: metadata, Method: ch.Method,
	})
	ch.Refunded += amount
	switch {
	case ch.Number == CardRefundLate || ch.Method == "sepa_debit":
		r.Status = "pending"
		s.later(cmp.Or(ch.Settles, refundSettlesAfter), due{Do: "settle-refund", ID: r.ID})
	case ch.Number == CardRefundFails:
		s.later(refundFailsAfter, due{Do: "settle-refund", ID: r.ID})
	}
	s.tell("refund.created", r)
	s.tell("charge.refunded", ch)
	return r
}

// settleRefund brings a pending refund to its end, or has one fail that had succeeded.
func (s *Server) settleRefund(r *refund) {
	ch, _ := s.state.byID[r.Charge].(*charge)
	switch {
	case r.Status == "pending", r.Status == "requires_action":
		r.Status = "succeeded"
		s.tell("refund.updated", r)
	case r.Status == "succeeded" && ch.Number == CardRefundFails:
		s.failRefund(r)
	}
}

func (s *Server) failRefund(r *refund) {
	if r.Status != "pending" && r.Status != "requires_action" && r.Status != "succeeded" {
		return
	}
	ch, _ := s.state.byID[r.Charge].(*charge)
	r.Status, r.FailureReason = "failed", "expired_or_canceled_card"
	ch.Refunded -= r.Amount
	s.tell("refund.updated", r)
	s.tell("refund.failed", r)
}

func (c *call) retrieveRefund() (object, *apiError) {
	r, e := find[*refund](c.Server, "refund", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listRefunds() (object, *apiError) {
	intentID, chargeID := c.args.text("payment_intent"), c.args.text("charge")
	return page(c, "/v1/refunds", c.state.Refunds, func(r *refund) bool {
		return (intentID == "" || r.Intent == intentID) && (chargeID == "" || r.Charge == chargeID)
	})
}

func (r *refund) id() string     { return r.ID }
func (r *refund) created() int64 { return r.Created }
func (*refund) kind() string     { return "refund" }

func (r *refund) render(*Server) object {
	o := object{
		"id": r.ID, "object": "refund", "amount": r.Amount, "currency": r.Currency, "created": r.Created, "charge": r.Charge,
		"payment_intent": r.Intent, "status": r.Status, "reason": orNull(r.Reason), "metadata": orEmpty(r.Metadata),
		"balance_transaction": nil, "receipt_number": nil, "source_transfer_reversal": nil, "transfer_reversal": nil,
	}
	if r.Method == "card" {
		o["destination_details"] = object{"type": "card", "card": object{
			"type": "refund", "reference_status": "pending", "reference_type": "acquirer_reference_number",
		}}
	}
	if r.FailureReason != "" {
		o["failure_reason"] = r.FailureReason
	}
	return o
}

// renderRefunds is the list of refunds inside of a charge: the newest ten.
func (s *Server) renderRefunds(ch *charge) object {
	data := []object{}
	more := false
	for i := len(s.state.Refunds) - 1; i >= 0; i-- {
		if r := s.state.Refunds[i]; r.Charge == ch.ID {
			if len(data) == 10 {
				more = true
				break
			}
			data = append(data, r.render(s))
		}
	}
	return object{"object": "list", "has_more": more, "url": "/v1/charges/" + ch.ID + "/refunds", "data": data}
}
