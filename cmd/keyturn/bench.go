package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/interceptor"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/bench"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/worker"
	"keyturn.dev/keyturn/workflows"
)

type benchOptions struct {
	rounds, orders, atOnce, big, retries int
	dir                                  string
	noEager                              bool
	only, profile                        string
}

func newBench() *cobra.Command {
	o := benchOptions{}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure what an order costs, as a ratio to an empty workflow",
		Long: `Measures an empty workflow, a workflow with one activity, and orders of several shapes, in
interleaved rounds of one run. Prints rates, latencies, CPU per line and process, history sizes, and
ratios to the floor. Orders arrive over HTTP, partners are called over HTTP and e-mails are sent
over SMTP. The partner and the mail server run in a separate process, whose cost is not counted.

By default it starts its own PostgreSQL and Temporal. With KEYTURN_DATABASE_URL, KEYTURN_KEYS and
TEMPORAL_ADDRESS it uses those.`,
		Example: "  keyturn bench\n  keyturn bench --rounds 5 --orders 500 --output json\n  keyturn bench --retries 1000 " +
			"--big 5000",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), cmd, o) },
	}
	cmd.Flags().IntVar(&o.rounds, "rounds", 3, "rounds to count")
	cmd.Flags().IntVar(&o.orders, "orders", 400, "lines per shape and round")
	cmd.Flags().IntVar(&o.atOnce, "at-once", 30, "orders in progress at the same time")
	cmd.Flags().IntVar(&o.big, "big", 5000, "lines of the large order; 0: skip it")
	cmd.Flags().IntVar(&o.retries, "retries", 100, "failures of the failing line; 0: skip it")
	cmd.Flags().StringVar(&o.dir, "data-dir", "", "directory of the embedded servers; default: a temporary one")
	cmd.Flags().BoolVar(&o.noEager, "no-eager", false, "skip the shapes with eager starts")
	cmd.Flags().StringVar(&o.only, "only", "", "measure only the floors and shapes whose name contains this text")
	cmd.Flags().StringVar(&o.profile, "profile", "", "write a CPU profile of this process to this file")
	cmd.AddCommand(newBenchPools(), newBenchPeer(), newBenchOutage())
	return cmd
}

// benchBed is everything around a benchmark: servers, a partner and a mail server in a process of their own, a worker
// and the API in this one.
type benchBed struct {
	*app
	servers *bench.Servers
	peer    *bench.Peer
	ends    *bench.Ends
	api     *client.Client
	worker  chan error // what the worker ended with
	cancel  context.CancelFunc
}

// close ends the worker first and the servers last.
func (b *benchBed) close() error {
	b.cancel()
	var err error
	if b.worker != nil {
		err = <-b.worker
	}
	b.servers.Stop()
	return err
}

func makeBenchBed(ctx context.Context, o benchOptions, progress io.Writer) (_ *benchBed, err error) {
	servers, err := benchServers(ctx, o.dir, progress)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	bed := &benchBed{servers: servers, cancel: cancel}
	defer func() {
		if err != nil {
			_ = bed.close()
		}
	}()
	if err = servers.StartTemporal(ctx); err != nil {
		return nil, err
	}
	if bed.peer, err = bench.StartPeer(ctx, "bench", "peer"); err != nil {
		return nil, err
	}
	servers.OnStop(bed.peer.Stop)
	c := config{DatabaseURL: servers.DatabaseURL, KeysFile: servers.KeysFile, TemporalAddress: servers.TemporalAddress}
	c.Mail, c.MailFrom, c.MailName, c.Operations = mail.Config{Addr: bed.peer.SMTP, TLS: mail.TLSNone, MaxConns: 20},
		"keys@bench.test", "Bench", "ops@bench.test"
	c.PublicURL = "http://127.0.0.1"
	if bed.app, err = newApp(ctx, c, newLogger(false, slog.LevelError)); err != nil {
		return nil, err
	}
	servers.OnStop(bed.app.close)
	start := starter.New(starter.Config{
		DB: bed.db, Temporal: bed.temporal, Namespace: bed.namespace, Logger: bed.logger,
	})
	go start.Serve(ctx)
	bed.desk.Accepted = start.Enqueue
	bed.ends = bench.NewEnds()
	w := worker.New(bed.temporal, bed.acts, worker.Options{Interceptors: []interceptor.WorkerInterceptor{bed.ends}})
	bench.RegisterFloors(w)
	bed.worker = make(chan error, 1)
	go func() { bed.worker <- worker.Run(ctx, w, bed.acts, bed.housekeeping()) }()
	bed.api, err = bed.benchAPI(ctx, false)
	return bed, err
}

