package emulator

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// Settings is how one partner behaves. The zero value asks for no authentication and always works. Of several kinds of
// authentication that are set, a request must pass one.
type Settings struct {
	Username string         `json:"username,omitempty"` // Basic
	Password keyturn.Secret `json:"password,omitempty"`
	Token    keyturn.Secret `json:"token,omitempty"` // a fixed bearer token

	ClientID     string           `json:"clientId,omitempty"` // OAuth2 client credentials at …/oauth/token
	ClientSecret keyturn.Secret   `json:"clientSecret,omitempty"`
	TokenTTL     keyturn.Duration `json:"tokenTtl,omitempty"` // 1h when 0

	RequireClientCert bool    `json:"requireClientCert,omitempty"` // mutual TLS: only certificates of IssueClientCert pass
	Signing           Signing `json:"signing,omitzero"`

	// Shape of replies on …/licenses/…: flat (default), licenses, result, link, file or ack.
	Shape string `json:"shape,omitempty"`
	// Paths are JSONPaths by what they lead to (activationCode, activationLink, activationFileContent, errorCode,
	// errorMessage, successFlag): replies are made so that they find it. They stand in place of a shape.
	Paths map[string]string `json:"paths,omitempty"`
	// ReplyFormat text or lines: replies are text/plain, one key a line. Paths then says what a line is.
	ReplyFormat string `json:"replyFormat,omitempty"`
	// where the fulfillment ID is in the body, dotted, if it has an unusual name
	IDPath string `json:"idPath,omitempty"`

	// Cancels are addresses, path and query, with the ID of the fulfillment that a request there cancels, for partners
	// whose cancel names it elsewhere than their create.
	Cancels map[string]string `json:"cancels,omitempty"`

	Drill string `json:"drill,omitempty"` // e.g. "slow:2s"; empty or "ok" for none
	// DrillOps are the operations that the drill hits, also "lookup" and "token"; empty means all but those two.
	DrillOps []string         `json:"drillOps,omitempty"`
	Latency  keyturn.Duration `json:"latency,omitempty"` // added to every answer

	// renew and upgrade replace the key instead of extending it
	RenewNewKey bool `json:"renewNewKey,omitempty"`
	// a create that comes after its cancel is refused with LICENSE_CANCELED
	RefuseAfterCancel bool `json:"refuseAfterCancel,omitempty"`
}

// Signing is how a partner checks the HMAC of a request (nexway's signatureDefinition). The signature covers fields of
// the fulfillment request, of which a partner sees only what the body template sends. The emulator recomputes it from
// the body: `$.a.b` is looked up at a.b, `$.licenseId` also at fulfillmentId, `$.operation` is the operation of the
// URL, and Sources says where else a field is. What cannot be recomputed that way is compared with Accepted.
type Signing struct {
	Secret keyturn.Secret `json:"secret,omitempty"`
	Fields []string       `json:"fields,omitempty"` // signed paths
	Header string         `json:"header,omitempty"` // X-Nexway-Signature when empty
	// dotted place of the signature in the body, instead of the header
	BodyField string            `json:"bodyField,omitempty"`
	Sources   map[string]string `json:"sources,omitempty"`  // signed path to dotted place in the body
	Accepted  []string          `json:"accepted,omitempty"` // signatures to let through as they are
}

func (s Signing) enabled() bool { return s.Secret != "" || len(s.Accepted) > 0 }

func (s Settings) writesText() bool { return keyturn.Operation{ReplyFormat: s.ReplyFormat}.ReadsText() }

var partnerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Check reports every setting that cannot work.
func (s Settings) Check() error {
	var p keyturn.Problems
	if _, err := parseDrill(s.Drill); err != nil {
		p.Addf("drill", "%s", err.Error())
	}
	p.Check(s.Shape == "" || isShape(s.Shape), "shape", "must be one of %s", strings.Join(shapeNames(), ", "))
	p.Check(slices.Contains([]string{"", keyturn.ReplyJSON, keyturn.ReplyText, keyturn.ReplyLines}, s.ReplyFormat),
		"replyFormat", "must be json, text or lines")
	for name, path := range s.Paths {
		_, ok := steps(path)
		p.Check(ok || s.writesText(), "paths."+name, "must be a path of names, indexes and [*], such as $.licenses[*].key+")
	}
	for i, op := range s.DrillOps {
		p.Check(slices.Contains(drillableOps, op), "drillOps", "entry %d must be one of %s", i,
			strings.Join(drillableOps, ", "))
	}
	p.Check(s.Password == "" || s.Username != "", "username", "must be set with a password")
	p.Check(s.ClientSecret == "" || s.ClientID != "", "clientId", "must be set with a clientSecret")
	p.Check(s.Latency >= 0 && time.Duration(s.Latency) <= maxHold, "latency", "must be between 0s and %s", maxHold)
	p.Check(s.TokenTTL >= 0, "tokenTtl", "must not be negative")
	p.Check(s.Signing.Secret == "" || len(s.Signing.Fields) > 0, "signing.fields", "must name at least one field")
	return p.Err("the partner's settings are not valid")
}

// hits reports whether the settings' own drill is meant for an operation.
func (s Settings) hits(op string) bool {
	if len(s.DrillOps) == 0 {
		if s.Drill == drillDown {
			return true // who is down answers nothing at all
		}
		return op != opLookup && op != opToken
	}
	return slices.Contains(s.DrillOps, op)
}
