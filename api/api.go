// Package api is the HTTP API: what it takes, answers and describes of itself. It accepts an order without Temporal;
// everything it promises is in the database before it answers.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/workflows"
)

// Starts is what the API needs of a Starter: no call blocks.
type Starts interface {
	Enqueue([]db.Start) // lines that were just accepted
	Wake()              // a transaction left something to start
}

// Config is what the API works with. DB, Starter and Logger are required.
type Config struct {
	DB            *db.DB
	Temporal      client.Client // for decisions on lines; nil: these answer 503
	Starter       Starts
	PublicURL     string // where customers reach this server, without a slash at the end
	TemporalUIURL string // of the Web UI, for links; empty: no links
	Namespace     string // Temporal's; default: default
	TaskQueue     string // whose books are audited; default: workflows.TaskQueue
	Production    bool   // partners are called by https only
	// Payments are the payment providers that orders may name, besides none and manual.
	Payments []string
	// Processors are those of Payments that sell by checkout links.
	Processors []string
	// CheckReference says whether an order's provider could refund a payment of this reference; nil: any.
	CheckReference func(provider, reference string) error
	// CheckPrices says which prices of a link its processor cannot take; nil: they take all.
	CheckPrices func(keyturn.CheckoutLink) error
	// ReturnOrigins are the origins that a checkout link may lead back to, such as https://shop.example.
	ReturnOrigins []string
	// CancelPayment ends what a customer is paying at this moment, so that the payment's checkout link can be withdrawn.
	// KindConflict: it cannot be ended any more. nil: no link is withdrawn while a customer is paying.
	CancelPayment func(ctx context.Context, paymentID string) error
	// ResolvePayment carries out a decision on a payment whose sum is another one than was asked for.
	ResolvePayment func(ctx context.Context, paymentID string, r keyturn.PaymentResolution, by string) error
	// TestWebhook sends a test event to a webhook and says what came of it; nil: these answer 503.
	TestWebhook func(ctx context.Context, id string) (keyturn.EventDelivery, error)
	DevToken    string // accepted with every scope; empty: none
	// MissingSearchAttributes names what Temporal's namespace lacks; nil: nobody asks.
	MissingSearchAttributes func(context.Context) ([]string, error)
	// RenderKeys makes the e-mail of a resend, as it is stored.
	RenderKeys func(db.MailFacts) ([]byte, error)
	// RenderSample makes an e-mail of invented data, and SendMail sends one.
	RenderSample func(activities.Sample) (mail.Message, error)
	SendMail     func(context.Context, mail.Message) error
	TestMails    *throttle.Throttle // of e-mails that are sent to try them; nil: they are not counted
	// Pages serves what pagePrefix names: order and checkout pages, messages of processors; nil: nothing is there.
	Pages    http.Handler
	Logger   *slog.Logger
	Throttle *throttle.Throttle // of wrong tokens; nil: one that trusts no proxy
}

// API is the HTTP surface of api.md.
type API struct {
	Config
	mux     *routeMux
	huma    huma.API
	clients clientCache
	spec    spec

	closing    chan struct{} // closed when the server shuts down: streams end
	endStreams func()
}

// New makes the API. Its handler can be served at once.
func New(c Config) *API {
	if c.Namespace == "" {
		c.Namespace = "default"
	}
	if c.TaskQueue == "" {
		c.TaskQueue = workflows.TaskQueue
	}
	if c.Throttle == nil {
		c.Throttle = &throttle.Throttle{}
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	c.TemporalUIURL = strings.TrimRight(c.TemporalUIURL, "/")
	a := &API{Config: c, mux: &routeMux{ServeMux: http.NewServeMux()}, closing: make(chan struct{})}
	a.endStreams = sync.OnceFunc(func() { close(a.closing) })
	a.huma = humago.New(a.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Keyturn", Version: keyturn.CurrentBuild().Version, Description: description},
			Servers: []*huma.Server{{URL: c.PublicURL}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {
					Type: "http", Scheme: "bearer",
					Description: "A token made with `keyturn token create`.",
				}},
			},
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	})
	a.huma.UseMiddleware(a.authenticate)
	a.orderRoutes()
	a.fulfillmentRoutes()
	a.refundRoutes()
	a.checkoutRoutes()
	a.paymentRoutes()
	a.poolRoutes()
	a.batchRoutes()
	a.customerRoutes()
	a.licenseRoutes()
	a.shopRoutes()
	a.mailRoutes()
	a.catalogRoutes()
	a.webhookRoutes()
	a.alertRoutes()
	a.auditRoutes()
	a.healthRoutes()
	a.describe()
	return a
}

const description = `Turns paid orders for digital goods into delivered licence keys, or gives the money back.

Duplicate fields and trailing bytes are refused, and so are unknown fields, unless the token was made to ignore them.
Money is a decimal string with a currency; times are RFC 3339 in UTC. Errors are application/problem+json with
every wrong field, the first fifty of them, and the rule that it breaks.`

// Server gives a server for the handler. Its time limits are set per request by the handler, because an import may
// take long and a stream has no end; only the header has one limit for all. Shutdown ends the streams and waits for the
// other requests.
func (a *API) Server() *http.Server {
	s := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.Logger.Handler(), slog.LevelDebug), // broken handshakes and the like
	}
	s.RegisterOnShutdown(a.endStreams)
	return s
}
