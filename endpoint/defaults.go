package endpoint

import (
	"maps"
	"slices"
	"time"

	"keyturn.dev/keyturn"
)

// The values of an integration's status and of its auth type.
const (
	statusEnable   = "Enable"
	statusDisable  = "Disable"
	statusTestMode = "TestMode"

	authNone   = "none"
	authBasic  = "basic"
	authBearer = "bearer"
	authOAuth2 = "oauth2ClientCredentials"
)

const (
	maxTimeout    = 30 * time.Second
	maxReplyLimit = 8 << 20

	fallbackOperation = "fallback"
	lookUpOperation   = string(keyturn.OpLookUp)

	// DefaultSignatureHeader carries the signature where the definition names no header.
	DefaultSignatureHeader = "X-Nexway-Signature"
)

// WithDefaults fills in what the merchant left out, and sorts and deduplicates the signed fields as Nexway does on
// save.
func WithDefaults(in keyturn.Integration) keyturn.Integration {
	if in.Status == "" {
		in.Status = statusEnable
	}
	if in.Auth.Type == "" {
		in.Auth.Type = authNone
	}
	in.Limits = in.Limits.WithDefaults()
	in.Operations = maps.Clone(in.Operations)
	for name, op := range in.Operations {
		if op.Signature != nil {
			sig := *op.Signature
			sig.SignedFields = sortedFields(sig.SignedFields)
			op.Signature = &sig
			in.Operations[name] = op
		}
	}
	return in
}

func sortedFields(fields []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(fields)))
}

// legacyNames are what the first contract called two operations; definitions may still use them.
var legacyNames = func() map[string]string {
	names := map[string]string{}
	for op, legacy := range keyturn.LegacyOperations {
		names[string(op)] = legacy
	}
	return names
}()

// defaultPaths are Nexway's default endpoints. The contract publishes none for pause and resume: they follow the
// pattern of the others.
var defaultPaths = map[string]string{
	"create": "/licenses/new", "cancel": "/licenses/cancel", "renew": "/licenses/renew", "upgrade": "/licenses/upgrade",
	"pause": "/licenses/pause", "resume": "/licenses/resume",
}

// defaultResponsePaths read the reply where an integration has no definitions. The contract publishes none; these are
// the documented value names at the top level, and the id that the data context calls PublisherLicenseID.
func defaultResponsePaths() map[string]keyturn.ResponsePath {
	return map[string]keyturn.ResponsePath{
		"activationCode": {Path: "$.activationCode+"}, "activationFileContent": {Path: "$.activationFileContent"},
		"activationLink": {Path: "$.activationLink"}, "successFlag": {Path: "$.successFlag"},
		"errorCode": {Path: "$.errorCode"}, "errorMessage": {Path: "$.errorMessage"},
		"publisherLicenseID": {Path: "$.publisherLicenseId"}, "expirationTimestamp": {Path: "$.expirationTimestamp"},
	}
}

// defaultBody renders the JSON of Nexway's default template (docs/understand/partner-contract.md): optional keys only
// if they have a value, prices as numbers, neither the operation nor the quantity.
const defaultBody = `{"fulfillmentId":"{{.LicenseID}}",
"checkout":{"orderId":"{{.Checkout.OrderID}}","lineItemId":"{{.Checkout.LineItemID}}"
{{- with .Checkout.SubscriptionID}},"subscriptionId":"{{.}}"{{end}}
{{- with .Checkout.CartExternalContext}},"cartExternalContext":"{{.}}"{{end}}
{{- with .Checkout.TrialContext}},"trialContext":"{{.}}"{{end -}}
,"price":{"grossPrice":{{.Checkout.Price.GrossPrice}},"currency":"{{.Checkout.Price.Currency}}"}},
"user":{"id":"{{.User.ID}}","email":"{{.User.Email}}","country":"{{.User.Country}}","locale":"{{.User.Locale}}"
{{- with .User.FirstName}},"firstName":"{{.}}"{{end}}
{{- with .User.LastName}},"lastName":"{{.}}"{{end}}
{{- with .User.CompanyName}},"companyName":"{{.}}"{{end}}
{{- with .User.CompanyIdentifier}},"companyIdentifier":"{{.}}"{{end}}
{{- with .User.City}},"city":"{{.}}"{{end}}
{{- with .User.ZipCode}},"zipCode":"{{.}}"{{end}}},
"product":{"id":"{{.Product.ID}}","name":"{{.Product.Name}}"
{{- with .Product.PublisherProductID}},"publisherProductId":"{{.}}"{{end}}
{{- with .Product.ExternalContext}},"externalContext":"{{.}}"{{end}}
{{- with .Product.PriceFunctionParameters}},"priceFunctionParameters":{{convertToJson .}}{{end}}
{{- with .Product.Variables}},"variables":{{convertToJson .}}{{end -}}
,"price":{"grossPrice":{{.Product.Price.GrossPrice}},"currency":"{{.Product.Price.Currency}}"}}}`

// defaultDefinition is Nexway's default template for an operation; an old name has its old path.
func defaultDefinition(name string) keyturn.Operation {
	path, ok := defaultPaths[name]
	if !ok {
		path = "/licenses/" + name
	}
	return keyturn.Operation{URLComplement: path, ResponsePaths: defaultResponsePaths()}
}

// definitionFor picks what an operation sends: its own definition (under its name or its legacy name), else the
// fallback, else, if the integration has no definitions at all, Nexway's default. An empty definition under a legacy
// name says that the partner has the default one under that name. name is the key it was found under.
func definitionFor(in keyturn.Integration, op string) (def keyturn.Operation, name string, err error) {
	for current, legacy := range legacyNames {
		if op == legacy {
			op = current
		}
	}
	lookUp, asks := in.Operations[lookUpOperation]
	if op == lookUpOperation && asks {
		return lookUp, op, nil
	}
	if _, known := defaultPaths[op]; !known {
		return def, "", keyturn.Errorf(keyturn.KindConfiguration,
			"the operation is not one of create, renew, upgrade, cancel, pause and resume")
	}
	for _, name := range []string{op, legacyNames[op], fallbackOperation} {
		def, ok := in.Operations[name]
		switch {
		case !ok || name == "":
		case in.UsesLegacy(name, def):
			return defaultDefinition(name), name, nil
		default:
			return def, name, nil
		}
	}
	if in.IsDefault() {
		return defaultDefinition(op), op, nil
	}
	return def, "", keyturn.Errorf(keyturn.KindConfiguration, "the integration %s defines neither %s nor fallback", in.ID,
		op)
}
