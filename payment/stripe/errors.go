package stripe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	api "github.com/stripe/stripe-go/v85"

	"keyturn.dev/keyturn"
)

// finalCodes are refusals of a capture that no repetition changes.
var finalCodes = []api.ErrorCode{
	"charge_expired_for_capture", "capture_charge_authorization_expired", "capture_unauthorized_payment",
}

// errForbidden is in the chain of an error of a key without the permission.
var errForbidden = errors.New("403")

func forbidden(err error) bool { return errors.Is(err, errForbidden) }

// asError gives an error of the library its kind. Its text says nothing of the request or the customer: what Stripe
// says is its cause, for logs.
func asError(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*api.Error](err)
	if !ok { // no answer, or none of Stripe's own
		return keyturn.Errorf(keyturn.KindUnavailable, "Stripe did not answer: %w", err)
	}
	why := "status " + fmt.Sprint(e.HTTPStatusCode)
	if e.Code != "" {
		why = string(e.Code)
	}
	cause := errors.New(why + " " + string(e.Type) + " " + e.RequestID)
	switch status := e.HTTPStatusCode; {
	case e.Type == api.ErrorTypeIdempotency && status != http.StatusConflict:
		return answered("Stripe knows another request under this key", cause)
	case status >= http.StatusInternalServerError:
		return answered("Stripe has failed ("+why+")", cause)
	case status == http.StatusConflict:
		return keyturn.Errorf(keyturn.KindUnavailable, "Stripe is busy with the same request: %w", cause)
	case status == http.StatusTooManyRequests:
		return keyturn.Errorf(keyturn.KindRateLimited, "Stripe asks for fewer requests (%s): %w", why, cause)
	case status == http.StatusUnauthorized:
		return keyturn.Errorf(keyturn.KindConfiguration, "Stripe refuses the key: check KEYTURN_STRIPE_KEY: %w", cause)
	case status == http.StatusForbidden:
		return keyturn.Errorf(keyturn.KindConfiguration,
			"Stripe's key lacks a permission: keyturn stripe setup lists them: %w", errForbidden)
	case e.Code == api.ErrorCodeResourceMissing || status == http.StatusNotFound:
		return keyturn.Errorf(keyturn.KindNotFound, "Stripe does not know it: %w", cause)
	}
	refused := keyturn.Errorf(keyturn.KindRejected, "Stripe refuses it (%s): %w", why, &refusal{e.Code, cause})
	refused.Permanent = e.Type == api.ErrorTypeCard || slices.Contains(finalCodes, e.Code)
	return refused
}

// answered is an error of a request that Stripe has answered, under whose key it gives the same answer for a day.
func answered(message string, cause error) error {
	err := keyturn.Errorf(keyturn.KindUnavailable, "%s: %w", message, cause)
	err.Answered = true
	return err
}

// refusal keeps Stripe's code of a request that it refuses.
type refusal struct {
	code  api.ErrorCode
	cause error
}

func (r *refusal) Error() string { return r.cause.Error() }

// refusedAs says whether Stripe refused a request with this code.
func refusedAs(err error, code api.ErrorCode) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.code == code
}
