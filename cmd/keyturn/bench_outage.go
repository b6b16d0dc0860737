package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/cmd/keyturn/bench"
	"keyturn.dev/keyturn/devstack/emulator"
)

func newBenchOutage() *cobra.Command {
	o := bench.Outage{}
	dir := ""
	cmd := &cobra.Command{
		Use: "outage", Short: "Measure an outage of a partner with thousands of waiting lines, and its recovery",
		Long: `Sells at one partner at a steady rate all the time: first alone, then, as is usual, with another partner beside it. Then the
other one is down while its orders come in; their lines wait. Then it comes back. The report says whether its limits were
kept in any stretch of a second, whether the oldest lines were served first, how long it took, and what the first
partner's customers noticed of all this: the 99th percentile from order to delivery, alone, before the outage, while the
lines waited, and while they were served.

The exit code is 1 if a limit was exceeded, a line was not delivered, lines overtook others by more than the runway
allows, or the other partner's 99th percentile rose to more than 1.5 times of what it was before the outage, with both partners
selling.`,
		Example: "  keyturn bench outage\n  keyturn bench outage --lines 1000 --per-second 50 --fault timeout-after-issuing --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			bed, err := makeBenchBed(ctx, benchOptions{dir: dir}, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { _ = bed.close() }()
			o.Bench = &bench.Bench{DB: bed.db, Temporal: bed.temporal, API: bed.api, Ends: bed.ends, TemporalPID: bed.ground.temporalPID, PostgresPID: bed.ground.postgresPID, Progress: cmd.ErrOrStderr()}
			o.Partner = remotePartner{bed.peer.Partner}
			report, err := o.Run(ctx)
			if err != nil {
				return err
			}
			if err := show(cmd, report, func(w io.Writer) { report.Print(w) }); err != nil {
				return err
			}
			if len(report.Failed) > 0 {
				return keyturn.Errorf(keyturn.KindConflict, "not as it should be: %s", strings.Join(report.Failed, "; "))
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Lines, "lines", 10_000, "lines waiting for the failing partner")
	cmd.Flags().Float64Var(&o.PerSecond, "per-second", 20, "calls per second that it allows")
	cmd.Flags().IntVar(&o.MaxConcurrent, "max-concurrent", 10, "concurrent calls that it allows")
	cmd.Flags().StringVar(&o.Fault, "fault", "status:503", "how it fails: a drill of the emulator, such as down, status:503 or timeout-after-issuing")
	cmd.Flags().Float64Var(&o.Sales, "sales", 4, "orders per second at the other partner")
	cmd.Flags().Float64Var(&o.Usual, "usual", 10, "orders per second at the failing partner before the outage")
	cmd.Flags().Float64Var(&o.Intake, "intake", 20, "orders per second at the failing partner during the outage, until all are placed")
	cmd.Flags().DurationVar(&o.Phase, "phase", time.Minute, "duration of each phase: the other partner alone, before the outage, and during it")
	cmd.Flags().StringVar(&dir, "data-dir", "", "directory of the embedded servers; default: a temporary one")
	return cmd
}

// remotePartner plays partners in the process of the bench's peer.
type remotePartner struct{ url string }

func (r remotePartner) URL(name string) string { return r.url + "/p/" + name }

func (r remotePartner) Drill(ctx context.Context, name, drill string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/_emulator/partners/"+name+"/drill", strings.NewReader(url.Values{"drill": {drill}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("the emulator did not take the drill %s: HTTP %d", drill, resp.StatusCode)
	}
	return nil
}

func (r remotePartner) Stats(ctx context.Context, name string) (emulator.Stats, error) {
	var view struct {
		Stats emulator.Stats `json:"stats"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/_emulator/partners/"+name, http.NoBody)
	if err != nil {
		return view.Stats, err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return view.Stats, err
	}
	defer func() { _ = resp.Body.Close() }()
	return view.Stats, json.NewDecoder(resp.Body).Decode(&view)
}
