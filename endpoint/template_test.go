package endpoint_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

func partnerWith(def keyturn.Operation) keyturn.Integration {
	return keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test/base",
		Operations: map[string]keyturn.Operation{"create": def},
	}
}

func order() endpoint.Data {
	return endpoint.Data{
		LicenseID: "5b0f6c1e-2d0a-4a57-9c7e-0d2f1a7b9e31", Operation: "create", RequestTimestamp: 1781514000000,
		Checkout: endpoint.Checkout{
			OrderID: "SO-1", LineItemID: "L-1",
			Price: endpoint.Price{GrossPrice: "1000000.00", Currency: "EUR"},
		},
		User: endpoint.User{ID: "u", Email: "ana@buyer.test", Country: "ES", Locale: "es-ES", FirstName: `A"n\a`},
		Product: endpoint.Product{
			ID: "p-1", Name: "Orbit", Quantity: 3, Price: endpoint.Price{GrossPrice: "1234567.50", Currency: "EUR"},
			Variables: map[string]string{"region": "EU", "seats": "5"},
		},
		AdditionalData: map[string]endpoint.List{"activationCode": {"K-1"}, "many": {"a", "b"}},
	}
}

func renderBody(t *testing.T, template string) string {
	t.Helper()
	req, err := endpoint.Render(partnerWith(keyturn.Operation{BodyTemplate: template}), "create", order())
	require.NoError(t, err)
	return string(req.Body)
}

func TestTemplateFunctions(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`"{{.User.FirstName}}"`:                                                 `"A\"n\\a"`,
		`{{.User.FirstName}}`:                                                   `"A\"n\\a"`,
		`{{.Product.Quantity}}`:                                                 `3`,
		`{{.Checkout.Price.GrossPrice}}`:                                        `1000000`,
		`{{.Product.Price.GrossPrice}}`:                                         `1234567.5`,
		`"{{.Product.Price.GrossPrice}}"`:                                       `"1234567.5"`,
		`"{{print .Product.Price.GrossPrice}}"`:                                 `"1234567.5"`,
		`"{{printf "%.2f" .Product.Price.GrossPrice}}"`:                         `"1234567.50"`,
		`{{.Product.Variables.seats}}`:                                          `5`,
		`{{.Product.Variables.none}}`:                                           `""`,
		`"{{.AdditionalData.ActivationCode}}"`:                                  `"K-1"`,
		`"{{index .AdditionalData.activationCode 0}}"`:                          `"K-1"`,
		`{{.AdditionalData.many}}`:                                              `["a","b"]`,
		`{{convertToJson .AdditionalData.ActivationCode}}`:                      `["K-1"]`,
		`{{convertToJson .Product.Price}}`:                                      `{"grossPrice":1234567.5,"currency":"EUR"}`,
		`"{{convertToJson .Product.Variables}}"`:                                `"{\"region\":\"EU\",\"seats\":\"5\"}"`,
		`"{{default .User.LastName "none"}}"`:                                   `"none"`,
		`"{{default .User.ID "none"}}"`:                                         `"u"`,
		`{{default .Product.StartTimestamp 7}}`:                                 `7`,
		`{{default .Checkout.TrialContext (convertToJson .Product.Variables)}}`: `{"region":"EU","seats":"5"}`,
		`"{{timestampToRFC3339 .RequestTimestamp}}"`:                            `"2026-06-15T09:00:00Z"`,
		`"{{timestampToRFC3339 1781514000123}}"`:                                `"2026-06-15T09:00:00.123Z"`,
		`"{{timestampToRFC3339 .Product.ExpirationTimestamp}}"`:                 `""`,
		`[{{eq .Operation "create"}},{{ne 1 2}},{{lt 2 10}},{{le 2 2}},{{gt "b" "a"}},{{ge 1 2}}]`:      `[true,true,true,true,true,false]`,
		`[{{lt .Product.Variables.seats 10}},{{lt "5" "10"}},{{lt "x" 10}},{{eq .Product.Quantity 3}}]`: `[true,false,false,true]`,
		`[{{not true}},{{and true .User.ID}},{{or .User.LastName "x"}}]`:                                `[false,"u","x"]`,
		`[{{len .Product.Variables}},"{{slice .User.Email 0 3}}","{{println 1 2}}","{{print "a" 1}}"]`:  `[2,"ana","1 2\n","a1"]`,
		`[{{range $i, $v := .AdditionalData.many}}{{if $i}},{{end}}"{{$v}}"{{end}}]`:                    `["a","b"]`,
		`{ {{range $k, $v := .Product.Variables}}"{{$k}}":"{{$v}}",{{end}}"end":1}`:                     `{"region":"EU","seats":"5","end":1}`,
		`{{$x := .User}}"{{$x.Email}} {{$.Operation}}"`:                                                 `"ana@buyer.test create"`,
		`{{with .User}}"{{.Email}}"{{else}}1{{end}}`:                                                    `"ana@buyer.test"`,
		`{{if .User.LastName}}1{{else if .User.ID}}2{{else}}3{{end}}`:                                   `2`,
		`[1{{","}}2]`:               `[1,2]`,
		`{{- /* a comment */ -}} 1`: `1`,
		`"\"{{.User.ID}}\""`:        `"\"u\""`,
	} {
		require.JSONEq(t, want, renderBody(t, template), template)
	}
}

