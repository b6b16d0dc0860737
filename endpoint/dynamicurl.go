package endpoint

import (
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// DynamicURL models LaunchMyStore's dynamic URL as an integration, so that Render, Send and Judge serve it like any
// other: POST <rawURL>?id=<productId>, reply {"data": "<what the customer gets>"}. The page documents no request body;
// ours carries what a partner needs to tell two orders of one product apart, and the Idempotency-Key is the same on
// every retry. data is mandatory: a string, or for several units a list; judge it with units 1 or more. A status in the
// body of 400 or more is a failure. It only knows create. Check it like any integration before use.
func DynamicURL(id, rawURL string) keyturn.Integration {
	base, query, _ := strings.Cut(rawURL, "?")
	query = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(query) // it stands in a template, but is none
	if query != "" {
		query += "&"
	}
	return WithDefaults(keyturn.Integration{
		ID: id, BaseURL: base,
		Limits: keyturn.Limits{Timeout: keyturn.Duration(10 * time.Second)},
		Operations: map[string]keyturn.Operation{"create": {
			URLComplement: "?" + query + "id={{.Product.ID}}",
			BodyTemplate: `{"fulfillmentId":"{{.LicenseID}}","orderId":"{{.Checkout.OrderID}}",` +
				`"lineItemId":"{{.Checkout.LineItemID}}",` +
				`"productId":"{{.Product.ID}}","quantity":{{default .Product.Quantity 1}}` +
				`{{with .RequestTimestamp}},"requestTimestamp":"{{timestampToRFC3339 .}}"{{end}}}`,
			HTTPHeaders: map[string][]keyturn.HeaderValue{"Idempotency-Key": keyturn.Texts("{{.LicenseID}}")},
			ResponsePaths: map[string]keyturn.ResponsePath{
				nameCode:    {Path: "$.data+"},
				nameError:   {Path: "$.status", ConversionTemplate: `{{if ge . 400}}{{.}}{{end}}`},
				nameMessage: {Path: "$.message"},
			},
		}},
	})
}
