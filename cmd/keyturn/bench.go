package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/interceptor"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/cmd/keyturn/bench"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
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
		Long: `Measures an empty workflow, a workflow with one activity, and orders of several shapes, in interleaved rounds of one run,
and prints rates, latencies, CPU per line split by process, history, and the ratios to the floor. Orders come in over
HTTP, partners are called over HTTP and e-mails are sent over SMTP; the partner and the mail server run in a process of
their own, which is not counted.

Without settings it starts a PostgreSQL and a Temporal of its own. With KEYTURN_DATABASE_URL, KEYTURN_KEYS and
TEMPORAL_ADDRESS set it uses those.`,
		Example: "  keyturn bench\n  keyturn bench --rounds 5 --orders 500 --output json\n  keyturn bench --retries 1000 --big 5000",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), cmd, o) },
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

// benchBed is everything around a benchmark: servers, a partner and a mail server in a process of their own, a worker and
// the API in this one.
type benchBed struct {
	*app
	ground *benchGround
	peer   *peer
	ends   *bench.Ends
	api    *client.Client
	worker chan error // what the worker ended with
	cancel context.CancelFunc
}

// close ends the worker first and the servers last.
func (b *benchBed) close() error {
	b.cancel()
	var err error
	if b.worker != nil {
		err = <-b.worker
	}
	b.ground.stop()
	return err
}

func makeBenchBed(ctx context.Context, o benchOptions, progress io.Writer) (_ *benchBed, err error) {
	ground, err := newBenchGround(ctx, o.dir, progress)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	bed := &benchBed{ground: ground, cancel: cancel}
	defer func() {
		if err != nil {
			_ = bed.close()
		}
	}()
	if err = ground.addTemporal(ctx); err != nil {
		return nil, err
	}
	if bed.peer, err = startPeer(ctx); err != nil {
		return nil, err
	}
	ground.stops = append(ground.stops, bed.peer.stop)
	c := config{DatabaseURL: ground.databaseURL, KeysFile: ground.keysFile}
	c.Mail, c.MailFrom, c.MailName, c.Operations = mail.Config{Addr: bed.peer.SMTP, TLS: mail.TLSNone, MaxConns: 20}, "keys@bench.test", "Bench", "ops@bench.test"
	c.PublicURL = "http://127.0.0.1"
	if bed.app, err = newApp(ctx, c, newLogger(false, slog.LevelError)); err != nil {
		return nil, err
	}
	ground.stops = append(ground.stops, bed.app.close)
	bed.ends = bench.NewEnds()
	w := worker.New(bed.temporal, bed.acts, worker.Options{Interceptors: []interceptor.WorkerInterceptor{bed.ends}})
	bench.RegisterFloors(w)
	bed.worker = make(chan error, 1)
	go func() { bed.worker <- worker.Run(ctx, w, bed.acts, bed.housekeeping()) }()
	bed.api, err = bed.benchAPI(ctx, false)
	return bed, err
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
	if _, _, err := a.db.PutIntegration(ctx, keyturn.Integration{ID: bench.PartnerID, BaseURL: a.peer.Partner + "/p/bench", Limits: keyturn.Limits{MaxConcurrent: 1000, PerSecond: 100000}}); err != nil {
		return err
	}
	b := &bench.Bench{
		DB: a.db, Temporal: a.temporal, API: a.api, EagerAPI: eager, TaskQueue: workflows.TaskQueue, TemporalPID: a.ground.temporalPID, PostgresPID: a.ground.postgresPID,
		Ends: a.ends, Only: o.only, Rounds: o.rounds, Orders: o.orders, AtOnce: o.atOnce, Settle: 1500 * time.Millisecond, Progress: progress,
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
	s := starter.New(starter.Config{DB: a.db, Temporal: a.temporal, Namespace: a.namespace, Eager: eager, Logger: a.logger})
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

// peer is the process that plays partner and mail server.
type peer struct {
	Partner string `json:"partner"`
	SMTP    string `json:"smtp"`
	cmd     *exec.Cmd
	stdin   io.Closer
}

func startPeer(ctx context.Context) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &peer{cmd: exec.CommandContext(ctx, self, "bench", "peer")} //nolint:gosec // ourselves
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the bench's partner did not start: %w", err)
	}
	return p, json.Unmarshal(line, p)
}

func (p *peer) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
}

func newBenchPeer() *cobra.Command {
	return &cobra.Command{Use: "peer", Hidden: true, Short: "Emulate the partner and the mail server for the benchmark", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		mailbox := inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", MaxMessages: 100})
		if err := mailbox.Start(); err != nil {
			return err
		}
		partner := emulator.New(emulator.Config{Addr: "127.0.0.1:0", Cheap: true})
		if err := partner.Start(); err != nil {
			return err
		}
		line, err := json.Marshal(peer{Partner: partner.URL(), SMTP: mailbox.SMTPAddr()})
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), string(line))
		_, _ = io.Copy(io.Discard, os.Stdin) // until the bench ends
		_ = partner.Close()
		return mailbox.Close()
	}}
}
