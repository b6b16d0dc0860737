package workflows_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"

	"keyturn.dev/keyturn/worker"
)

// Histories of lines that were on their way, or ended, under earlier versions of the workflows. Lines wait for days, so
// every version must be able to go on where the one before stopped: a change that breaks one of these needs
// workflow.GetVersion.
//
// They are recorded by the tests of the whole. New ones (never in place of old ones) are added with
//
//	mkdir /tmp/histories
//	KEYTURN_RECORD_HISTORIES=/tmp/histories make test PKG=./e2e ARGS=-count=1
//	cp /tmp/histories/NAME.json workflows/testdata/histories/NAME@DATE.json
func TestEveryVersionGoesOnWithTheHistoriesOfTheOnesBefore(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 15)
	replayer := sdkworker.NewWorkflowReplayer()
	worker.RegisterWorkflows(replayer)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
				file))
		})
	}
}
