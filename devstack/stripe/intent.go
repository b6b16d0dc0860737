package stripe

import (
	"net/http"
	"slices"
	"time"
)

// intent is a PaymentIntent.
type intent struct {
	ID                 string
	Session            string // "": it was made elsewhere
	Status             string
	CaptureMethod      string
	Methods            []string
	MethodCapture      map[string]string
	Currency           string
	Description        string
	Amount             int64
	Capturable         int64
	Received           int64
	Created            int64
	CanceledAt         int64
	CancellationReason string
	LatestCharge       string
	LastError          *apiError
	Metadata           map[string]string
	Live               bool
}

// charge is one try to pay a PaymentIntent.
type charge struct {
	ID             string
	Intent         string
	Status         string // pending, succeeded, failed
	Currency       string
	Amount         int64
	AmountCaptured int64
	Captured       bool
	Refunded       int64 // of refunds that are not failed or canceled
	Created        int64
	Method         string // card, link, sepa_debit
	Number         string // of the card or account: a test number
	CaptureBefore  int64  // of an authorization
	Settles        time.Duration
	Disputed       bool
	Email          string
	FailureCode    string
	DeclineCode    string
	FailureMessage string
	Metadata       map[string]string
	Live           bool
}

func (c *call) retrieveIntent() (object, *apiError) {
	r, e := find[*intent](c.Server, "payment_intent", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listIntents() (object, *apiError) {
	return page(c, "/v1/payment_intents", c.state.Intents, nil)
}

func (c *call) retrieveCharge() (object, *apiError) {
	r, e := find[*charge](c.Server, "charge", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listCharges() (object, *apiError) {
	id := c.args.text("payment_intent")
	return page(c, "/v1/charges", c.state.Charges, func(r *charge) bool { return id == "" || r.Intent == id })
}

func (c *call) captureIntent() (object, *apiError) {
	i, e := find[*intent](c.Server, "payment_intent", c.id)
	if e != nil {
		return nil, e
	}
	if i.Status != "requires_capture" {
		e := impossible("payment_intent_unexpected_state", "This PaymentIntent could not be captured because it has a "+
			"status of "+
			"%s. Only a PaymentIntent with one of the following statuses may be captured: requires_capture.", i.Status)
		e.Intent = i
		return nil, e
	}
	ch := c.chargeOf(i)
	if c.fault == Refused {
		c.cause(c.requestID, c.key, func() { c.expireCharge(ch) })
		return nil, impossible("capture_charge_authorization_expired", "Charge %s: the authorization has expired and "+
			"can not be "+
			"captured.", ch.ID)
	}
	sum, sent := c.args.number("amount_to_capture")
	if !sent {
		sum = i.Capturable
	}
	switch {
	case sum < 1:
		return nil, refuse("parameter_invalid_integer", "amount_to_capture", "This value must be greater than or equal to 1.")
	case sum > i.Capturable:
		e := impossible("amount_too_large", "The remaining amount capturable for this PaymentIntent is %d. The requested "+
			"amount_to_capture is greater than the amount you can capture for this charge.", i.Capturable)
		e.Param = "amount_to_capture"
		return nil, e
	}
	if e := wholeAmount("amount_to_capture", sum, i.Currency); e != nil {
		return nil, e
	}
	c.cause(c.requestID, c.key, func() { c.take(i, ch, sum) })
	return i.render(c.Server), nil
}

// take captures a charge. What is left of the authorization is let go; no refund comes of that.
func (s *Server) take(i *intent, ch *charge, sum int64) {
	ch.Captured, ch.AmountCaptured = true, sum
	i.Status, i.Capturable, i.Received = "succeeded", 0, sum
	if r := s.sessionOf(i); r != nil {
		r.PaymentStatus = "paid"
	}
	s.tell("charge.captured", ch)
	s.tell("payment_intent.succeeded", i)
	s.aftermath(ch)
}

func (c *call) cancelIntent() (object, *apiError) {
	i, e := find[*intent](c.Server, "payment_intent", c.id)
	if e != nil {
		return nil, e
	}
	cancelable := []string{"requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"}
	switch r := c.sessionOf(i); {
	case r != nil && r.Status == "open":
		return nil, impossible("", "You cannot cancel this PaymentIntent because it was created by a Checkout Session. "+
			"You can "+
			"expire the Checkout Session instead: %s.", r.ID)
	case !slices.Contains(cancelable, i.Status):
		e := impossible("payment_intent_unexpected_state", "You cannot cancel this PaymentIntent because it has a "+
			"status of %s. "+
			"Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, "+
			"requires_capture, requires_confirmation, requires_action, processing.", i.Status)
		e.Intent = i
		return nil, e
	}
	c.cause(c.requestID, c.key, func() { c.cancel_(i, c.args.text("cancellation_reason")) })
	return i.render(c.Server), nil
}

// cancel_ ends a PaymentIntent: an authorization is let go.
func (s *Server) cancel_(i *intent, reason string) {
	if i.Status == "canceled" || i.Status == "succeeded" || i.Status == "processing" {
		return
	}
	i.Status, i.Capturable, i.CanceledAt, i.CancellationReason = "canceled", 0, s.unix(), reason
	s.tell("payment_intent.canceled", i)
}

// expireCharge ends an authorization that nobody captured in time.
func (s *Server) expireCharge(ch *charge) {
	i := s.intentOf(ch)
	if i.Status != "requires_capture" {
		return
	}
	s.tell("charge.expired", ch)
	s.cancel_(i, "expired")
}

func (r *intent) id() string     { return r.ID }
func (r *intent) created() int64 { return r.Created }
func (*intent) kind() string     { return "payment_intent" }

func (r *intent) render(s *Server) object {
	options := object{}
	for method, capture := range r.MethodCapture {
		options[method] = object{"capture_method": capture}
	}
	card, _ := options["card"].(object)
	if card == nil {
		card = object{}
	}
	card["installments"], card["mandate_options"], card["network"] = nil, nil, nil
	card["request_three_d_secure"] = "automatic"
	options["card"] = card
	o := object{
		"id": r.ID, "object": "payment_intent", "livemode": r.Live, "status": r.Status, "amount": r.Amount,
		"amount_capturable": r.Capturable, "amount_received": r.Received, "capture_method": r.CaptureMethod,
		"confirmation_method": "automatic", "created": r.Created, "currency": r.Currency,
		"description": orNull(r.Description), "latest_charge": orNull(r.LatestCharge), "metadata": orEmpty(r.Metadata),
		"payment_method_types": r.Methods, "payment_method_options": options, "amount_details": object{"tip": object{}},
		"automatic_payment_methods": nil, "application": nil, "application_fee_amount": nil, "canceled_at": nil,
		"cancellation_reason": orNull(r.CancellationReason), "client_secret": r.ID + "_secret_emulator", "customer": nil,
		"last_payment_error": nil, "next_action": nil, "on_behalf_of": nil, "payment_method": nil, "processing": nil,
		"payment_method_configuration_details": nil, "receipt_email": nil, "review": nil, "setup_future_usage": nil,
		"shipping": nil, "statement_descriptor": nil, "statement_descriptor_suffix": nil, "transfer_data": nil,
		"transfer_group": nil, "excluded_payment_method_types": nil, "customer_account": nil,
	}
	if r.CanceledAt != 0 {
		o["canceled_at"] = r.CanceledAt
	}
	if ch := s.chargeOf(r); ch != nil && r.Status != "requires_payment_method" {
		o["payment_method"] = "pm_" + ch.ID
	}
	if r.LastError != nil {
		o["last_payment_error"] = r.LastError.render(nil)
	}
	return o
}

func (r *charge) id() string     { return r.ID }
func (r *charge) created() int64 { return r.Created }
func (*charge) kind() string     { return "charge" }

func (r *charge) render(*Server) object {
	o := object{
		"id": r.ID, "object": "charge", "livemode": r.Live, "status": r.Status, "amount": r.Amount,
		"amount_captured": r.AmountCaptured, "amount_refunded": r.Refunded, "captured": r.Captured,
		"paid": r.Status == "succeeded", "refunded": r.Captured && r.Refunded == r.AmountCaptured, "created": r.Created,
		"currency": r.Currency, "disputed": r.Disputed, "payment_intent": r.Intent, "payment_method": "pm_" + r.ID,
		"metadata": orEmpty(r.Metadata), "billing_details": object{
			"address": nil, "email": orNull(r.Email), "name": nil, "phone": nil, "tax_id": nil,
		},
		"application": nil, "application_fee": nil, "application_fee_amount": nil, "balance_transaction": nil,
		"calculated_statement_descriptor": "KEYTURN", "customer": nil, "description": nil,
		"failure_balance_transaction": nil, "failure_code": orNull(r.FailureCode),
		"failure_message": orNull(r.FailureMessage), "fraud_details": object{}, "on_behalf_of": nil, "receipt_email": nil,
		"receipt_number": nil, "receipt_url": "https://pay.stripe.test/receipts/" + r.ID, "review": nil, "shipping": nil,
		"source_transfer": nil, "statement_descriptor": nil, "statement_descriptor_suffix": nil, "transfer_data": nil,
		"transfer_group": nil, "outcome": object{
			"advice_code": nil, "network_advice_code": nil, "network_decline_code": nil,
			"network_status": "approved_by_network", "reason": nil, "risk_level": "normal", "risk_score": 20,
			"seller_message": "Payment complete.", "type": "authorized",
		},
		"payment_method_details": r.renderMethod(),
	}
	if r.Status == "failed" {
		o["outcome"] = object{
			"advice_code": nil, "network_advice_code": nil, "network_decline_code": nil,
			"network_status": "declined_by_network", "reason": orNull(r.DeclineCode), "risk_level": "normal", "risk_score": 20,
			"seller_message": "The bank did not return any further details with this decline.", "type": "issuer_declined",
		}
	}
	return o
}

func (r *charge) renderMethod() object {
	last := r.Number[max(0, len(r.Number)-4):]
	switch r.Method {
	case "sepa_debit":
		return object{"type": "sepa_debit", "sepa_debit": object{
			"bank_code": "19043", "branch_code": "", "country": "AT", "fingerprint": "emulated", "last4": last, "mandate": nil,
		}}
	case "link":
		return object{"type": "link", "link": object{"country": "DE"}}
	}
	card := object{
		"amount_authorized": r.Amount, "authorization_code": nil, "brand": "visa", "checks": object{
			"address_line1_check": nil, "address_postal_code_check": nil, "cvc_check": "pass",
		},
		"country": "US", "exp_month": 12, "exp_year": 2040, "fingerprint": "emulated", "funding": "credit",
		"installments": nil, "last4": last, "mandate": nil, "network": "visa", "network_token": object{"used": false},
		"network_transaction_id": nil, "three_d_secure": nil, "wallet": nil, "regulated_status": "unregulated",
		"extended_authorization":    object{"status": "disabled"},
		"incremental_authorization": object{"status": "unavailable"},
		"multicapture":              object{"status": "unavailable"},
		"overcapture":               object{"maximum_amount_capturable": r.Amount, "status": "unavailable"},
	}
	if r.CaptureBefore != 0 && !r.Captured {
		card["capture_before"] = r.CaptureBefore
	}
	return object{"type": "card", "card": card}
}

// authorizationLasts is how long most cards keep an authorization from the internet.
const authorizationLasts = 7 * 24 * time.Hour

func declined(ch *charge) *apiError {
	return &apiError{
		status: http.StatusPaymentRequired, Type: cardError, Code: ch.FailureCode, DeclineCode: ch.DeclineCode,
		Charge: ch.ID, Message: ch.FailureMessage,
	}
}
