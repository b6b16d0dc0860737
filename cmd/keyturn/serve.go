package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/metrics"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/web"
	"keyturn.dev/keyturn/worker"
	"keyturn.dev/keyturn/workflows"
)

func newAPI() *cobra.Command {
	var listen, metricsAddr, logFormat string
	var eager, otherMode bool
	cmd := &cobra.Command{
		Use: "api", Short: "Run the API server, which also starts workflows",
		Long: "Serves the HTTP API and the order pages, and starts and wakes workflows. Run as many processes as needed." +
			configHelp,
		Example: "  keyturn api --listen :8080\n  keyturn api --with-worker      one process for everything, with eager " +
			"workflow starts",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withApp(cmd.Context(), logFormat, otherMode, func(ctx context.Context, a *app) error {
				return a.serve(ctx, serveOptions{listen: listen, metrics: metricsAddr, api: true, worker: eager, ready: func() {}})
			})
		},
	}
	cmd.Flags().StringVar(&listen, "listen", envOr("KEYTURN_LISTEN", "127.0.0.1:8080"),
		"address to listen on (KEYTURN_LISTEN)")
	metricsFlag(cmd, &metricsAddr, "127.0.0.1:9464")
	logFlag(cmd, &logFormat)
	modeFlag(cmd, &otherMode)
	cmd.Flags().BoolVar(&eager, "with-worker", false, "run a worker in the same process, with eager workflow starts")
	return cmd
}

func newWorker() *cobra.Command {
	var deployment, build, metricsAddr, logFormat string
	var otherMode bool
	cmd := &cobra.Command{
		Use: "worker", Short: "Run a worker",
		Long: "Runs workflows and activities, e-mails alerts and serves waiting lines. Run as many processes as needed." +
			configHelp,
		Example: "  keyturn worker\n  keyturn worker --deployment keyturn --build-id $(git rev-parse --short HEAD)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withApp(cmd.Context(), logFormat, otherMode, func(ctx context.Context, a *app) error {
				return a.serve(ctx, serveOptions{
					metrics: metricsAddr, worker: true,
					versions: worker.Options{Deployment: deployment, BuildID: build}, ready: func() {},
				})
			})
		},
	}
	metricsFlag(cmd, &metricsAddr, "127.0.0.1:9465")
	logFlag(cmd, &logFormat)
	modeFlag(cmd, &otherMode)
	cmd.Flags().StringVar(&deployment, "deployment", "",
		"name of the worker deployment; with --build-id, enables worker versioning")
	cmd.Flags().StringVar(&build, "build-id", "", "build ID of this worker")
	cmd.MarkFlagsRequiredTogether("deployment", "build-id")
	return cmd
}

const metricsOff = "off"

func metricsFlag(cmd *cobra.Command, addr *string, otherwise string) {
	cmd.Flags().StringVar(addr, "metrics", envOr("KEYTURN_METRICS_ADDR", otherwise),
		"listen address of the Prometheus endpoint /metrics and of /livez and /readyz, or off (KEYTURN_METRICS_ADDR)")
}

// The formats of log lines.
const (
	logJSON = "json"
	logText = "text"
)

func logFlag(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVar(format, "log-format", "", "json or text; default: json, and text in development")
}

func modeFlag(cmd *cobra.Command, allow *bool) {
	cmd.Flags().BoolVar(allow, "allow-mode-mismatch", false,
		"run with a key of Stripe's test mode although this is not development: for staging, where nothing is sold")
}

// figures are what the database says of itself, for the metrics.
func (a *app) figures(ctx context.Context) ([]metrics.Figure, error) {
	found, err := a.db.Figures(ctx)
	out := make([]metrics.Figure, len(found))
	for i, f := range found {
		out[i] = metrics.Figure{Name: f.Name, Value: f.Value}
		for _, label := range []string{f.A, f.B} {
			if label != "" {
				out[i].Labels = append(out[i].Labels, label)
			}
		}
	}
	return out, err
}

