package main

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/bench"
)

func newBenchOutage() *cobra.Command {
	o := bench.Outage{}
	dir := ""
	cmd := &cobra.Command{
		Use: "outage", Short: "Measure an outage of a partner with thousands of waiting lines, and its recovery",
		Long: `Sells through one partner at a steady rate throughout: first alone, then beside a second partner.
The second partner goes down while its orders keep coming and its lines wait; then it recovers. The
report says whether its limits held in every window of a second, whether the oldest lines were
served first, how long the recovery took, and what customers of the first partner noticed: the 99th
percentile from order to delivery, alone, before the outage, during it, and during the recovery.

The exit status is 1 if a limit was exceeded, a line was not delivered, a line overtook others by
more than the dispatch horizon allows, or the first partner's 99th percentile exceeded 1.5 times its
value before the outage, with both partners selling.`,
		Example: "  keyturn bench outage\n  keyturn bench outage --lines 1000 --per-second 50 --fault " +
			"timeout-after-issuing --output json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			bed, err := makeBenchBed(ctx, benchOptions{dir: dir}, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { _ = bed.close() }()
			o.Bench = &bench.Bench{
				DB: bed.db, Temporal: bed.temporal, API: bed.api, Ends: bed.ends,
				TemporalPID: bed.servers.TemporalPID, PostgresPID: bed.servers.PostgresPID, Progress: cmd.ErrOrStderr(),
			}
			o.Partner = bed.peer
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
	cmd.Flags().StringVar(&o.Fault, "fault", "status:503",
		"how it fails: a drill of the emulator, such as down, status:503 or timeout-after-issuing")
	cmd.Flags().Float64Var(&o.Sales, "sales", 4, "orders per second at the other partner")
	cmd.Flags().Float64Var(&o.Usual, "usual", 10, "orders per second at the failing partner before the outage")
	cmd.Flags().Float64Var(&o.Intake, "intake", 20,
		"orders per second at the failing partner during the outage, until all are placed")
	cmd.Flags().DurationVar(&o.Phase, "phase", time.Minute,
		"duration of each phase: the other partner alone, before the outage, and during it")
	cmd.Flags().StringVar(&dir, "data-dir", "", "directory of the embedded servers; default: a temporary one")
	return cmd
}
