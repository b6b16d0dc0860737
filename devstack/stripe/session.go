package stripe

import (
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// session is a Checkout Session in payment mode, on the hosted page.
type session struct {
	ID                string
	Status            string // open, complete, expired
	PaymentStatus     string // unpaid, paid
	Created           int64
	ExpiresAt         int64
	Currency          string
	Lines             []line
	Total             int64
	Email             string // prefilled
	ClientReferenceID string
	Locale            string
	SubmitType        string
	SuccessURL        string
	CancelURL         string
	Metadata          map[string]string
	IntentMetadata    map[string]string
	Description       string // of the payment
	CaptureMethod     string // of every means of payment: automatic_async or manual
	MethodCapture     map[string]string
	MethodTypes       []string // empty: those of the account
	AdaptivePricing   *bool
	Intent            string // "" until somebody tries to pay
	Live              bool
	PageURL           string
}

type line struct {
	ID          string
	Name        string
	Description string
	UnitAmount  int64
	Quantity    int64
}

var (
	locales = []string{
		"auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA", "hr", "hu",
		"id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk", "sl", "sv", "th",
		"tr", "vi", "zh", "zh-HK", "zh-TW",
	}
	accountMethods = []string{"card", "link", "sepa_debit"} // that the account offers
	knownMethods   = []string{
		"amazon_pay", "bancontact", "blik", "card", "cashapp", "eps", "ideal", "klarna", "link", "p24", "paypal",
		"revolut_pay", "sepa_debit", "twint", "us_bank_account",
	}
	manualMethods = []string{"amazon_pay", "card", "cashapp", "klarna", "link", "paypal", "revolut_pay"}
)

var sessionParams = params{
	"mode":                must(oneOf("payment")), // the emulator sells once
	"ui_mode":             oneOf("hosted_page"),
	"success_url":         must(param{}),
	"cancel_url":          {},
	"client_reference_id": {longest: 200},
	"customer_email":      {longest: 800},
	"currency":            {},
	"locale":              oneOf(locales...),
	"submit_type":         oneOf("auto", "book", "donate", "pay"),
	"expires_at":          {kind: integer},
	"metadata":            {kind: metadata},
	"adaptive_pricing":    fields(params{"enabled": {kind: boolean}}),
	"line_items": must(listOf(fields(params{
		"quantity": must(param{kind: integer}),
		"price_data": must(fields(params{
			"currency":    must(param{}),
			"unit_amount": must(param{kind: integer}),
			"product_data": must(fields(params{
				"name": must(param{}), "description": {longest: 40000}, "metadata": {kind: metadata},
			})),
		})),
	}))),
	"payment_intent_data": fields(params{
		"capture_method": oneOf("automatic", "automatic_async", "manual"),
		"description":    {longest: 1000},
		"metadata":       {kind: metadata},
	}),
	"payment_method_types":   listOf(oneOf(knownMethods...)),
	"payment_method_options": fields(methodOptions()),
}

// methodOptions: only means of payment that can be authorized take a capture method.
func methodOptions() params {
	all := params{}
	for _, method := range manualMethods {
		all[method] = fields(params{"capture_method": oneOf("manual")})
	}
	return all
}

func (c *call) createSession() (object, *apiError) {
	now := c.now()
	r := &session{
		ID: newID("cs_test_"), Status: "open", PaymentStatus: "unpaid", Created: now.Unix(), CaptureMethod: "automatic_async",
		Email: c.args.text("customer_email"), ClientReferenceID: c.args.text("client_reference_id"),
		Locale: c.args.text("locale"), SubmitType: c.args.text("submit_type"), SuccessURL: c.args.text("success_url"),
		CancelURL: c.args.text("cancel_url"), Metadata: c.args.metadata("metadata"), Live: c.live,
		MethodTypes: c.args.texts("payment_method_types"), MethodCapture: map[string]string{},
	}
	if c.live {
		r.ID = newID("cs_live_")
	}
	r.PageURL = c.PageURL() + "/c/pay/" + r.ID
	intent := c.args.object("payment_intent_data")
	r.IntentMetadata, r.Description = intent.metadata("metadata"), intent.text("description")
	if m := intent.text("capture_method"); m != "" {
		r.CaptureMethod = m
	}
	for method := range c.args.object("payment_method_options") {
		r.MethodCapture[method] = c.args.object("payment_method_options").object(method).text("capture_method")
	}
	if pricing := c.args.object("adaptive_pricing"); pricing != nil {
		enabled := pricing.flag("enabled")
		r.AdaptivePricing = &enabled
	}
	if e := c.checkAddresses(r); e != nil {
		return nil, e
	}
	if e := r.setExpiry(c.args, now); e != nil {
		return nil, e
	}
	if e := r.setLines(c.args); e != nil {
		return nil, e
	}
	if len(r.methods()) == 0 {
		return nil, refuse("", "payment_method_types", "No valid payment method types for this Checkout Session.")
	}
	add(&c.state, &c.state.Sessions, r)
	c.later(time.Unix(r.ExpiresAt, 0).Sub(c.now()), due{Do: "expire-session", ID: r.ID})
	return r.render(c.Server), nil
}

func (c *call) checkAddresses(r *session) *apiError {
	for name, address := range map[string]string{"success_url": r.SuccessURL, "cancel_url": r.CancelURL} {
		if address == "" {
			continue
		}
		u, err := url.Parse(strings.ReplaceAll(address, "{CHECKOUT_SESSION_ID}", "id"))
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || c.live) {
			return refuse("url_invalid", name, "Not a valid URL")
		}
	}
	if _, err := mail.ParseAddress(r.Email); r.Email != "" && err != nil {
		return refuse("email_invalid", "customer_email", "Invalid email address: %s", r.Email)
	}
	return nil
}

