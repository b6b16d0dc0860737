package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

// An order whose money nobody could give back is refused when it comes, not when it is to be refunded.
func TestAnOrderNamesAPaymentProviderThatThereIs(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *api.Config) {
		c.Payments = []string{"stripe", "till"}
		c.CheckReference = payment.Providers{"stripe": stripe.Processor{}}.CheckReference
	})
	b.sell(t)
	order := func(id, provider, price string) string {
		text := strings.Replace(goodOrder, `"sandbox"`, `"`+provider+`"`, 1)
		return strings.Replace(strings.Replace(text, "ORD-1", id, 1), "29.99", price, 1)
	}
	post := func(name, body string, status int, contains ...string) scenario {
		return scenario{name, "POST", "/v1/orders", []string{"Idempotency-Key", name}, body, status, contains, nil}
	}
	b.play(t, []scenario{
		post("configured", order("A", "till", "29.99"), 201),
		post("by-hand", order("B", "manual", "29.99"), 201),
		post("free", order("C", "none", "0.00"), 201),
		post("unknown", order("D", "paypal", "29.99"), 422, `"payment.provider"`, "paypal", "manual, none, stripe, till"),
		post("not-free", order("E", "none", "0.01"), 422, `"payment.provider"`, "costs something"),
		post("at-stripe", strings.Replace(order("G", "stripe", "29.99"), `"pay_81"`, `"pi_1"`, 1), 201),
		post("not-an-intent", order("H", "stripe", "29.99"), 422, `"payment.reference"`, "pi_"),
		post("sandbox", order("F", "sandbox", "29.99"), 422, `"payment.provider"`, "outside development"),
	})
	require.Equal(t, 4, b.starts.count())
}