// withApp runs fn with everything connected, from the environment's settings.
func withApp(ctx context.Context, logFormat string, otherMode bool, fn func(context.Context, *app) error) error {
	if logFormat != "" && logFormat != logJSON && logFormat != logText {
		return keyturn.Errorf(keyturn.KindInvalid, "--log-format is json or text, not %s", logFormat)
	}
	c, err := configFromEnv()
	if err != nil {
		return err
	}
	c.AllowModeMismatch = otherMode
	a, err := newApp(ctx, c, newLogger(logFormat == logJSON || logFormat == "" && c.Production, slog.LevelInfo))
	if err != nil && ctx.Err() != nil { // somebody stopped it while it started
		return nil
	}
	if err != nil {
		return err
	}
	defer a.close()
	return fn(ctx, a)
}

type serveOptions struct {
	listen      string
	api, worker bool
	devToken    string
	metrics     string // address; off: none
	versions    worker.Options
	ready       func()
}

// serve runs API, worker or both until ctx ends, then lets what runs come to its end: first nothing new is accepted or
// started, then running activities finish.
func (a *app) serve(ctx context.Context, o serveOptions) error {
	g, ctx := errgroup.WithContext(ctx)
	if o.metrics != metricsOff {
		g.Go(func() error { metrics.Serve(ctx, o.metrics, a.readiness(o).Check, a.logger); return nil })
	}
	start := starter.New(starter.Config{
		DB: a.db, Temporal: a.temporal, Namespace: a.namespace, Eager: o.api && o.worker, Logger: a.logger,
	})
	a.desk.Accepted = start.Enqueue // also where the workflow of a payment accepts its order
	if o.worker {
		metrics.Watch(a.figures, a.logger)
		g.Go(func() error { return a.runWorker(ctx, o.versions) })
		g.Go(func() error { a.attend(ctx); return nil })
		g.Go(func() error { a.review(ctx); return nil })
		g.Go(func() error { a.sender().Run(ctx); return nil })
		a.takeBounces(ctx, g)
	}
	if o.api {
		g.Go(func() error { start.Run(ctx); return nil })
		server := a.newAPI(start, o.devToken).Server()
		server.Addr = o.listen
		g.Go(func() error {
			a.logger.Info("the API listens", "address", o.listen)
			if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve the API on %s: %w", o.listen, err)
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			if err := server.Shutdown(stopCtx); err != nil {
				return server.Close()
			}
			return nil
		})
	}
	if !o.api { // the relay runs beside the API
		g.Go(func() error { start.Serve(ctx); return nil })
	}
	o.ready()
	return g.Wait()
}

// readiness is what a process with these options is asked whether it can do its work.
func (a *app) readiness(o serveOptions) api.ReadyCheck {
	return api.ReadyCheck{
		DB: a.db, Temporal: a.temporal, MissingSearchAttributes: a.missingSearchAttributes, NeedsTemporal: !o.api,
	}
}

func (a *app) missingSearchAttributes(ctx context.Context) ([]string, error) {
	return starter.MissingSearchAttributes(ctx, a.temporal, a.namespace)
}

// runWorker waits for Temporal, because a worker without it has nothing to do, and runs until ctx ends. Each attempt
// has a worker of its own: the SDK's remembers for ever that its first start failed.
func (a *app) runWorker(ctx context.Context, o worker.Options) error {
	for {
		w := worker.New(a.temporal, a.acts, o)
		a.auditor().Register(w)
		err := worker.Run(ctx, w, a.acts, a.housekeeping())
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // what its own end cut short is no failure
		}
		a.logger.Warn("Temporal does not answer; the worker tries again in 5 s", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Second):
		}
	}
}

func (a *app) auditor() *worker.Auditor {
	return &worker.Auditor{
		DB: a.db, Temporal: a.temporal, TaskQueue: workflows.TaskQueue, Logger: a.logger, Retention: a.Retention,
		Processors: a.desk.Processors,
	}
}

// The look at what has no workflow: after a failure, and in general.
const (
	attendAgain = 30 * time.Second
	attendEvery = 3 * time.Minute
	attendFor   = 2 * time.Minute
)