func (r *session) setExpiry(a args, now time.Time) *apiError {
	r.ExpiresAt = r.Created + 24*3600
	at, sent := a.number("expires_at")
	if !sent {
		return nil
	}
	switch left := time.Unix(at, 0).Sub(now); {
	case left < 30*time.Minute-time.Second:
		return refuse("", "expires_at", "The `expires_at` timestamp must be at least 30 minutes from "+
			"Checkout Session creation.")
	case left > 24*time.Hour:
		return refuse("", "expires_at", "The `expires_at` timestamp must be less than 24 hours from "+
			"Checkout Session creation.")
	}
	r.ExpiresAt = at
	return nil
}

func (r *session) setLines(a args) *apiError {
	for i, each := range a.list("line_items") {
		l, _ := each.(args)
		data := l.object("price_data")
		at := "line_items[" + strconv.Itoa(i) + "]"
		currency := data.text("currency")
		switch {
		case len(currency) != 3 || currency != strings.ToLower(currency):
			return refuse("", at+"[price_data][currency]", "Invalid currency: %s. Stripe's currencies are three lower-case "+
				"letters.", currency)
		case r.Currency != "" && r.Currency != currency:
			return refuse("", at+"[price_data][currency]", "All prices on a Checkout Session must have the same currency.")
		}
		r.Currency = currency
		price, _ := data.number("unit_amount")
		quantity, _ := l.number("quantity")
		if price < 0 {
			return refuse("parameter_invalid_integer", at+"[price_data][unit_amount]", "This value must be greater than or "+
				"equal to 0.")
		}
		if quantity < 1 || quantity > 999_999 {
			return refuse("parameter_invalid_integer", at+"[quantity]", "This value must be greater than or equal to 1.")
		}
		if e := wholeAmount(at+"[price_data][unit_amount]", price, currency); e != nil {
			return e
		}
		product := data.object("product_data")
		r.Lines = append(r.Lines, line{
			ID: newID("li_"), Name: product.text("name"), Description: product.text("description"), UnitAmount: price,
			Quantity: quantity,
		})
		r.Total += price * quantity
	}
	if asked := a.text("currency"); asked != "" && asked != r.Currency {
		return refuse("", "currency", "The currency is not that of the line items.")
	}
	switch {
	case len(r.Lines) == 0:
		return refuse("parameter_missing", "line_items", "Missing required param: line_items.")
	case r.Total < smallest(r.Currency):
		return refuse("amount_too_small", "", "The Checkout Session's total amount must convert to at least 50 cents.")
	case r.Total > 99_999_999:
		return refuse("amount_too_large", "", "The Checkout Session's total amount due must be no more than 999,999.99.")
	}
	return nil
}

// methods are the means of payment that the page offers: only those that can be authorized if all of them have to be.
func (r *session) methods() []string {
	offered := r.MethodTypes
	if len(offered) == 0 {
		offered = accountMethods
	}
	if r.CaptureMethod != "manual" {
		return offered
	}
	return slices.DeleteFunc(slices.Clone(offered), func(m string) bool { return !slices.Contains(manualMethods, m) })
}

