package endpoint

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"keyturn.dev/keyturn"
)

// Check reports every fault of an integration before it is saved: the error is of KindInvalid and its fields are
// located by JSON paths such as operations.create.responsePaths.activationCode. Templates are compiled and
// rendered against sample orders, response paths are compiled, certificates are parsed. A secret counts as given if it
// has a Value or is Set. production demands https and refuses loopback addresses.
func Check(in keyturn.Integration, production bool) error {
	in = WithDefaults(in)
	c := checker{production: production}
	c.Check(keyturn.ValidID(in.ID), "id", "must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
	c.Check(slices.Contains([]string{statusEnable, statusDisable, statusTestMode}, in.Status), "status",
		"must be Enable, Disable or TestMode")
	c.networks(in.AllowedNetworks)
	c.guard = newGuard(in.AllowedNetworks, production)
	c.url("baseUrl", in.BaseURL, false)
	if in.TestBaseURL != "" || in.Status == statusTestMode {
		c.url("testBaseUrl", in.TestBaseURL, false)
	}
	c.auth(in.Auth)
	c.tls(in.TLS, time.Now())
	c.limits(in.Limits)
	c.permanentErrors(in.PermanentErrors)
	c.headers("httpHeaders", in.HTTPHeaders)
	c.operations(in)
	err := c.Err("the integration is not valid")
	if e, ok := errors.AsType[*keyturn.Error](err); ok { // maps are walked in random order
		slices.SortStableFunc(e.Fields, func(a, b keyturn.FieldError) int {
			return cmp.Or(strings.Compare(a.Location, b.Location), strings.Compare(a.Message, b.Message))
		})
	}
	return err
}

type checker struct {
	keyturn.Problems
	production bool
	guard      guard
}

func (c *checker) networks(networks []string) {
	c.Check(len(networks) <= 20, "allowedNetworks", "must have at most 20 entries")
	for i, text := range networks {
		at := index("allowedNetworks", i)
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			c.Addf(at, "must be a network such as 10.20.0.0/16")
		case p != p.Masked():
			c.Addf(at, "must be %s: it has bits set behind its length", p.Masked())
		case c.production && opensClosed(p):
			c.Addf(at, "must not open loopback, link-local or a cloud's metadata service in production")
		case p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 32 || p.Addr().Is4In6():
			c.Addf(at, "must be at least a /8 (IPv4) or a /32 (IPv6)")
		}
	}
}

// secret checks that a secret is there, and its value where we have it.
func (c *checker) secret(at string, ref *keyturn.SecretRef, maxBytes int, allowed func(r rune) bool) {
	switch {
	case ref == nil || ref.Value == "" && !ref.Set:
		c.Addf(at, "is required and must not be empty: give env, file or value")
	case len(ref.Value) > maxBytes:
		c.Addf(at, "must be at most %d bytes", maxBytes)
	case strings.ContainsFunc(ref.Value, func(r rune) bool { return !allowed(r) }):
		c.Addf(at, "has a character that cannot be sent")
	}
}

func visible(r rune) bool   { return r > ' ' && r <= '~' }
func printable(r rune) bool { return r >= ' ' && r <= '~' }

func (c *checker) auth(auth keyturn.Auth) {
	if !slices.Contains([]string{authNone, authBasic, authBearer, authOAuth2}, auth.Type) {
		c.Addf("auth.type", "must be none, basic, bearer or oauth2ClientCredentials")
		return
	}
	for _, f := range []struct {
		at, of string
		given  bool
	}{
		{"username", authBasic, auth.Username != ""},
		{"password", authBasic, auth.Password != nil},
		{"token", authBearer, auth.Token != nil},
		{"clientId", authOAuth2, auth.ClientID != ""},
		{"clientSecret", authOAuth2, auth.ClientSecret != nil},
		{"tokenUrl", authOAuth2, auth.TokenURL != ""},
		{"scopes", authOAuth2, len(auth.Scopes) > 0},
		{"values", authOAuth2, len(auth.Values) > 0},
	} {
		c.Check(!f.given || auth.Type == f.of, "auth."+f.at, "does not belong to auth of type %s", auth.Type)
	}
	const maxCredential = 1 << 10
	switch auth.Type {
	case authBasic:
		c.Check(auth.Username != "" && len(auth.Username) <= 255 &&
			!strings.ContainsFunc(auth.Username, func(r rune) bool { return !printable(r) || r == ':' }),
			"auth.username", "must be 1 to 255 printable ASCII characters without ':'")
		c.secret("auth.password", auth.Password, maxCredential, printable)
	case authBearer:
		c.secret("auth.token", auth.Token, 8*maxCredential, visible)
	case authOAuth2:
		c.Check(auth.ClientID != "" && len(auth.ClientID) <= 255 &&
			!strings.ContainsFunc(auth.ClientID, func(r rune) bool { return !printable(r) }),
			"auth.clientId", "must be 1 to 255 printable ASCII characters")
		c.secret("auth.clientSecret", auth.ClientSecret, maxCredential, printable)
		c.url("auth.tokenUrl", auth.TokenURL, true)
		c.Check(len(auth.Scopes) <= 50, "auth.scopes", "must have at most 50 entries")
		for i, scope := range auth.Scopes {
			c.Check(scope != "" && !strings.ContainsFunc(scope, func(r rune) bool {
				return !visible(r) || r == '"' || r == '\\'
			}),
				index("auth.scopes", i), "must be printable ASCII without spaces and quotes")
		}
		for name, values := range auth.Values {
			reserved := slices.Contains([]string{"", "grant_type", "client_id", "client_secret", "scope"}, name)
			c.Check(!reserved && len(values) <= 10 && len(strings.Join(values, "")) <= 4<<10, "auth.values."+name,
				"must be an extra form value of at most 4 KiB")
		}
		c.Check(len(auth.Values) <= 20, "auth.values", "must have at most 20 entries")
	}
}

