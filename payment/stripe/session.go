package stripe

import (
	"context"
	"slices"
	"strings"
	"time"

	api "github.com/stripe/stripe-go/v85"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

const sessionsPath = "/v1/checkout/sessions"

// locales are the languages of Stripe's page.
var locales = strings.Fields(`bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hr hu id it ja ko lt lv ms mt nb nl pl
	pt pt-BR ro ru sk sl sv th tr vi zh zh-HK zh-TW`)

// localeOf is the language of Stripe's page that is closest to a customer's.
func localeOf(tag string) string {
	language, _, _ := strings.Cut(tag, "-")
	for _, l := range []string{tag, language} {
		if slices.Contains(locales, l) {
			return l
		}
	}
	return "auto"
}

// Open is payment.Processor's. Nothing in the session can change the sum: no discounts, no quantities to choose, no
// taxes, no other currency.
func (x Processor) Open(ctx context.Context, o payment.Opening) (keyturn.ProcessorState, error) {
	p := &api.CheckoutSessionCreateParams{
		Params: under(ctx, o.Key), Mode: api.String(string(api.CheckoutSessionModePayment)),
		UIMode:     api.String(string(api.CheckoutSessionUIModeHostedPage)),
		SubmitType: api.String(string(api.CheckoutSessionSubmitTypePay)), Locale: api.String(localeOf(o.Locale)),
		ClientReferenceID: api.String(o.PaymentID), Metadata: x.mark(o.PaymentID),
		ExpiresAt: api.Int64(o.ExpiresAt.Unix()), SuccessURL: api.String(o.ReturnURL), CancelURL: api.String(o.BackURL),
		AdaptivePricing:   &api.CheckoutSessionCreateAdaptivePricingParams{Enabled: api.Bool(false)},
		PaymentIntentData: &api.CheckoutSessionCreatePaymentIntentDataParams{Metadata: x.mark(o.PaymentID)},
	}
	if o.Email != "" && isASCII(o.Email) { // Stripe asks for another one itself
		p.CustomerEmail = api.String(o.Email)
	}
	var sum int64
	for _, l := range o.Lines {
		each, err := amount(l.UnitPrice)
		if err != nil {
			return keyturn.ProcessorState{}, err
		}
		sum += each * int64(l.Quantity)
		p.LineItems = append(p.LineItems, &api.CheckoutSessionCreateLineItemParams{
			Quantity: api.Int64(int64(l.Quantity)),
			PriceData: &api.CheckoutSessionCreateLineItemPriceDataParams{
				Currency: api.String(strings.ToLower(l.UnitPrice.Currency)), UnitAmount: api.Int64(each),
				ProductData: &api.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: api.String(l.Name)},
			},
		})
	}
	if total, err := amount(o.Total); err != nil || total != sum {
		return keyturn.ProcessorState{}, keyturn.Errorf(keyturn.KindInvalid, "the lines do not add up to the sum")
	}
	switch {
	case o.AuthorizeOnly:
		p.PaymentIntentData.CaptureMethod = api.String(string(api.PaymentIntentCaptureMethodManual))
	case o.AuthorizeFirst:
		for _, method := range slices.Sorted(slices.Values(x.Authorize)) {
			p.AddExtra("payment_method_options["+method+"][capture_method]", string(api.PaymentIntentCaptureMethodManual))
		}
	}
	var s api.CheckoutSession
	if err := x.post(sessionsPath, p, &s); err != nil {
		return keyturn.ProcessorState{}, err
	}
	return stateOfSession(&s), nil
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > 127 })
}

// Retrieve is payment.Processor's. A payment whose session is not known is looked for among those that were made since.
func (x Processor) Retrieve(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	switch {
	case ref.SessionReference != "":
		return x.session(ctx, ref.SessionReference)
	case ref.PaymentReference != "":
		intent, err := x.intent(ctx, ref.PaymentReference)
		if err != nil {
			return keyturn.ProcessorState{}, err
		}
		return stateOfIntent(intent), nil
	}
	id, err := x.find(ctx, ref)
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return x.session(ctx, id)
}

