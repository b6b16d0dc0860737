package keyturn

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Integration is a partner's HTTP endpoint as the catalog declares it (api.md, Catalog): where it is, how we prove who
// we are, how much it may be asked, and per operation what is sent and how its reply is read (Nexway's template
// definition, LicenseProviderDefinition). It is checked by endpoint.Check when it is saved.
type Integration struct {
	ID      string `json:"id"`
	BaseURL string `json:"baseUrl"`
	// used instead of BaseURL when Status is TestMode
	TestBaseURL     string                   `json:"testBaseUrl,omitempty"`
	Status          string                   `json:"status,omitempty"` // Enable (default), Disable, TestMode
	Auth            Auth                     `json:"auth,omitzero"`
	TLS             TLS                      `json:"tls,omitzero"`
	Limits          Limits                   `json:"limits,omitzero"`
	PermanentErrors PermanentErrors          `json:"permanentErrors,omitzero"`
	HTTPHeaders     map[string][]HeaderValue `json:"httpHeaders,omitempty"` // sent with every operation
	// CIDRs that the SSRF guard lets through for this partner
	AllowedNetworks []string `json:"allowedNetworks,omitempty"`
	// lets response paths use filters, [?@.state=="on"]
	AllowFilters bool `json:"allowFilters,omitempty"`
	// lets response paths use .., at any depth
	AllowDescendants bool `json:"allowDescendants,omitempty"`
	// Operations by their names, "fallback" for those that have no definition, and "lookup", which asks whether a create
	// was carried out whose answer was lost, before the create is repeated. None but lookup: Nexway's default template.
	Operations map[string]Operation `json:"operations,omitempty"`
}

// Auth says how a call proves who we are. Type is none (default), basic, bearer or oauth2ClientCredentials.
type Auth struct {
	Type         string              `json:"type,omitempty"`
	Username     string              `json:"username,omitempty"`
	Password     *SecretRef          `json:"password,omitempty"`
	Token        *SecretRef          `json:"token,omitempty"`
	ClientID     string              `json:"clientId,omitempty"`
	ClientSecret *SecretRef          `json:"clientSecret,omitempty"`
	TokenURL     string              `json:"tokenUrl,omitempty"`
	Scopes       []string            `json:"scopes,omitempty"`
	Values       map[string][]string `json:"values,omitempty"` // extra form values of the token request
}

// TLS adds a partner's own certificate authority, trusted for this partner alone, and a client certificate (mutual
// TLS). The *File forms are read by the command that applies the catalog; the API takes the PEM text.
type TLS struct {
	CAFile         string     `json:"caFile,omitempty"`
	CA             string     `json:"ca,omitempty"`
	ClientCertFile string     `json:"clientCertFile,omitempty"`
	ClientCert     string     `json:"clientCert,omitempty"`
	ClientKey      *SecretRef `json:"clientKey,omitempty"`
}

// Limits bounds what a partner is asked and what it may answer. Zero values mean the defaults of WithDefaults.
type Limits struct {
	MaxConcurrent int      `json:"maxConcurrent,omitempty"` // calls at the same time, over all workers; 20
	PerSecond     float64  `json:"perSecond,omitempty"`     // calls a second, over all workers; 50
	Timeout       Duration `json:"timeout,omitempty"`       // from dial to the last byte of the reply; 15s, at most 30s
	MaxReplyBytes Bytes    `json:"maxReplyBytes,omitempty"` // after decompression; 1MiB, at most 8MiB
}

// WithDefaults fills in what the merchant left out.
func (l Limits) WithDefaults() Limits {
	if l.MaxConcurrent == 0 {
		l.MaxConcurrent = 20
	}
	if l.PerSecond == 0 {
		l.PerSecond = 50
	}
	if l.Timeout == 0 {
		l.Timeout = Duration(15 * time.Second)
	}
	if l.MaxReplyBytes == 0 {
		l.MaxReplyBytes = 1 << 20
	}
	return l
}

// Rate is PerSecond as whole calls in a time: at most calls of them begin within any stretch of that length. A rate
// below one is one call in more than a second; a fraction above one is left out.
func (l Limits) Rate() (calls int, in time.Duration) {
	if l.PerSecond < 1 {
		return 1, time.Duration(float64(time.Second) / l.PerSecond)
	}
	return int(l.PerSecond), time.Second
}

// PermanentErrors lists what must not be tried again (Nexway's permanentErrorsDefinition; messages match exactly).
type PermanentErrors struct {
	HTTPStatus    []int    `json:"httpStatus,omitempty"`
	ErrorCodes    []string `json:"errorCodes,omitempty"`
	ErrorMessages []string `json:"errorMessages,omitempty"`
}