// What an author must not do is refused when the template is saved, with words that help.
func TestCheckTemplateRefuses(t *testing.T) {
	t.Parallel()
	for template, words := range map[string]string{
		`{{range 100000000000}}{{end}}1`:                            "lists and maps only",
		`{{range .RequestTimestamp}}{{end}}1`:                       "lists and maps only",
		`{{range $i := 5}}{{end}}1`:                                 "lists and maps only",
		`{{printf "%1000000000d" 1}}`:                               "widths up to 64",
		`{{printf "%.99999f" 1.5}}`:                                 "widths up to 64",
		`{{printf "%*d" 5 1}}`:                                      "does not know the verb",
		`{{printf "%[1]d" 1}}`:                                      "does not know the verb",
		`{{printf "%d"}}`:                                           "more verbs than values",
		`{{define "t"}}{{template "t" .}}{{end}}{{template "t" .}}`: "cannot define or call",
		`{{define "x"}}1{{end}}{{.User.ID}}`:                        "cannot define or call",
		`{{block "x" .}}1{{end}}`:                                   "cannot define or call",
		`{{template "x"}}`:                                          "cannot use",
		`{{range .AdditionalData}}{{break}}{{end}}1`:                "cannot use",
		`{{call .User}}`:                                            "cannot call call",
		`{{html .User.ID}}`:                                         "cannot call html",
		`{{js .User.ID}}`:                                           "cannot call js",
		`{{urlquery .User.ID}}`:                                     "cannot call urlquery",
		`{{_value 1}}`:                                              "cannot call _value",
		`{{env "HOME"}}`:                                            "not defined",
		`{{.User.Nope}}`:                                            "no field .Nope",
		`{{.Checkout.OrderId}}`:                                     "no field .OrderId",
		`{{if eq .Operation "never"}}{{.Nope}}{{end}}1`:             "no field .Nope",
		`{{with .User}}{{.OrderID}}{{end}}1`:                        "no field .OrderID",
		`{{$u := .User}}{{$u.Nope}}`:                                "no field .Nope",
		`{{.Product.Price.GrossPrice.MarshalJSON}}`:                 "no field .MarshalJSON",
		`{{.Checkout.Price.GrossPrice.Foo}}`:                        "no field .Foo",
		`{{.Checkout.checkout.OrderID}}`:                            "no field .checkout",
		`{{.MarshalJSON}}`:                                          "no field .MarshalJSON",
		`{{.User.ID.Len}}`:                                          "no field .Len",
		`{{index .AdditionalData.Other 0}}`:                         "index",
		`{{signature}}`:                                             "cannot use signature",
		`{{.User.ID`:                                                "unclosed action",
		`{{if .User.ID}}1`:                                          "unexpected EOF",
		`not json`:                                                  "does not give JSON",
		``:                                                          "",
		`{"a":1}}`:                                                  "does not give JSON",
		`{"a":{{if .User.FirstName}}1{{end}}}`:                      "that has only the required values",
		`{"a":"{{if .User.ID}}"{{end}}}`:                            "open and close its JSON quotes",
		`"{{range .AdditionalData.X}}"{{else}}"{{end}}`:             "open and close its JSON quotes",
		`"\{{.User.ID}}"`:                                           "backslash",
		`{{.Product}}{{.User}}`:                                     "does not give JSON",
		`"{{.Product}}"`:                                            "group of values",
		`{{1i}}`:                                                    "cannot use the number",
		`{{range .AdditionalData}}{{$x := print "aaaaaaaaaaaaaaaa"}}` + strings.Repeat(`{{$x = print $x $x}}`, 20) +
			`{{end}}1`: "too much",
		`"` + strings.Repeat("a", 16<<10) + `"`: "at most 16384 bytes",
		strings.Repeat(`{{if 1}}`, 3000):        "at most 16384 bytes",
	} {
		err := endpoint.CheckTemplate(template)
		if words == "" {
			require.NoError(t, err, template) // an empty template stands for the default one
			continue
		}
		require.ErrorContains(t, err, words, "%.100s", template)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
	}
}