func (c *call) retrieveSession() (object, *apiError) {
	r, e := find[*session](c.Server, "checkout.session", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listSessions() (object, *apiError) {
	intent, status := c.args.text("payment_intent"), c.args.text("status")
	return page(c, "/v1/checkout/sessions", c.state.Sessions, func(r *session) bool {
		return (intent == "" || r.Intent == intent) && (status == "" || r.Status == status)
	})
}

func (c *call) listLineItems() (object, *apiError) {
	r, e := find[*session](c.Server, "checkout.session", c.id)
	if e != nil {
		return nil, e
	}
	return r.renderLines(), nil
}

func (c *call) endSession() (object, *apiError) {
	r, e := find[*session](c.Server, "checkout.session", c.id)
	if e != nil {
		return nil, e
	}
	if r.Status != "open" {
		return nil, impossible("", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout "+
			"Session has "+
			"a status of `%s`.", r.Status)
	}
	c.cause(c.requestID, c.key, func() { c.expireSession(r) })
	return r.render(c.Server), nil
}

// expireSession ends an open session. What its customer tried to pay with is let go.
func (s *Server) expireSession(r *session) {
	if r.Status != "open" {
		return
	}
	r.Status = "expired"
	if i, ok := s.state.byID[r.Intent].(*intent); ok {
		s.cancel_(i, "")
	}
	s.tell("checkout.session.expired", r)
}

func (r *session) id() string     { return r.ID }
func (r *session) created() int64 { return r.Created }
func (*session) kind() string     { return "checkout.session" }

func (r *session) render(*Server) object {
	options := object{}
	for method, capture := range r.MethodCapture {
		options[method] = object{"capture_method": capture}
	}
	if card, ok := options["card"].(object); ok {
		card["request_three_d_secure"] = "automatic"
	} else if slices.Contains(r.methods(), "card") {
		options["card"] = object{"request_three_d_secure": "automatic"}
	}
	o := object{
		"id": r.ID, "object": "checkout.session", "livemode": r.Live, "mode": "payment", "ui_mode": "hosted_page",
		"status": r.Status, "payment_status": r.PaymentStatus, "created": r.Created, "expires_at": r.ExpiresAt,
		"currency": r.Currency, "amount_subtotal": r.Total, "amount_total": r.Total,
		"total_details":  object{"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
		"customer_email": orNull(r.Email), "client_reference_id": orNull(r.ClientReferenceID), "locale": orNull(r.Locale),
		"submit_type": orNull(r.SubmitType), "success_url": r.SuccessURL, "cancel_url": orNull(r.CancelURL),
		"metadata": orEmpty(r.Metadata), "payment_intent": orNull(r.Intent), "payment_method_types": r.methods(),
		"payment_method_options": options, "url": nil, "automatic_tax": object{
			"enabled": false, "liability": nil, "provider": nil, "status": nil,
		},
		"custom_fields": []any{}, "custom_text": object{
			"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil,
		},
		"customer": nil, "customer_creation": "if_required", "customer_details": nil, "invoice": nil,
		"invoice_creation": nil, "payment_link": nil, "payment_method_collection": "if_required",
		"phone_number_collection": object{"enabled": false}, "recovered_from": nil, "setup_intent": nil,
		"shipping_cost": nil, "shipping_options": []any{}, "subscription": nil, "after_expiration": nil,
		"allow_promotion_codes": nil, "billing_address_collection": nil, "client_secret": nil, "consent": nil,
		"consent_collection": nil, "discounts": []any{}, "currency_conversion": nil, "collected_information": nil,
		"saved_payment_method_options": nil, "payment_method_configuration_details": nil, "permissions": nil,
		"origin_context": nil, "wallet_options": nil,
	}
	if r.Status == "open" {
		o["url"] = r.PageURL
	}
	if r.Email != "" && r.Status == "complete" {
		o["customer_details"] = object{
			"address": nil, "business_name": nil, "email": r.Email, "individual_name": nil, "name": nil, "phone": nil,
			"tax_exempt": "none", "tax_ids": []any{},
		}
	}
	if r.AdaptivePricing != nil {
		o["adaptive_pricing"] = object{"enabled": *r.AdaptivePricing}
	}
	return o
}

func (r *session) renderLines() object {
	data := []object{}
	for _, l := range r.Lines {
		data = append(data, object{
			"id": l.ID, "object": "item", "currency": r.Currency, "description": l.Name, "quantity": l.Quantity,
			"amount_discount": 0, "amount_tax": 0, "amount_subtotal": l.UnitAmount * l.Quantity,
			"amount_total": l.UnitAmount * l.Quantity, "price": nil,
		})
	}
	return object{
		"object": "list", "has_more": false, "url": "/v1/checkout/sessions/" + r.ID + "/line_items", "data": data,
	}
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
