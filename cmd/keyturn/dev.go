package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
	stripeemulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/vault"
)

// devToken is what the development API takes with every scope.
const devToken = "dev"

// devPorts are the ports of api.md, Development servers.
type devPorts struct {
	api, temporal, temporalUI, inbox, smtp, partner, postgres, metrics, stripe, stripePage, reports int
}

func portsAt(offset int) devPorts {
	return devPorts{
		8080 + offset, 7233 + offset, 8233 + offset, 8025 + offset, 1025 + offset, 8090 + offset,
		5433 + offset, 9464 + offset, 8091 + offset, 8092 + offset, 2525 + offset,
	}
}

type devOptions struct {
	dir       string
	offset    int
	noSamples bool
	stripe    bool
	token     string
	verbose   bool
	out       io.Writer
}

func newDev() *cobra.Command {
	o := devOptions{}
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a complete development stack with sample orders",
		Long: `Runs everything on this machine: PostgreSQL, Temporal with its Web UI, a mail inbox, a partner
emulator, the API and a worker. Applies the sample catalog, places sample orders and shows their
progress. State survives a restart; Ctrl-C stops everything that was started.

With --stripe, checkout links are paid at Stripe: in its test mode with a test key in KEYTURN_STRIPE_KEY, which
needs no address that Stripe reaches, because each payment is asked for; without a key on an emulator, which was
not compared with Stripe itself yet.`,
		Example: "  keyturn dev\n  keyturn dev --port-offset 100 --data-dir /tmp/keyturn\n" +
			"  keyturn dev --no-samples\n  keyturn dev --stripe",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.out = cmd.OutOrStdout()
			err := runDev(cmd.Context(), o)
			if cmd.Context().Err() != nil { // somebody stopped it, perhaps while it started: what that cut short is no failure
				return nil //nolint:nilerr // see above
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.dir, "data-dir", ".keyturn", "directory of the stack's state")
	cmd.Flags().IntVar(&o.offset, "port-offset", 0, "add this to every port")
	cmd.Flags().BoolVar(&o.noSamples, "no-samples", false, "do not place sample orders")
	cmd.Flags().BoolVar(&o.stripe, "stripe", false,
		"sell through Stripe: its test mode with a test key in KEYTURN_STRIPE_KEY, else an emulator")
	cmd.Flags().StringVar(&o.token, "token", devToken, "API token with every scope")
	cmd.Flags().BoolVar(&o.verbose, "verbose", false, "log to the terminal instead of logs/keyturn.log")
	return cmd
}

// devStack is what `keyturn dev` started.
type devStack struct {
	ports    devPorts
	postgres *devstack.Postgres
	temporal *devstack.Temporal
	inbox    *inbox.Server
	partner  *emulator.Server
	stripe   *stripeemulator.Server // nil: Stripe itself, or none
	config   config
}