// benchServers are the servers of the settings, or the benchmark's own where no database is set.
func benchServers(ctx context.Context, dir string, progress io.Writer) (*bench.Servers, error) {
	dsn, err := secretFromEnv(databaseURLEnv)
	if err != nil {
		return nil, err
	}
	if dsn != "" {
		return bench.UseServers(ctx, dsn, os.Getenv("KEYTURN_KEYS"))
	}
	return bench.StartServers(ctx, dir, progress)
}

// runBench starts what is needed around the benchmark and prints what it found.
func runBench(ctx context.Context, cmd *cobra.Command, o benchOptions) error {
	progress := cmd.ErrOrStderr()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a, err := makeBenchBed(ctx, o, progress)
	if err != nil {
		return err
	}
	defer func() { _ = a.close() }()
	eager, err := a.benchAPI(ctx, true)
	if err != nil {
		return err
	}
	if o.noEager {
		eager = nil
	}
	if _, _, err := a.db.PutIntegration(ctx,
		keyturn.Integration{
			ID: bench.PartnerID, BaseURL: a.peer.Partner + "/p/bench",
			Limits: keyturn.Limits{MaxConcurrent: 1000, PerSecond: 100000},
		}); err != nil {
		return err
	}
	b := &bench.Bench{
		DB: a.db, Temporal: a.temporal, API: a.api, EagerAPI: eager, TaskQueue: workflows.TaskQueue,
		TemporalPID: a.servers.TemporalPID, PostgresPID: a.servers.PostgresPID,
		Ends: a.ends, Only: o.only, Rounds: o.rounds, Orders: o.orders, AtOnce: o.atOnce, Settle: 1500 * time.Millisecond,
		Progress: progress, Links: a.benchLinks(),
	}
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	report, err := b.Run(ctx)
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	extras := &bench.Extras{}
	err = b.Accept(ctx, extras)
	if err == nil {
		err = b.Pages(ctx, extras)
	}
	if err == nil && o.big > 0 {
		err = b.Big(ctx, o.big, extras)
	}
	if err == nil && o.retries > 0 {
		err = b.Retries(ctx, o.retries, extras)
	}
	if err != nil {
		return err
	}
	return show(cmd, struct {
		*bench.Report
		Extras *bench.Extras `json:"extras"`
	}{report, extras}, func(out io.Writer) { report.Print(out); fmt.Fprintln(out); extras.Print(out) })
}

// benchAPI serves the API on a port of its own and gives its client.
func (a *app) benchAPI(ctx context.Context, eager bool) (*client.Client, error) {
	s := starter.New(starter.Config{
		DB: a.db, Temporal: a.temporal, Namespace: a.namespace, Eager: eager,
		Logger: a.logger,
	})
	go s.Run(ctx)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := a.newAPI(s, devToken).Server()
	go func() { _ = server.Serve(l) }()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	// As many connections are kept as orders are under way, so that none is dialled in the measure.
	keep := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}, Timeout: time.Minute}
	return &client.Client{BaseURL: "http://" + l.Addr().String(), Token: devToken, HTTP: keep}, nil
}

func newBenchPeer() *cobra.Command {
	return &cobra.Command{
		Use: "peer", Hidden: true, Short: "Emulate the partner and the mail server for the benchmark", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.ServePeer(cmd.InOrStdin(), cmd.OutOrStdout()) },
	}
}