func (x Processor) session(ctx context.Context, id string) (keyturn.ProcessorState, error) {
	p := &api.CheckoutSessionRetrieveParams{Params: api.Params{Context: ctx}}
	p.AddExpand("payment_intent.latest_charge")
	var s api.CheckoutSession
	if err := x.get(api.FormatURLPath(sessionsPath+"/%s", id), p, &s); err != nil {
		return keyturn.ProcessorState{}, err
	}
	return stateOfSession(&s), nil
}

// around is how far our clock and Stripe's may be apart.
const around = 10 * time.Minute

// find looks for a payment's session by the time at which it was asked for. One whose first answer was lost may come
// at any time until its key is forgotten. KindNotFound: there is none.
func (x Processor) find(ctx context.Context, ref payment.Ref) (id string, err error) {
	if ref.Since.IsZero() {
		return "", keyturn.Errorf(keyturn.KindNotFound, "the payment has no session")
	}
	p := &api.CheckoutSessionListParams{CreatedRange: &api.RangeQueryParams{
		GreaterThanOrEqual: ref.Since.Add(-around).Unix(), LesserThanOrEqual: ref.Since.Add(keyLives + around).Unix(),
	}}
	p.Limit = api.Int64(pageSize)
	for {
		var page api.CheckoutSessionList
		if err := x.list(ctx, sessionsPath, p, &page); err != nil {
			return "", err
		}
		for _, s := range page.Data {
			if owner, foreign := x.owner(s.Metadata); !foreign && owner == ref.PaymentID {
				return s.ID, nil
			}
		}
		if !page.HasMore || len(page.Data) == 0 {
			return "", keyturn.Errorf(keyturn.KindNotFound, "Stripe has no session of the payment")
		}
		p.StartingAfter = api.String(page.Data[len(page.Data)-1].ID)
	}
}

// pageSize is the number of entries in a page of a list; Stripe gives no more.
const pageSize = 100

// keyLives is how long Stripe remembers an idempotency key at least.
const keyLives = 24 * time.Hour

// Expire is payment.Processor's.
func (x Processor) Expire(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	id := ref.SessionReference
	if id == "" {
		var err error
		if id, err = x.find(ctx, ref); err != nil {
			return keyturn.ProcessorState{}, err
		}
	}
	p := &api.CheckoutSessionExpireParams{Params: api.Params{Context: ctx}}
	var s api.CheckoutSession
	err := x.post(api.FormatURLPath(sessionsPath+"/%s/expire", id), p, &s)
	if keyturn.KindOf(err) == keyturn.KindRejected { // it is not open: was it paid?
		return x.session(ctx, id)
	}
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return x.session(ctx, id) // with its payment
}

// stateOfSession says where a payment stands by its session and its PaymentIntent, never by the session's
// payment_status, which calls authorized money unpaid.
func stateOfSession(s *api.CheckoutSession) keyturn.ProcessorState {
	out := keyturn.ProcessorState{Status: keyturn.AtProcessorOpen}
	if s.PaymentIntent != nil {
		setLastResponse(s.PaymentIntent, s.LastResponse)
		out = stateOfIntent(s.PaymentIntent)
	}
	out.SessionReference, out.URL = s.ID, s.URL
	switch {
	case s.Status == api.CheckoutSessionStatusExpired:
		out.Status = keyturn.AtProcessorExpired
	case s.Status == api.CheckoutSessionStatusComplete && out.Status == keyturn.AtProcessorOpen:
		out.Status = unfinished(s.PaymentIntent)
	}
	return out
}

// unfinished is the status of a payment whose customer has done all that the page asks for, and whose money is neither
// authorized nor taken.
func unfinished(i *api.PaymentIntent) keyturn.ProcessorStatus {
	if i != nil && i.Status == api.PaymentIntentStatusRequiresPaymentMethod { // a method that takes time has failed
		return keyturn.AtProcessorFailed
	}
	return keyturn.AtProcessorProcessing
}
