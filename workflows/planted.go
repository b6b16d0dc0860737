package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn/oracle"
)

// planted does what a build with one of two bugs does besides its work; every other build does nothing here.
func planted(ctx workflow.Context) error {
	if oracle.Is(oracle.HistoryGrows) {
		for range 8 {
			workflow.SideEffect(ctx, func(workflow.Context) any { return strings.Repeat("x", 1_500_000) })
			if err := workflow.Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	}
	if oracle.Is(oracle.OtherwiseOnReplay) && !workflow.IsReplaying(ctx) {
		return workflow.Sleep(ctx, time.Millisecond)
	}
	return nil
}
