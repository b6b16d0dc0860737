package keyturn

import (
	"crypto/rand"
	"encoding/base64"
	"regexp"
	"strings"
)

// Webhook says who is told of what happens: a receiver at an address, or without one a subscription to pull. It is
// checked by catalog.CheckWebhook when it is saved.
type Webhook struct {
	ID      string   `json:"id"`
	URL     string   `json:"url,omitempty"`
	Events  []string `json:"events"`            // patterns: order.created, order.* or *
	Enabled *bool    `json:"enabled,omitempty"` // nil: true
	// Secret signs each request; absent, one is made, and shown once.
	Secret *SecretRef  `json:"secret,omitempty"`
	Rate   WebhookRate `json:"rate,omitzero"`
	// Prefix narrows the events to those of one merchant.
	Prefix Prefix `json:"prefix,omitempty"`
	// Auth, TLS and AllowedNetworks are those of an integration and mean the same.
	Auth            Auth     `json:"auth,omitzero"`
	TLS             TLS      `json:"tls,omitzero"`
	AllowedNetworks []string `json:"allowedNetworks,omitempty"`
	// NewSecret is a secret that Keyturn has made and is about to store.
	NewSecret string `json:"-"`
}

// WebhookRate bounds what a receiver gets.
type WebhookRate struct {
	MaxConcurrent int `json:"maxConcurrent,omitempty"` // requests at the same time, over all workers; 1 to 100, 10
}

// DefaultWebhookConcurrent is the WebhookRate.MaxConcurrent of a webhook that does not say.
const DefaultWebhookConcurrent = 10

// WithDefaults fills in what was left out.
func (w Webhook) WithDefaults() Webhook {
	if w.Rate.MaxConcurrent == 0 {
		w.Rate.MaxConcurrent = DefaultWebhookConcurrent
	}
	if w.Enabled == nil {
		on := true
		w.Enabled = &on
	}
	return w
}

// On says that the webhook is switched on by its owner.
func (w Webhook) On() bool { return w.Enabled == nil || *w.Enabled }

// Endpoint is the receiver as an integration, which is how it is checked and called. It has no operations.
func (w Webhook) Endpoint() Integration {
	base, _, _ := strings.Cut(w.URL, "?")
	return Integration{ID: w.ID, BaseURL: base, Auth: w.Auth, TLS: w.TLS, AllowedNetworks: w.AllowedNetworks}
}

// Secrets visits every secret of the webhook that is there, with its path. The visitor may change it.
func (w *Webhook) Secrets(visit func(at string, ref *SecretRef)) {
	in := w.Endpoint()
	in.Secrets(visit) // the references are shared
	if w.Secret != nil {
		visit("secret", w.Secret)
	}
}

// webhookSecret is whsec_ and the base64 of 24 to 64 bytes, as Standard Webhooks has it.
var webhookSecret = regexp.MustCompile(`^whsec_[A-Za-z0-9+/]+={0,2}$`)

const webhookSecretPrefix = "whsec_"

// ParseWebhookSecret gives the bytes of a secret; ok is false if it is not one.
func ParseWebhookSecret(text string) (key []byte, ok bool) {
	const least, most = 24, 64
	if !webhookSecret.MatchString(text) {
		return nil, false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, webhookSecretPrefix))
	return key, err == nil && len(key) >= least && len(key) <= most
}

// NewWebhookSecret makes a secret of 32 random bytes.
func NewWebhookSecret() string {
	const size = 32
	key := make([]byte, size)
	_, _ = rand.Read(key) // it never fails
	return webhookSecretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Check says everything that is wrong with a webhook, but for what endpoint.Check says of its receiver. A secret counts
// as given if it has a value or is set.
func (w Webhook) Check() error {
	const mostPatterns = 50
	var bad Problems
	bad.Check(ValidID(w.ID), "id", "must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
	bad.Check(len(w.Events) >= 1 && len(w.Events) <= mostPatterns, "events", "must have 1 to %d patterns", mostPatterns)
	seen := map[string]bool{}
	for i, pattern := range w.Events {
		at := "events[" + itoa(i) + "]"
		bad.Check(ValidEventPattern(pattern), at,
			"must be a type of events such as order.completed, a family such as order.*, or *")
		bad.Check(!seen[pattern], at, "is there twice")
		seen[pattern] = true
	}
	bad.Check(w.Rate.MaxConcurrent >= 1 && w.Rate.MaxConcurrent <= 100, "rate.maxConcurrent", "must be between 1 and 100")
	bad.Merge("prefix", w.Prefix.Check())
	if w.Secret != nil && w.Secret.Value != "" {
		_, ok := ParseWebhookSecret(w.Secret.Value)
		bad.Check(ok, "secret", "must be whsec_ and the base64 of 24 to 64 random bytes; leave it out to have one made")
	}
	bad.Check(w.URL != "" || w.Secret == nil && w.Auth.Type == "" && w.TLS == TLS{} && len(w.AllowedNetworks) == 0, "url",
		"is missing: a subscription to pull has no secret, auth, tls or allowedNetworks")
	return bad.Err("the webhook is not valid")
}