// However loops are nested over whatever data, a template ends in time.
func TestLoopsAreBounded(t *testing.T) {
	t.Parallel()
	d := order()
	for i := range 50 {
		d.Product.Variables[strings.Repeat("k", i+1)] = "v"
	}
	loop := strings.Repeat(`{{range $.Product.Variables}}`, 8) + strings.Repeat(`{{end}}`, 8)
	start := time.Now()
	_, err := endpoint.Render(partnerWith(keyturn.Operation{BodyTemplate: loop + `1`}), "create", d)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	wide := `{{range .Product.Variables}}{{range $.Product.Variables}}` + strings.Repeat(`{{if $.User.ID}}{{end}}`, 600) +
		`{{end}}{{end}}1`
	_, err = endpoint.Render(partnerWith(keyturn.Operation{BodyTemplate: wide}), "create", d)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	require.Less(t, time.Since(start), 20*time.Second)
}

func TestURLComplement(t *testing.T) {
	t.Parallel()
	d := order()
	d.User.ID = "../../admin?x=1#y"
	render := func(complement string) (string, error) {
		req, err := endpoint.Render(partnerWith(keyturn.Operation{URLComplement: complement}), "create", d)
		return req.URL, err
	}
	for complement, want := range map[string]string{
		``:                                     "https://partner.test/base",
		`/x/{{.Operation}}`:                    "https://partner.test/base/x/create",
		`x`:                                    "https://partner.test/base/x",
		`?q={{.User.Email}}`:                   "https://partner.test/base?q=ana%40buyer.test",
		`/x?who={{.User.FirstName}}`:           "https://partner.test/base/x?who=A%22n%5Ca",
		`?price={{.Product.Price.GrossPrice}}`: "https://partner.test/base?price=1234567.5",
	} {
		got, err := render(complement)
		require.NoError(t, err, complement)
		require.Equal(t, want, got)
	}
	for _, complement := range []string{`/x/{{.User.ID}}`, `/../y`, `/a b`, `/a#b`, `/ü`, `/a/./b`, `/%2e%2e/x`} {
		_, err := render(complement)
		require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err), complement)
	}
	in := partnerWith(keyturn.Operation{URLComplement: `{{"@evil.test/"}}`})
	in.BaseURL = "https://partner.test"
	req, err := endpoint.Render(in, "create", d)
	require.NoError(t, err)
	require.Equal(t, "https://partner.test/@evil.test/", req.URL)
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	in := keyturn.Integration{ID: "acme", BaseURL: "https://partner.test"}
	for op, path := range map[string]string{
		"create": "/licenses/new", "renew": "/licenses/renew", "upgrade": "/licenses/upgrade", "cancel": "/licenses/cancel",
		"pause": "/licenses/pause", "resume": "/licenses/resume", "suspend": "/licenses/pause",
		"reactivate": "/licenses/resume",
	} {
		req, err := endpoint.Render(in, op, order())
		require.NoError(t, err)
		require.Equal(t, "https://partner.test"+path, req.URL)
	}
	in.Operations = map[string]keyturn.Operation{"create": {URLComplement: "/c"}, "reactivate": {URLComplement: "/r"}}
	req, err := endpoint.Render(in, "resume", order())
	require.NoError(t, err)
	require.Equal(t, "https://partner.test/r", req.URL)
	_, err = endpoint.Render(in, "renew", order())
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	_, err = endpoint.Render(in, "explode", order())
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	in.Status, in.TestBaseURL = "TestMode", "https://test.partner.test/t"
	req, err = endpoint.Render(in, "create", order())
	require.NoError(t, err)
	require.Equal(t, "https://test.partner.test/t/c", req.URL)
}

