package main

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/metrics"
	"keyturn.dev/keyturn/notify"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/vault"
	"keyturn.dev/keyturn/worker"
)

// app is what API and worker processes share: the connections and what is made of them.
type app struct {
	config
	logger    *slog.Logger
	db        *db.DB
	temporal  client.Client
	namespace string
	mail      *mail.Sender
	acts      *activities.Activities
	desk      *checkout.Desk
	sandbox   *payment.Sandbox // in development
}

// newLogger writes JSON lines, as log collectors want them, or text for the terminal of a developer.
func newLogger(lines bool, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if lines {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// newApp connects to everything. Temporal may be down: orders are accepted without it.
func newApp(ctx context.Context, c config, logger *slog.Logger) (*app, error) {
	keys, err := vault.LoadKeys(c.KeysFile)
	if err != nil {
		return nil, err
	}
	a := &app{config: c, logger: logger}
	if a.db, err = db.Open(ctx, c.DatabaseURL, keys); err != nil {
		return nil, err
	}
	if err = a.db.CheckSchema(ctx); err == nil {
		err = a.db.CheckKeys(ctx)
	}
	if err != nil {
		_ = a.db.Close()
		return nil, err
	}
	options, err := temporalOptions(c.TemporalAddress, logger)
	if err != nil {
		return nil, err
	}
	options.MetricsHandler = metrics.Temporal()
	a.namespace = namespaceOf(options)
	if a.temporal, err = client.NewLazyClient(options); err != nil {
		return nil, err
	}
	if a.mail, err = mail.NewSender(c.Mail); err != nil {
		return nil, err
	}
	a.acts = &activities.Activities{
		DB: a.db, Caller: endpoint.NewCaller(endpoint.Options{Production: c.Production, Logger: logger}), Mail: a.mail,
		Logger: logger,
		Letters: activities.Letters{
			From: c.MailFrom, SenderName: c.MailName, PublicURL: c.PublicURL, Bounces: c.Bounces.Address,
			Refs: c.Bounces.takes(), Signer: c.Signer,
		},
		Providers: payment.Providers{},
	}
	for name, gateway := range c.Payments {
		a.acts.Providers[name] = gateway
	}
	a.desk = &checkout.Desk{
		DB: a.db, Processors: payment.Processors{}, Providers: a.acts.Providers, PublicURL: c.PublicURL, Logger: logger,
	}
	a.acts.Desk = a.desk
	if err := a.useStripe(ctx); err != nil {
		_ = a.db.Close()
		return nil, err
	}
	if !c.Production { // it moves no money
		a.sandbox = &payment.Sandbox{
			Ledger: a.db, Sessions: a.db, PublicURL: c.PublicURL, Secret: a.db.SandboxSecret(),
			OnEvent: func(ctx context.Context, e payment.Event) {
				if err := a.desk.Tell(ctx, payment.SandboxName, e); err != nil { // the payment's workflow finds out by itself
					logger.Warn("an event of the sandbox was lost", "kind", string(keyturn.KindOf(err)), "error", err)
				}
			},
		}
		a.acts.Providers[payment.SandboxName] = a.sandbox
		a.desk.Processors[payment.SandboxName] = a.sandbox
	}
	return a, nil
}

// temporalOptions are Temporal's own settings; an address replaces theirs unless it is empty. Requests go uncompressed:
// almost all are smaller than what compression gains is worth, and it was a thirteenth of this process's time, and the
// server's in its turn.
func temporalOptions(address string, logger *slog.Logger) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if address != "" {
		options.HostPort = address
	}
	options.Logger = log.NewStructuredLogger(logger)
	options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	return options, err
}

func (a *app) close() {
	a.temporal.Close()
	_ = a.mail.Close()
	_ = a.db.Close()
}

// historyLink is the address of an order's workflows in Temporal's Web UI.
func (a *app) historyLink(orderID string) string {
	if a.TemporalUI == "" {
		return ""
	}
	query := `OrderId="` + strings.ReplaceAll(orderID, `"`, "") + `"`
	return a.TemporalUI + "/namespaces/" + url.PathEscape(a.namespace) + "/workflows?query=" + url.QueryEscape(query)
}

// sender sends events to webhooks.
func (a *app) sender() *notify.Sender {
	return &notify.Sender{DB: a.db, Caller: a.acts.Caller, Logger: a.logger}
}

func (a *app) housekeeping() *worker.Housekeeping {
	return &worker.Housekeeping{
		DB: a.db, Mail: a.mail, From: a.MailFrom, To: a.Operations, Logger: a.logger,
		HistoryLink: a.historyLink, RenderKeys: a.acts.Letters.Render, RenderLibrary: a.acts.Letters.RenderLibrary,
		EnsureSearchAttributes: func(ctx context.Context) ([]string, string, error) {
			missing, err := starter.EnsureSearchAttributes(ctx, a.temporal, a.namespace)
			return missing, starter.HowToCreate(a.namespace), err
		},
		Namespace: a.namespace,
	}
}
