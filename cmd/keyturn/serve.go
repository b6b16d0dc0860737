package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	sdkworker "go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/web"
	"keyturn.dev/keyturn/worker"
)

func newAPI() *cobra.Command {
	var listen string
	var eager bool
	cmd := &cobra.Command{
		Use: "api", Short: "Serve the HTTP API and the order pages, and start workflows",
		Long:    "Serves the HTTP API and the order pages, and starts and wakes workflows. Any number of processes may run." + configHelp,
		Example: "  keyturn api --listen :8080\n  keyturn api --with-worker      one process for everything, with eager workflow starts",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withApp(cmd.Context(), func(ctx context.Context, a *app) error {
				return a.serve(ctx, serveOptions{listen: listen, api: true, worker: eager, ready: func() {}})
			})
		},
	}
	cmd.Flags().StringVar(&listen, "listen", envOr("KEYTURN_LISTEN", "127.0.0.1:8080"), "address to listen on (KEYTURN_LISTEN)")
	cmd.Flags().BoolVar(&eager, "with-worker", false, "run a worker in this process too; workflow starts are then eager")
	return cmd
}

func newWorker() *cobra.Command {
	var deployment, build string
	cmd := &cobra.Command{
		Use: "worker", Short: "Run workflows and activities",
		Long:    "Runs workflows and activities, mails alerts and serves waiting lines. Any number of processes may run." + configHelp,
		Example: "  keyturn worker\n  keyturn worker --deployment keyturn --build-id $(git rev-parse --short HEAD)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withApp(cmd.Context(), func(ctx context.Context, a *app) error {
				return a.serve(ctx, serveOptions{worker: true, versions: worker.Options{Deployment: deployment, BuildID: build}, ready: func() {}})
			})
		},
	}
	cmd.Flags().StringVar(&deployment, "deployment", "", "name of the worker deployment; with --build-id it switches worker versioning on")
	cmd.Flags().StringVar(&build, "build-id", "", "build of this worker")
	cmd.MarkFlagsRequiredTogether("deployment", "build-id")
	return cmd
}

// withApp runs fn with everything connected, from the environment's settings.
func withApp(ctx context.Context, fn func(context.Context, *app) error) error {
	c, err := configFromEnv()
	if err != nil {
		return err
	}
	a, err := newApp(ctx, c, newLogger(c.Production, slog.LevelInfo))
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
	versions    worker.Options
	ready       func()
}

// serve runs API, worker or both until ctx ends, then lets what runs come to its end: first nothing new is accepted or
// started, then running activities finish.
func (a *app) serve(ctx context.Context, o serveOptions) error {
	g, ctx := errgroup.WithContext(ctx)
	var w sdkworker.Worker
	if o.worker {
		w = worker.New(a.temporal, a.acts, o.versions)
		g.Go(func() error { return a.runWorker(ctx, w) })
	}
	if o.api {
		start := starter.NewStarter(starter.StarterConfig{DB: a.db, Temporal: a.temporal, Eager: o.worker, Logger: a.logger})
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
	o.ready()
	return g.Wait()
}

// runWorker waits for Temporal, because a worker without it has nothing to do, and runs until ctx ends.
func (a *app) runWorker(ctx context.Context, w sdkworker.Worker) error {
	for {
		err := worker.Run(ctx, w, a.housekeeping())
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

// newAPI makes the HTTP surface: the API, and the order pages, whose decisions go the same way as those of operators.
func (a *app) newAPI(start *starter.Starter, devToken string) *starter.API {
	var api *starter.API
	pages := web.New(web.Config{DB: a.db, ShopName: a.MailName, Logger: a.logger, Resolve: func(ctx context.Context, id string, r keyturn.Resolution) (keyturn.Next, error) {
		return api.Decide(ctx, id, r)
	}})
	api = starter.New(starter.Config{
		DB: a.db, Temporal: a.temporal, Starter: start, PublicURL: a.PublicURL, TemporalUIURL: a.TemporalUI, Namespace: a.namespace,
		Production: a.Production, DevToken: devToken, RenderKeys: a.acts.Letters.Render, Pages: pages, Logger: a.logger,
	})
	return api
}

func newMigrate() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database to this version's schema",
		Long:    "Brings the database (KEYTURN_DATABASE_URL) to this version's schema. Migrations are additive: the version before may go on running.",
		Example: "  KEYTURN_DATABASE_URL=postgres://… keyturn migrate", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dsn := os.Getenv("KEYTURN_DATABASE_URL")
			if dsn == "" {
				return keyturn.Errorf(keyturn.KindInvalid, "KEYTURN_DATABASE_URL is not set: the database's address")
			}
			done, err := db.Migrate(cmd.Context(), dsn)
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"applied": slices.Concat([]string{}, done)}, func(w io.Writer) {
				for _, name := range done {
					fmt.Fprintln(w, "applied", name)
				}
				fmt.Fprintln(w, "the database is up to date")
			})
		},
	}
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