func TestSignatureInRequest(t *testing.T) {
	t.Parallel()
	blank, own := "", "X-Sig"
	sig := keyturn.Signature{
		Enabled: true, SignedFields: []string{"$.checkout.orderId"},
		Secret: &keyturn.SecretRef{Value: "s"},
	}
	_, want, err := endpoint.Sign(sig, order())
	require.NoError(t, err)
	for _, c := range []struct {
		header *string
		inject bool
		name   string
	}{{nil, false, "X-Nexway-Signature"}, {&own, true, "X-Sig"}, {&blank, true, ""}} {
		sig.HeaderName, sig.InjectInBody = c.header, c.inject
		def := keyturn.Operation{
			BodyTemplate: `{"a":1}`, Signature: &sig,
			HTTPHeaders: map[string][]keyturn.HeaderValue{
				"X-Sig":              keyturn.Texts("forged"),
				"X-Nexway-Signature": keyturn.Texts("forged"),
			},
		}
		if c.inject {
			def.BodyTemplate = `{"sig":"{{ signature }}"}`
		}
		req, err := endpoint.Render(partnerWith(def), "create", order())
		require.NoError(t, err)
		require.Equal(t, c.inject, strings.Contains(string(req.Body), want))
		if c.name != "" {
			require.Equal(t, []string{want}, req.Header[c.name])
		}
	}
	sig.Secret = &keyturn.SecretRef{Set: true}
	_, err = endpoint.Render(partnerWith(keyturn.Operation{BodyTemplate: `1`, Signature: &sig}), "create", order())
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	require.True(t, keyturn.IsPermanent(err), "a missing signing secret is not tried again")
	sig.Enabled = false
	_, err = endpoint.Render(partnerWith(keyturn.Operation{BodyTemplate: `1`, Signature: &sig}), "create", order())
	require.NoError(t, err)
}

// Whatever a customer types, the default template gives valid JSON with the same text and the same keys.
func TestEveryNameRendersToItself(t *testing.T) {
	t.Parallel()
	in := keyturn.Integration{ID: "acme", BaseURL: "https://partner.test"}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			`"`, `\`, `\"`, `","admin":true,"x":"`, "\x00",
			"\u2028", "😀", "</script>", "{{.}}", "%s",
		})).Draw(rt, "text")
		d := order()
		d.User.FirstName, d.Product.Name, d.Product.Variables = text, text, map[string]string{"k": text}
		req, err := endpoint.Render(in, "create", d)
		require.NoError(rt, err)
		var got struct {
			FulfillmentID  string
			Checkout, User map[string]any
			Product        struct {
				ID, Name  string
				Price     map[string]any
				Variables map[string]string
			}
		}
		dec := json.NewDecoder(strings.NewReader(string(req.Body)))
		dec.DisallowUnknownFields()
		require.NoError(rt, dec.Decode(&got), string(req.Body))
		want := strings.ToValidUTF8(text, "\uFFFD")
		require.Equal(rt, want, got.Product.Name)
		require.Equal(rt, want, got.Product.Variables["k"])
		if text != "" {
			require.Equal(rt, want, got.User["firstName"])
		}
		require.Len(rt, got.Checkout, 3)
	})
}

func TestDataRoundTrip(t *testing.T) {
	t.Parallel()
	d := order()
	d.Checkout.Price.DiscountedPrice = &endpoint.DiscountedPrice{
		DiscountedGrossPrice: "15.5", DiscountedNetPrice: "12.92",
		DiscountRate: "0.2",
	}
	first, err := json.Marshal(d)
	require.NoError(t, err)
	again, err := json.Marshal(fromJSON[endpoint.Data](t, string(first)))
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))
	require.Contains(t, string(first), `"grossPrice":1234567.5`)
	for _, bad := range []string{"1e3", "NaN", "1.2.3", "--1", "1234567890123456", ".5", "5."} {
		d.Checkout.Price.GrossPrice = endpoint.Decimal(bad)
		_, err := json.Marshal(d)
		require.Error(t, err, bad)
		_, err = endpoint.Render(keyturn.Integration{ID: "a", BaseURL: "https://partner.test"}, "create", d)
		require.Equal(t, keyturn.KindInternal, keyturn.KindOf(err), bad)
	}
}

func FuzzCheckTemplate(f *testing.F) {
	for _, seed := range []string{
		`{"a":"{{.User.ID}}"}`, `{{range .AdditionalData}}{{.}}{{end}}`, `{{printf "%5.2f" 1.5}}`,
		`{{with $x := .User}}"{{$x.ID}}"{{end}}`,
		`{{define "a"}}{{end}}`, `{{if and (eq 1 1) (not false)}}1{{else}}2{{end}}`, `"{{slice .User.ID 0 1}}"`,
		`{{convertToJson .}}`, `{{(index .AdditionalData "x").y}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, template string) {
		start := time.Now()
		if endpoint.CheckTemplate(template) == nil {
			req, err := endpoint.Render(partnerWith(keyturn.Operation{BodyTemplate: template}), "create", order())
			if err == nil {
				require.True(t, json.Valid(req.Body))
			}
		}
		require.Less(t, time.Since(start), 5*time.Second)
	})
}