// Operation is one template definition: what is sent for an operation and how the reply is read.
type Operation struct {
	URLComplement string                   `json:"urlComplement,omitempty"` // template, appended to the base URL
	BodyTemplate  string                   `json:"bodyTemplate,omitempty"`  // template, renders to JSON
	HTTPHeaders   map[string][]HeaderValue `json:"httpHeaders,omitempty"`   // wins over the integration's
	// how a reply is read: json (default), text or lines
	ReplyFormat   string                  `json:"replyFormat,omitempty"`
	ResponsePaths map[string]ResponsePath `json:"responsePaths,omitempty"`
	Signature     *Signature              `json:"signature,omitempty"`
	// of lookup: GET (default) or POST; all others are POST
	Method   string    `json:"method,omitempty"`
	NotFound *NotFound `json:"notFound,omitempty"` // of lookup
}

// The formats of a partner's reply. The response paths select from a JSON document; from a text, which is one value, $;
// or from its lines, $[*]+.
const (
	ReplyJSON  = "json"
	ReplyText  = "text"
	ReplyLines = "lines"
)

// ReadsText says that the reply is text/plain rather than JSON.
func (o Operation) ReadsText() bool { return o.ReplyFormat == ReplyText || o.ReplyFormat == ReplyLines }

// NotFound says how a partner's answer to a look-up reads that says: I have not issued it. Nil: HTTP status 404.
type NotFound struct {
	HTTPStatus []int    `json:"httpStatus,omitempty"`
	ErrorCodes []string `json:"errorCodes,omitempty"`
}

// ResponsePath reads one value from a reply: a JSONPath, with a trailing + for all matches, and an optional template
// that is applied to each value. In JSON and YAML a plain string stands for the path alone.
type ResponsePath struct {
	Path               string `json:"path"`
	ConversionTemplate string `json:"conversionTemplate,omitempty"`
}

// UnmarshalJSON reads a plain string as the path alone, and otherwise the object form; unknown fields are refused.
func (p *ResponsePath) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte(`"`)) {
		return json.Unmarshal(data, &p.Path)
	}
	type plain ResponsePath
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(p))
}

// Signature says what of the request is signed and where the signature goes (Nexway's signatureDefinition).
type Signature struct {
	Enabled      bool       `json:"enabled"`
	SignedFields []string   `json:"signedFields,omitempty"`
	HeaderName   *string    `json:"headerName,omitempty"` // nil: X-Nexway-Signature; blank: no header
	InjectInBody bool       `json:"injectInBody,omitempty"`
	Secret       *SecretRef `json:"secret,omitempty"`
}

// HeaderValue is one value of a header: a text, which may be a template, or a secret such as a partner's API key. In
// JSON and YAML it is a string or the object of a SecretRef. A text is part of the request, which is stored at the
// first attempt; a secret is kept apart, and every attempt sends the one of its day.
type HeaderValue struct {
	Text string `json:"-"`
	SecretRef
}

// IsSecret says that the value is a secret.
func (v HeaderValue) IsSecret() bool { return v.SecretRef != SecretRef{} }

// Texts makes values of a header that are no secrets.
func Texts(texts ...string) []HeaderValue {
	values := make([]HeaderValue, len(texts))
	for i, text := range texts {
		values[i].Text = text
	}
	return values
}

// UnmarshalJSON reads a plain string as the text, and otherwise a secret; unknown fields are refused.
func (v *HeaderValue) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte(`"`)) {
		return json.Unmarshal(data, &v.Text)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(&v.SecretRef)
}

// MarshalJSON writes the form that was read.
func (v HeaderValue) MarshalJSON() ([]byte, error) {
	if v.IsSecret() {
		return json.Marshal(v.SecretRef)
	}
	return json.Marshal(v.Text)
}

// Secrets visits every secret of the integration that is there, with its path, such as auth.password or
// operations.create.httpHeaders.X-Api-Key[0], in the order of the paths. The visitor may change it.
func (in *Integration) Secrets(visit func(at string, ref *SecretRef)) {
	one := func(at string, ref *SecretRef) {
		if ref != nil {
			visit(at, ref)
		}
	}
	headers := func(at string, headers map[string][]HeaderValue) {
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			for i := range headers[name] {
				if v := &headers[name][i]; v.IsSecret() {
					visit(at+"."+name+"["+itoa(i)+"]", &v.SecretRef)
				}
			}
		}
	}
	one("auth.clientSecret", in.Auth.ClientSecret)
	one("auth.password", in.Auth.Password)
	one("auth.token", in.Auth.Token)
	headers("httpHeaders", in.HTTPHeaders)
	for _, name := range slices.Sorted(maps.Keys(in.Operations)) {
		op := in.Operations[name]
		headers("operations."+name+".httpHeaders", op.HTTPHeaders)
		if op.Signature != nil {
			one("operations."+name+".signature.secret", op.Signature.Secret)
		}
	}
	one("tls.clientKey", in.TLS.ClientKey)
}

// SecretRef is a secret by reference. The catalog file names an environment variable or a file; the command that
// applies it reads the value and sends it as Value. What the API gives back has only Set.
type SecretRef struct {
	Env   string `json:"env,omitempty"`
	File  string `json:"file,omitempty"`
	Value string `json:"value,omitempty"`
	Set   bool   `json:"set,omitempty"`
}
