// Package stripe sells and refunds through Stripe: its Checkout Sessions, PaymentIntents and Refunds. It is the only
// package that imports Stripe's library, which is large. Of the library it uses the requests, the objects and the check
// of signatures, and calls the few routes that it needs by themselves, so that the rest is not linked.
package stripe

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	api "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/form"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// Name is the provider's name in links and orders.
const Name = "stripe"

// APIVersion is the version of Stripe's API that is spoken here, and that the endpoint for events is set up with.
const APIVersion = api.APIVersion

// callTime is how long one request may take.
const callTime = 15 * time.Second

// pageOrigin is the origin of Stripe's payment page.
const pageOrigin = "https://checkout.stripe.com"

// Config is how an account at Stripe is used.
type Config struct {
	Key keyturn.Secret // restricted or secret, of the live or of the test mode
	// WebhookSecrets sign the events: one, or two while they are changed over. Without any, events are refused.
	WebhookSecrets []keyturn.Secret
	// Authorize are the means of payment that are authorized first where a link says whenPossible.
	Authorize []string
	// Installation is our name in the metadata of all that we make at Stripe: several may share an account.
	Installation string
	URL          string // of the API; empty: Stripe's own
	PageOrigin   string // of the payment page; empty: Stripe's own
}

// Processor is Stripe as a payment.Processor.
type Processor struct {
	Config

	backend api.Backend
}

var (
	_ payment.Processor = Processor{}
	_ payment.Finder    = Processor{}
	_ payment.Watcher   = Processor{}
)

// New checks the configuration and makes the processor. It calls nobody. KindInvalid, with the setting's field.
func New(c Config) (Processor, error) {
	if err := c.Check(); err != nil {
		return Processor{}, err
	}
	base := api.APIURL
	if c.URL != "" {
		base = c.URL
	}
	return Processor{Config: c, backend: api.GetBackendWithConfig(api.APIBackend, &api.BackendConfig{
		HTTPClient: &http.Client{
			Timeout:       callTime,
			Transport:     once{http.DefaultTransport},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		MaxNetworkRetries: api.Int64(0), EnableTelemetry: api.Bool(false), URL: api.String(base),
		LeveledLogger: &api.LeveledLogger{Level: api.LevelNull}, // what Stripe says may name a customer
	})}, nil
}

// once keeps net/http from sending a request again by itself when a connection breaks, as it does with one that has an
// idempotency key: each try is booked first.
type once struct{ http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (t once) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.GetBody = nil
	return t.RoundTripper.RoundTrip(r)
}

// call sends one request. Its error has a kind already.
func (x Processor) call(method, path string, params api.ParamsContainer, out api.LastResponseSetter) error {
	return asError(x.backend.Call(method, path, x.Key.Reveal(), params, out))
}

func (x Processor) get(path string, params api.ParamsContainer, out api.LastResponseSetter) error {
	return x.call(http.MethodGet, path, params, out)
}

func (x Processor) post(path string, params api.ParamsContainer, out api.LastResponseSetter) error {
	return x.call(http.MethodPost, path, params, out)
}

// list reads one page of a list. The library's own way takes the parameters of lists by its iterators alone.
func (x Processor) list(ctx context.Context, path string, params any, out api.LastResponseSetter) error {
	query := &form.Values{}
	form.AppendTo(query, params)
	return asError(x.backend.CallRaw(http.MethodGet, path, x.Key.Reveal(), []byte(query.Encode()),
		&api.Params{Context: ctx}, out))
}

// under is what every write has: the deadline of its caller and its idempotency key.
func under(ctx context.Context, key string) api.Params {
	return api.Params{Context: ctx, IdempotencyKey: api.String(key)}
}

// metadataKey is the name under which all that we make at Stripe says whose it is: <installation>/<ID>.
const metadataKey = "keyturn"

func (x Processor) mark(id string) map[string]string {
	return map[string]string{metadataKey: x.Installation + "/" + id}
}

// owner says of metadata which ID of ours it names, and whether it names another installation.
func (x Processor) owner(metadata map[string]string) (id string, foreign bool) {
	name, id, ok := strings.Cut(metadata[metadataKey], "/")
	if !ok {
		return "", false
	}
	if name != x.Installation {
		return "", true
	}
	return id, false
}

// Origin is payment.Processor's.
func (x Processor) Origin() string {
	if x.PageOrigin != "" {
		return x.PageOrigin
	}
	return pageOrigin
}

// Live says whether the key moves real money.
func (c Config) Live() bool {
	return strings.HasPrefix(c.Key.Reveal(), "sk_live_") || strings.HasPrefix(c.Key.Reveal(), "rk_live_")
}

// MayAuthorize are the means of payment that Stripe authorizes first if a session asks for it.
var MayAuthorize = []string{
	"affirm", "afterpay_clearpay", "alma", "amazon_pay", "billie", "card", "cashapp", "kakao_pay", "klarna", "kr_card",
	"link", "mobilepay", "naver_pay", "payco", "paypal", "revolut_pay", "samsung_pay", "satispay",
}

// DefaultAuthorize are those that are authorized first unless a setting says otherwise.
var DefaultAuthorize = []string{"card", "link"}

// Check says everything that is wrong with the configuration.
func (c Config) Check() error {
	var bad keyturn.Problems
	key := c.Key.Reveal()
	bad.Check(slices.ContainsFunc([]string{"sk_test_", "rk_test_", "sk_live_", "rk_live_"}, func(prefix string) bool {
		return strings.HasPrefix(key, prefix) && len(key) > len(prefix)
	}), "key", "must be a restricted or secret key of Stripe: rk_live_…, sk_live_…, rk_test_… or sk_test_…")
	bad.Check(len(c.WebhookSecrets) <= 2, "webhookSecrets", "must be one, or two while they are changed over")
	for _, s := range c.WebhookSecrets {
		bad.Check(strings.HasPrefix(s.Reveal(), "whsec_"), "webhookSecrets", "must begin with whsec_")
	}
	bad.Check(ValidInstallation(c.Installation), "installation",
		"must be 3 to 32 lower-case letters, digits and hyphens, and stays the same for good")
	for _, m := range c.Authorize {
		bad.Check(slices.Contains(MayAuthorize, m), "authorize", "must be of %s", strings.Join(MayAuthorize, ", "))
	}
	for field, text := range map[string]string{"url": c.URL, "pageOrigin": c.PageOrigin} {
		u, err := url.Parse(text)
		bad.Check(text == "" || err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http"), field,
			"must be an address such as http://127.0.0.1:12111")
	}
	return bad.Err("the settings of stripe are not valid")
}

// ValidInstallation says whether a text can be the name of an installation.
func ValidInstallation(name string) bool {
	if len(name) < 3 || len(name) > 32 {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}
