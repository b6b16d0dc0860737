package stripe

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	api "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// eventAge is how much the time of an event's signature may differ from ours.
const eventAge = 5 * time.Minute

// EventTypes are the events that the endpoint is set up for.
var EventTypes = []string{
	"checkout.session.completed", "checkout.session.expired", "checkout.session.async_payment_succeeded",
	"checkout.session.async_payment_failed", "payment_intent.amount_capturable_updated", "payment_intent.succeeded",
	"payment_intent.canceled", "payment_intent.payment_failed", "charge.expired", "refund.created", "refund.updated",
	"refund.failed", "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
	"charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "radar.early_fraud_warning.created",
}

// outcomes are what events tell of a try to pay.
var outcomes = map[string]keyturn.PayOutcome{
	"payment_intent.payment_failed": keyturn.Refused, "payment_intent.succeeded": keyturn.Paid,
	"payment_intent.amount_capturable_updated": keyturn.Paid,
}

// Event is payment.Processor's. KindNotFound: no secret is set. KindConfiguration: it is signed by Stripe, and of the
// other mode than the key. An event of another installation names nothing.
func (x Processor) Event(body []byte, h http.Header, now time.Time) (payment.Event, error) {
	if len(x.WebhookSecrets) == 0 {
		return payment.Event{}, keyturn.Errorf(keyturn.KindNotFound, "no secret of Stripe's events is set")
	}
	signature := h.Get("Stripe-Signature")
	if !signedAbout(signature, now) {
		return payment.Event{}, keyturn.Errorf(keyturn.KindInvalid, "the event was signed at another time than now")
	}
	var e api.Event
	err := error(keyturn.Errorf(keyturn.KindInvalid, "the event is not signed by Stripe"))
	for _, secret := range x.WebhookSecrets {
		var wrong error
		e, wrong = webhook.ConstructEventWithOptions(body, signature, secret.Reveal(),
			webhook.ConstructEventOptions{IgnoreTolerance: true, IgnoreAPIVersionMismatch: true})
		if wrong == nil {
			err = nil
			break
		}
	}
	switch {
	case err != nil:
		return payment.Event{}, err
	case e.ID == "" || e.Type == "" || e.Data == nil:
		return payment.Event{}, keyturn.Errorf(keyturn.KindInvalid, "the event has no ID, type or object")
	case e.Livemode != x.Live():
		return payment.Event{}, keyturn.Errorf(keyturn.KindConfiguration,
			"Stripe sends events of the other mode than that of KEYTURN_STRIPE_KEY: correct the endpoint or the key")
	}
	out := payment.Event{ID: e.ID, Type: string(e.Type), Outcome: outcomes[string(e.Type)]}
	object := e.Data.Object
	id := text(object["id"])
	owner, foreign := x.owner(metadataOf(object))
	if foreign {
		out.Outcome = ""
		return out, nil
	}
	switch kind := text(object["object"]); kind {
	case "checkout.session":
		out.SessionReference, out.PaymentReference = id, reference(object["payment_intent"])
		out.PaymentID = owner
	case "payment_intent":
		out.PaymentReference, out.PaymentID = id, owner
	case "refund":
		out.PaymentReference, out.RefundOf = reference(object["payment_intent"]), owner
	default: // a charge, a dispute or a warning
		out.PaymentReference = reference(object["payment_intent"])
	}
	return out, nil
}

// signedAbout says whether a signature names one time, and that it is about now. The library looks at its age alone,
// and takes the last of several times.
func signedAbout(signature string, now time.Time) bool {
	var times []int64
	for part := range strings.SplitSeq(signature, ",") {
		name, value, _ := strings.Cut(part, "=")
		if name != "t" {
			continue
		}
		t, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false
		}
		times = append(times, t)
	}
	if len(times) != 1 {
		return false
	}
	age := now.Sub(time.Unix(times[0], 0))
	return age <= eventAge && age >= -eventAge
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// reference is the ID of an object that is named by its ID, or there as a whole.
func reference(v any) string {
	if object, ok := v.(map[string]any); ok {
		return text(object["id"])
	}
	return text(v)
}

func metadataOf(object map[string]any) map[string]string {
	m, _ := object["metadata"].(map[string]any)
	out := map[string]string{}
	for k, v := range m {
		out[k] = text(v)
	}
	return out
}