func (c *checker) limits(l keyturn.Limits) {
	c.Check(l.MaxConcurrent >= 1 && l.MaxConcurrent <= 1000, "limits.maxConcurrent", "must be between 1 and 1000")
	c.Check(l.PerSecond >= 0.01 && l.PerSecond <= 10_000, "limits.perSecond", "must be between 0.01 and 10000")
	c.Check(time.Duration(l.Timeout) >= 100*time.Millisecond && time.Duration(l.Timeout) <= maxTimeout, "limits.timeout",
		"must be between 100ms and 30s")
	c.Check(l.MaxReplyBytes >= 1<<10 && l.MaxReplyBytes <= maxReplyLimit, "limits.maxReplyBytes",
		"must be between 1KiB and 8MiB")
}

func (c *checker) permanentErrors(p keyturn.PermanentErrors) {
	for i, status := range p.HTTPStatus {
		c.Check(status >= 300 && status <= 599, index("permanentErrors.httpStatus", i),
			"must be an HTTP status between 300 and 599")
	}
	for _, list := range []struct {
		at     string
		texts  []string
		length int
	}{{"permanentErrors.errorCodes", p.ErrorCodes, 200}, {"permanentErrors.errorMessages", p.ErrorMessages, 1000}} {
		c.Check(len(list.texts) <= 200, list.at, "must have at most 200 entries")
		for i, text := range list.texts {
			c.Check(keyturn.CleanText(text, 1, list.length), index(list.at, i), "must be 1 to %d printable characters",
				list.length)
		}
	}
}

// ownHeaders belong to the connection or to auth; a configured one would break the call or leak a secret in the
// catalog.
var ownHeaders = []string{
	"Accept-Encoding", "Authorization", "Connection", "Content-Length", "Expect", "Host", "Keep-Alive",
	"Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
}

// credentialName are names of headers whose values are secrets by themselves.
var credentialName = regexp.MustCompile(`(?i)(api-?key|access-?key|token|secret|passw|credential|cookie)`)

// headers checks names and the static values; values with {{ are templates, which operations checks.
func (c *checker) headers(at string, headers map[string][]keyturn.HeaderValue) {
	c.Check(len(headers) <= 50, at, "must have at most 50 headers")
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		where, canonical := at+"."+name, http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name) || len(name) > 100:
			c.Addf(where, "is not a valid header name")
		case canonical == "Authorization":
			c.Addf(where, "cannot be set here: use auth, which keeps it secret")
		case slices.Contains(ownHeaders, canonical):
			c.Addf(where, "cannot be set: Keyturn sets it")
		case seen[canonical]:
			c.Addf(where, "is there twice, in different spelling")
		}
		seen[canonical] = true
		c.headerValues(where, name, headers[name])
	}
}

func (c *checker) headerValues(where, name string, values []keyturn.HeaderValue) {
	c.Check(len(values) >= 1 && len(values) <= 10, where, "must be a list of 1 to 10 values")
	secrets := 0
	for i, v := range values {
		at := index(where, i)
		if v.IsSecret() {
			secrets++
			c.secret(at, &v.SecretRef, maxValueBytes, printable)
			continue
		}
		ok := len(v.Text) <= maxValueBytes && (strings.Contains(v.Text, "{{") ||
			httpguts.ValidHeaderFieldValue(v.Text) && !strings.ContainsFunc(v.Text, notASCII))
		c.Check(ok, at, "must be printable ASCII of at most 4 KiB")
		c.Check(v.Text == "" || !credentialName.MatchString(name), at,
			"looks like a credential: give {env: NAME} or {file: PATH}, which keeps it secret")
	}
	c.Check(secrets == 0 || secrets == len(values), where, "must have either texts or secrets as its values")
}

func index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }
