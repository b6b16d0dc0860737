package endpoint

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"keyturn.dev/keyturn"
)

var viewType = reflect.TypeFor[view]()

// Render makes the request of an operation: definition, URL, body, headers and signature
// (docs/understand/partner-contract.md, Rendering). The same input gives the same bytes; store the result and send
// that. The body is valid JSON whatever the customer typed. A missing definition, a missing signing secret and a
// template that fails on this order are errors of KindConfiguration: trying again does not help until the catalog
// changes.
func Render(in keyturn.Integration, op string, d Data) (Request, error) {
	def, name, err := definitionFor(in, op)
	if err != nil {
		return Request{}, err
	}
	if op == lookUpOperation && def.Method == "" {
		def.Method = http.MethodGet
	}
	return render(in, name, def, d)
}

// method is POST but for a look-up that asks with GET.
func method(def keyturn.Operation) string {
	if def.Method == http.MethodGet {
		return http.MethodGet
	}
	return http.MethodPost
}

func render(in keyturn.Integration, name string, def keyturn.Operation, d Data) (Request, error) {
	data, err := d.view()
	if err != nil {
		return Request{}, err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if def.ReadsText() {
		header.Set("Accept", "text/plain")
	}
	mac, signature, err := signed(def.Signature, d)
	if err != nil {
		return Request{}, err
	}
	complement, err := execute("urlComplement", def.URLComplement, inURL, data, maxURLBytes, nil)
	if err != nil {
		return Request{}, err
	}
	address, err := joinURL(baseURL(in), complement)
	if err != nil {
		return Request{}, err
	}
	body, err := execute("bodyTemplate", bodyTemplate(def), inJSON, data, maxBodyBytes, signature)
	if err != nil {
		return Request{}, err
	}
	if method(def) == http.MethodGet {
		header.Del("Content-Type")
		body = ""
	} else if !json.Valid([]byte(body)) {
		return Request{}, keyturn.Errorf(keyturn.KindConfiguration, "the bodyTemplate does not give JSON for this order")
	}
	req := Request{Method: method(def), URL: address, Header: header, Body: []byte(body)}
	for _, h := range []struct {
		at      string
		headers map[string][]keyturn.HeaderValue
	}{{"httpHeaders", in.HTTPHeaders}, {"operations." + name + ".httpHeaders", def.HTTPHeaders}} { // the operation's win
		if err := req.setHeaders(h.at, h.headers, data); err != nil {
			return Request{}, err
		}
	}
	if sig := signatureHeader(def.Signature); sig != "" { // last, so that no configured header stands in for it
		header.Set(sig, mac)
		delete(req.SecretHeaders, http.CanonicalHeaderKey(sig))
	}
	if len(req.SecretHeaders) == 0 {
		req.SecretHeaders = nil
	}
	return req, nil
}

// setHeaders renders configured headers into the request; secret ones are only noted.
func (r *Request) setHeaders(at string, headers map[string][]keyturn.HeaderValue, data any) (err error) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		key := http.CanonicalHeaderKey(name)
		if slices.ContainsFunc(headers[name], keyturn.HeaderValue.IsSecret) {
			if r.SecretHeaders == nil {
				r.SecretHeaders = map[string]string{}
			}
			delete(r.Header, key)
			r.SecretHeaders[key] = at + "." + name
			continue
		}
		values := make([]string, len(headers[name]))
		for i, v := range headers[name] {
			if values[i], err = headerValue(name, v.Text, data); err != nil {
				return err
			}
		}
		r.Header[key] = values
		delete(r.SecretHeaders, key)
	}
	return nil
}

// addSecretHeaders adds the values that the integration keeps apart today. One that is gone from the catalog is not
// sent.
func (r Request) addSecretHeaders(in keyturn.Integration, header http.Header) error {
	if len(r.SecretHeaders) == 0 {
		return nil
	}
	var missing error
	in.Secrets(func(at string, ref *keyturn.SecretRef) {
		path := at[:max(strings.LastIndexByte(at, '['), 0)]
		for name, wanted := range r.SecretHeaders {
			switch {
			case path != wanted:
			case ref.Value == "":
				missing = keyturn.Errorf(keyturn.KindConfiguration, "the value of the header %s is missing", name)
			default:
				header.Add(name, ref.Value)
			}
		}
	})
	return missing
}

// signed is the signature and, where the body may carry it, the function that puts it there.
func signed(sig *keyturn.Signature, d Data) (mac string, inject func() (string, error), err error) {
	if sig == nil || !sig.Enabled {
		return "", nil, nil
	}
	if _, mac, err = Sign(*sig, d); err == nil && sig.InjectInBody {
		inject = func() (string, error) { return mac, nil }
	}
	return mac, inject, err
}

func bodyTemplate(def keyturn.Operation) string {
	if def.BodyTemplate == "" {
		return defaultBody
	}
	return def.BodyTemplate
}

// baseURL is where calls go: in test mode to the partner's test server.
func baseURL(in keyturn.Integration) string {
	if in.Status == statusTestMode && in.TestBaseURL != "" {
		return in.TestBaseURL
	}
	return in.BaseURL
}

func execute(what, text string, where place, data any, limit int, signature func() (string, error)) (string, error) {
	p, err := compile(text, where, reflect.TypeOf(data), signature)
	if err != nil {
		return "", keyturn.Errorf(keyturn.KindConfiguration, "the %s is not valid: %w", what, err)
	}
	out, err := p.run(data, limit)
	if err != nil {
		return "", keyturn.Errorf(keyturn.KindConfiguration, "the %s fails on this order: %w", what, err)
	}
	return out, nil
}

// headerValue lets a header carry a value of the order, such as an idempotency key; most have no braces.
func headerValue(name, text string, data any) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	value, err := execute("header "+name, text, inText, data, maxValueBytes, nil)
	if err == nil && (!httpguts.ValidHeaderFieldValue(value) || strings.ContainsFunc(value, notASCII)) {
		err = keyturn.Errorf(keyturn.KindConfiguration, "the header %s cannot carry a value of this order", name)
	}
	return value, err
}

func notASCII(r rune) bool { return r > '~' }

var errURL = errors.New("the rendered URL leaves the base URL")

// joinURL appends a rendered complement to a base URL. The result is below the base: same server, no dot segments.
func joinURL(base, complement string) (string, error) {
	bad := func(cause error) (string, error) {
		return "", keyturn.Errorf(keyturn.KindConfiguration,
			"the urlComplement does not give a usable address for this order: %w", cause)
	}
	joined := base
	switch {
	case complement == "":
	case complement[0] == '/':
		joined = strings.TrimSuffix(base, "/") + complement
	case complement[0] == '?' || strings.HasSuffix(base, "/"):
		joined += complement
	default:
		joined += "/" + complement
	}
	if len(joined) > maxURLBytes {
		return bad(errTooMuch)
	}
	u, err := url.Parse(joined)
	if err != nil {
		return bad(err)
	}
	if origin(joined) != origin(base) || u.Fragment != "" || strings.ContainsAny(joined, " \"<>\\^`{|}#") ||
		strings.ContainsFunc(joined, notASCII) {
		return bad(errURL)
	}
	for _, part := range strings.Split(u.Path, "/") {
		if part == "." || part == ".." {
			return bad(errURL)
		}
	}
	return joined, nil
}

// Fits says whether the request may be sent to the integration as it is now: to the server that it was made for.
func (r Request) Fits(in keyturn.Integration) bool {
	o := origin(r.URL)
	return o != "" && o == origin(baseURL(WithDefaults(in)))
}

// origin is scheme, host and port, the port written out. Credentials go to the configured origin only.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
