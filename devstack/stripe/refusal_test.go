package stripe_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/stripe"
)

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

func TestSpoiltSessionsAreRefused(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	const (
		price    = "line_items[0][price_data]"
		unit     = price + "[unit_amount]"
		currency = price + "[currency]"
		product  = price + "[product_data]"
		quantity = "line_items[0][quantity]"
		options  = "payment_method_options"
		number   = "parameter_invalid_integer"
	)
	for name, c := range map[string]struct {
		changes     []string
		code, param string
	}{
		"unknown":             {[]string{"colour", "red"}, "parameter_unknown", "colour"},
		"unknown inside":      {[]string{product + "[sku]", "1"}, "parameter_unknown", product + "[sku]"},
		"no mode":             {[]string{"mode", ""}, "parameter_missing", "mode"},
		"no success_url":      {[]string{"success_url", ""}, "parameter_missing", "success_url"},
		"no name":             {[]string{product + "[name]", ""}, "parameter_missing", product},
		"no quantity":         {[]string{quantity, ""}, "parameter_missing", quantity},
		"a fraction":          {[]string{unit, "49.90"}, number, unit},
		"upper case":          {[]string{currency, "EUR"}, "", currency},
		"another mode":        {[]string{"mode", "setup"}, "", "mode"},
		"unknown locale":      {[]string{"locale", "de-DE"}, "", "locale"},
		"debit is charged":    {[]string{options + "[sepa_debit][capture_method]", "manual"}, "parameter_unknown", options + "[sepa_debit]"},
		"automatic by method": {[]string{options + "[card][capture_method]", "automatic"}, "", options + "[card][capture_method]"},
		"a bad address":       {[]string{"success_url", "shop.test/x"}, "url_invalid", "success_url"},
		"a bad e-mail":        {[]string{"customer_email", "nobody"}, "email_invalid", "customer_email"},
		"too small":           {[]string{unit, "49"}, "amount_too_small", ""},
		"too large":           {[]string{unit, "100000000"}, "amount_too_large", ""},
		"part of a krona":     {[]string{currency, "isk"}, "invalid_charge_amount", unit},
		"three decimals":      {[]string{currency, "kwd", unit, "4991"}, "invalid_charge_amount", unit},
		"too soon":            {[]string{"expires_at", unix(e.Now().Add(20 * time.Minute))}, "", "expires_at"},
		"too late":            {[]string{"expires_at", unix(e.Now().Add(25 * time.Hour))}, "", "expires_at"},
		"no object":           {[]string{"adaptive_pricing[enabled]", "", "adaptive_pricing", "false"}, "", "adaptive_pricing"},
		"no such expansion":   {[]string{"expand[]", "customer.invoice"}, "", "expand"},
		"nothing is left": {
			[]string{"payment_method_types[]", "sepa_debit", "payment_intent_data[capture_method]", "manual"},
			"",
			"payment_method_types",
		},
		"numbered from one": {
			[]string{"line_items[1][quantity]", "1", quantity, "", currency, "", unit, "", product + "[name]", ""},
			"",
			"line_items",
		},
	} {
		r := e.post("/v1/checkout/sessions", name, sale(c.changes...))
		require.Equal(t, 400, r.status, "%s: %s", name, r.text)
		require.Equal(t, "invalid_request_error", r.at("error.type"), name)
		code, _ := r.at("error.code").(string)
		param, _ := r.at("error.param").(string)
		require.Equal(t, c.code, code, "%s: %s", name, r.text)
		require.Equal(t, c.param, param, "%s: %s", name, r.text)
		require.Equal(t, 200, e.post("/v1/checkout/sessions", name, sale()).status, "%s: the key stays free", name)
	}
}

func TestWhoMayAskForWhat(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{Restricted: map[string][]string{"rk_test_1": {"refund.create"}}})
	ask := func(method, path string, header ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, e.URL()+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 401, ask("GET", "/v1/balance"))
	require.Equal(t, 401, ask("GET", "/v1/balance", "Authorization", "Bearer sk_test_other"))
	require.Equal(t, 200, ask("GET", "/v1/balance", "Authorization", "Bearer "+stripe.Key))
	require.Equal(t, 200, ask("GET", "/v1/balance", "Authorization", "Bearer rk_test_1"))
	require.Equal(t, 403, ask("POST", "/v1/refunds", "Authorization", "Bearer rk_test_1"))
	require.Equal(t, 404, ask("GET", "/v1/customers", "Authorization", "Bearer "+stripe.Key))
	require.Equal(t, 400, ask("GET", "/v1/balance", "Authorization", "Bearer "+stripe.Key, "Stripe-Version", "2020-08-27"))
}
