package emulator

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// claimedUser is who the request says it is, for the journal: never a secret.
func (c *call) claimedUser() string {
	if user, _, ok := c.r.BasicAuth(); ok {
		return user
	}
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !ok:
		return ""
	case c.settings.Token != "" && same(token, c.settings.Token):
		return "bearer"
	}
	if client := c.p.tokenOwner(token); client != "" {
		return "oauth2:" + client
	}
	return "bearer:unknown"
}

// refuseCaller is nil for a caller who proved who it is and what it sends.
func (c *call) refuseCaller() *reply {
	if c.settings.RequireClientCert && (c.r.TLS == nil || len(c.r.TLS.VerifiedChains) == 0) {
		return c.unauthorized("CLIENT_CERTIFICATE_REQUIRED", "")
	}
	if !c.authenticated() {
		return c.unauthorized("UNAUTHORIZED", `Basic realm="emulator"`)
	}
	if c.settings.Signing.enabled() && c.r.Method == http.MethodPost && !c.signed() {
		return c.unauthorized("BAD_SIGNATURE", "")
	}
	return nil
}

func (c *call) unauthorized(code, challenge string) *reply {
	rep := c.failure(http.StatusUnauthorized, code, "the partner does not accept this caller")
	if challenge != "" {
		rep.header = http.Header{"Www-Authenticate": {challenge}}
	}
	return &rep
}

func (c *call) authenticated() bool {
	s := c.settings
	if s.Username == "" && s.Token == "" && s.ClientID == "" {
		return true
	}
	if user, password, ok := c.r.BasicAuth(); ok {
		return s.Username != "" && same(user, keyturn.Secret(s.Username)) && same(password, s.Password)
	}
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	return s.Token != "" && same(token, s.Token) || c.p.tokenOwner(token) != ""
}

func same(got string, want keyturn.Secret) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want.Reveal())) == 1
}

// signed recomputes the signature from what the body shows.
func (c *call) signed() bool {
	s := c.settings.Signing
	header := s.Header
	if header == "" {
		header = "X-Nexway-Signature"
	}
	got := c.r.Header.Get(header)
	if s.BodyField != "" {
		got = textAt(c.ids.body, s.BodyField)
	}
	if got == "" {
		return false
	}
	if slices.Contains(s.Accepted, got) {
		return true
	}
	return s.Secret != "" && hmac.Equal([]byte(got), []byte(sign(s.Secret, c.canonical(s))))
}

// canonical is the compact JSON object of signed path to value, sorted by path.
func (c *call) canonical(s Signing) []byte {
	values := map[string]string{} // encoding/json sorts the names
	for _, field := range s.Fields {
		values[field] = c.signedValue(field, s.Sources)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(values) // strings always encode
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func (c *call) signedValue(field string, sources map[string]string) string {
	if place, ok := sources[field]; ok {
		return textAt(c.ids.body, place)
	}
	place := strings.TrimPrefix(field, "$.")
	text := textAt(c.ids.body, place)
	switch {
	case text != "":
		return text
	case place == "licenseId":
		return c.entry.FulfillmentID
	case place == "operation":
		return c.entry.Op
	}
	return ""
}

func sign(secret keyturn.Secret, canonical []byte) string {
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write(canonical)
	return hex.EncodeToString(mac.Sum(nil))
}