func runDev(ctx context.Context, o devOptions) error {
	dir, err := devstack.Open(o.dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	stack, err := startStack(ctx, dir, o)
	if stack != nil {
		defer stack.stop(o.out)
	}
	if err != nil {
		return err
	}
	logger, closeLog, err := devLogger(dir, o.verbose)
	if err != nil {
		return err
	}
	defer closeLog()
	stack.config.TemporalAddress = stack.temporal.Address()
	a, err := newApp(ctx, stack.config, logger)
	if err != nil {
		return err
	}
	defer a.close()

	g, ctx := errgroup.WithContext(ctx)
	listening := make(chan struct{})
	g.Go(func() error {
		return a.serve(ctx, serveOptions{
			listen: addr(stack.ports.api), metrics: addr(stack.ports.metrics), api: true,
			worker: true, devToken: o.token, ready: func() { close(listening) },
		})
	})
	g.Go(func() error { return stack.watch(ctx) })
	g.Go(func() error {
		<-listening
		return present(ctx, a, stack, o)
	})
	return g.Wait()
}

// startStack starts the servers around Keyturn, the slow ones side by side.
func startStack(ctx context.Context, dir *devstack.Dir, o devOptions) (*devStack, error) {
	p := portsAt(o.offset)
	if err := devstack.CheckPorts(o.offset,
		devstack.Port{Name: "API", Number: p.api}, devstack.Port{Name: "Temporal", Number: p.temporal},
		devstack.Port{Name: "Temporal Web UI", Number: p.temporalUI},
		devstack.Port{Name: "mail inbox", Number: p.inbox}, devstack.Port{Name: "SMTP", Number: p.smtp},
		devstack.Port{Name: "partner emulator", Number: p.partner},
		devstack.Port{Name: "PostgreSQL", Number: p.postgres},
		devstack.Port{Name: "metrics", Number: p.metrics}, devstack.Port{Name: "Stripe emulator", Number: p.stripe},
		devstack.Port{Name: "Stripe emulator's page", Number: p.stripePage},
		devstack.Port{Name: "reports about e-mails", Number: p.reports}); err != nil {
		return nil, err
	}
	fmt.Fprintf(o.out, "starting PostgreSQL, Temporal, a mail inbox and a partner emulator; their state is in %s\n", o.dir)
	s := &devStack{ports: p, config: config{
		KeysFile: dir.Path("keys.json"), PublicURL: "http://" + addr(p.api), TemporalUI: "http://" + addr(p.temporalUI),
		Mail: mail.Config{Addr: addr(p.smtp), TLS: mail.TLSNone}, MailFrom: "keys@shop.test", MailName: "The Sample Shop",
		Operations: "ops@shop.test", Bounces: bounceSettings{Address: "bounce@shop.test", Listen: addr(p.reports)},
	}}
	g, startCtx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		s.postgres, err = devstack.StartPostgres(startCtx, dir,
			devstack.PostgresOptions{Port: p.postgres, Progress: func(text string) { fmt.Fprintln(o.out, text) }})
		return err
	})
	g.Go(func() (err error) {
		s.temporal, err = devstack.StartTemporal(startCtx, dir,
			devstack.TemporalOptions{Port: p.temporal, UIPort: p.temporalUI})
		return err
	})
	g.Go(func() error {
		s.inbox = inbox.New(inbox.Config{
			SMTPAddr: addr(p.smtp), HTTPAddr: addr(p.inbox), Dir: dir.Path("inbox"), ReportsTo: addr(p.reports),
		})
		return s.inbox.Start()
	})
	g.Go(func() error {
		s.partner = emulator.New(emulator.Config{Addr: addr(p.partner), Dir: dir.Path("partner"), Partners: samplePartners})
		return s.partner.Start()
	})
	if o.stripe {
		g.Go(func() error { return s.startStripe(dir) })
	}
	if err := g.Wait(); err != nil {
		return s, err
	}
	if err := s.postgres.CreateDatabase(ctx, "keyturn"); err != nil {
		return s, err
	}
	s.config.DatabaseURL = s.postgres.DSN("keyturn")
	if err := ensureKeys(ctx, s.config, o.out); err != nil {
		return s, err
	}
	_, err := db.Migrate(ctx, s.config.DatabaseURL)
	return s, err
}

// ensureKeys makes a key file for a database that is new. For one that was written with a file that is not there any
// more it makes none: what is in the database would never be read again, and the next order would hide it.
func ensureKeys(ctx context.Context, c config, out io.Writer) error {
	if _, err := os.Stat(c.KeysFile); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	used, err := db.HoldsSecrets(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	if used {
		return keyturn.Errorf(keyturn.KindConfiguration,
			"the key file %s is missing, and the database holds data that only it can decrypt: restore the file, or start over "+
				"in another directory (--data-dir) or with `make reset`, which deletes all orders", c.KeysFile)
	}
	if err := vault.CreateKeys(c.KeysFile); err != nil {
		return err
	}
	fmt.Fprintf(out, "created encryption keys in %s: secrets in the database cannot be decrypted without this file\n",
		c.KeysFile)
	return nil
}

// watch ends everything when a server that Keyturn needs ends by itself.
func (s *devStack) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.postgres.Done():
		return fmt.Errorf("PostgreSQL ended: %w", errors.Join(s.postgres.Err()))
	case <-s.temporal.Done():
		return fmt.Errorf("Temporal ended: %w", errors.Join(s.temporal.Err()))
	}
}

// stop stops what was started, Temporal before the rest, so that it can write its state.
func (s *devStack) stop(out io.Writer) {
	fmt.Fprintln(out, "stopping")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if s.temporal != nil {
		_ = s.temporal.Stop(ctx)
	}
	if s.postgres != nil {
		_ = s.postgres.Stop(ctx)
	}
	if s.inbox != nil {
		_ = s.inbox.Close()
	}
	if s.partner != nil {
		_ = s.partner.Close()
	}
	if s.stripe != nil {
		_ = s.stripe.Close()
	}
}

func devLogger(dir *devstack.Dir, verbose bool) (*slog.Logger, func(), error) {
	if verbose {
		return newLogger(false, slog.LevelInfo), func() {}, nil
	}
	path := dir.Path("logs", "keyturn.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewTextHandler(f, nil)), func() { _ = f.Close() }, nil
}

func addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