// attend makes the schedule of audits as soon as Temporal answers, and from then on sees to it that neither it nor a
// workflow stays away.
func (a *app) attend(ctx context.Context) {
	auditor := a.auditor()
	scheduled := false
	for ctx.Err() == nil {
		tryCtx, cancel := context.WithTimeout(ctx, attendFor)
		var err error
		if !scheduled {
			err = worker.ScheduleAudits(tryCtx, a.temporal, workflows.TaskQueue)
			scheduled = err == nil
		}
		if err == nil {
			err = auditor.Attend(tryCtx)
		}
		cancel()
		wait := attendEvery
		if err != nil && ctx.Err() == nil {
			a.logger.Warn("the look at what has no workflow failed; it is tried again in 30 s", "error", err)
			wait = attendAgain
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// reviewEvery is how often a process looks whether a review of what payment providers have is due.
const reviewEvery = 3 * time.Minute

// review asks payment providers, once a day over all processes, what they have of the last days.
func (a *app) review(ctx context.Context) {
	for ctx.Err() == nil {
		if err := a.desk.ReviewRecent(ctx); err != nil && ctx.Err() == nil {
			a.logger.Warn("the review of what payment providers have failed; it is tried again in 10 minutes", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(reviewEvery):
		}
	}
}

// What one client address may do in an hour.
const (
	ordersPerHour       = 10 // press "order and pay"
	testMailsPerHour    = 30 // send an e-mail to try it
	unknownLinksPerHour = 60 // ask for checkout pages that are not there
	libraryLinksPerHour = 20 // ask for a link to all that an e-mail address has bought
)

// newAPI makes the HTTP surface: the API, and the order pages, whose decisions go the same way as those of operators.
func (a *app) newAPI(start *starter.Starter, devToken string) *api.API {
	var server *api.API
	guesses := &throttle.Throttle{Trusted: a.Proxies} // of tokens and of addresses of pages
	var orders *throttle.Throttle                     // whoever develops a shop orders more than ten times an hour
	if a.Production {
		orders = &throttle.Throttle{Trusted: a.Proxies, Most: ordersPerHour, Every: time.Hour}
	}
	desk := *a.desk
	desk.Accepted = func(lines []db.Start) {
		start.Enqueue(lines)
		start.Wake() // the confirmation is due at once
	}
	pages := http.NewServeMux()
	pages.HandleFunc("POST /hooks/{provider}", desk.Hook)
	pages.Handle("POST /hooks/mail/{provider}/{secret}", a.bounceHooks())
	if a.sandbox != nil {
		pages.Handle("/sandbox/", web.NewSandbox(web.SandboxConfig{
			Sessions: a.sandbox, DB: a.db, ShopName: a.MailName, Logger: a.logger, Throttle: guesses,
		}))
	}
	pages.Handle("/", web.New(web.Config{
		DB: a.db, RenderKeys: a.acts.Letters.Render, ShopName: a.MailName, Logger: a.logger, Throttle: guesses, Desk: &desk,
		UnknownLinks: &throttle.Throttle{Trusted: a.Proxies, Most: unknownLinksPerHour, Every: time.Hour}, OrderPosts: orders,
		LibraryPosts: &throttle.Throttle{Trusted: a.Proxies, Most: libraryLinksPerHour, Every: time.Hour},
		Secure:       strings.HasPrefix(a.PublicURL, "https://"),
		Resolve: func(ctx context.Context, id string, r keyturn.Resolution) (keyturn.Next, error) {
			return server.Decide(ctx, id, r)
		},
	}))
	server = api.New(api.Config{
		DB: a.db, Temporal: a.temporal, Starter: start, PublicURL: a.PublicURL, TemporalUIURL: a.TemporalUI,
		Namespace: a.namespace, MissingSearchAttributes: a.missingSearchAttributes,
		Production: a.Production, Payments: a.acts.Providers.Names(), DevToken: devToken,
		Processors: slices.Sorted(maps.Keys(a.desk.Processors)), CheckPrices: a.desk.CheckPrices,
		CheckReference: a.acts.Providers.CheckReference,
		ReturnOrigins:  a.ReturnOrigins,
		TestWebhook:    a.sender().Test,
		CancelPayment: func(ctx context.Context, id string) error {
			_, err := desk.Expire(ctx, id)
			if keyturn.KindOf(err) == keyturn.KindNotFound { // its session is being opened at this moment
				return keyturn.Errorf(keyturn.KindConflict, "a customer has just begun to pay: try again in a minute")
			}
			return err
		},
		ResolvePayment: desk.Resolve,
		RenderKeys:     a.acts.Letters.Render, Pages: pages, Logger: a.logger,
		RenderSample: a.acts.Letters.RenderSample, SendMail: a.mail.Send,
		TestMails: &throttle.Throttle{Trusted: a.Proxies, Most: testMailsPerHour, Every: time.Hour},
		Throttle:  guesses,
	})
	return server
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
