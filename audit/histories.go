package audit

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"keyturn.dev/keyturn/workflows"
)

// Temporal warns of histories beyond these, long before it ends their workflows.
const (
	mostEvents = 10_240
	mostBytes  = 10 << 20
)

// readHistories is how many histories are read: those of the lines that were accepted last.
const readHistories = 50

// HeavyWorkflow is one whose history is larger than it should be.
type HeavyWorkflow struct {
	ID            string
	Events, Bytes int64
}

// Histories shows what Temporal keeps of workflows. A Workflows that is this too has more checked.
type Histories interface {
	// Heavy lists the workflows with more events or bytes than these.
	Heavy(ctx context.Context, events, bytes int64) ([]HeavyWorkflow, error)
	// History gives a workflow's history; nil if Temporal has none.
	History(ctx context.Context, workflowID string) (*history.History, error)
}

// checkSamples looks for the secrets of sample lines in the database's readable columns (G1) and events (N3).
func (r *run) checkSamples(ctx context.Context) (err error) {
	r.samples, err = r.canarySamples(ctx, readHistories)
	for _, t := range r.samples {
		r.leaks("G1", t, "a readable column", t.Clear)
		t.Secrets = slices.DeleteFunc(slices.Clone(t.Secrets), func(s textSecret) bool {
			return strings.Contains(t.Named, s.text) // an event may say what the shop itself does
		})
		r.leaks("N3", t, "an event", t.Events)
	}
	return err
}

// checkHistories reads what Temporal keeps of the same lines: it is small (F7), this build can go on with it (F8), and
// nothing of what is secret is in it (G1). A busy Temporal takes its time, and no snapshot of the database waits for
// it.
func (r *run) checkHistories(ctx context.Context) error {
	h, ok := r.Temporal.(Histories)
	if !ok {
		return nil
	}
	heavy, err := h.Heavy(ctx, mostEvents, mostBytes)
	if err != nil {
		return err
	}
	for _, w := range heavy {
		r.found("F7", Violation{Subject: w.ID, What: "its history has " + strconv.FormatInt(w.Events, 10) + " events and " +
			strconv.FormatInt(w.Bytes, 10) + " bytes"})
	}
	replayer := newReplayer()
	for _, t := range r.samples {
		for _, id := range []string{workflows.LineWorkflowID(t.FulfillmentID), workflows.CancelWorkflowID(t.FulfillmentID)} {
			found, err := h.History(ctx, id)
			if err != nil {
				return err
			}
			if found == nil {
				continue
			}
			r.counts[looksHistories]++
			raw, err := proto.Marshal(found)
			if err != nil {
				return err
			}
			r.leaks("G1", t, "the history of "+id, string(raw))
			if !hasBegun(found) {
				continue
			}
			if err := replayer.ReplayWorkflowHistory(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), found); err != nil {
				r.found("F8", Violation{
					OrderID: t.OrderID, LineID: t.LineID, Subject: id,
					What: "this build cannot go on with its history",
				})
			}
		}
	}
	return nil
}

// hasBegun says whether a worker has done anything yet: before that there is nothing to go on with.
func hasBegun(h *history.History) bool {
	return slices.ContainsFunc(h.GetEvents(), func(e *history.HistoryEvent) bool {
		return e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
	})
}

func newReplayer() worker.WorkflowReplayer {
	r := worker.NewWorkflowReplayer()
	for name, fn := range map[string]any{
		"FulfillLineItem": workflows.FulfillLineItem,
		"CancelLineItem":  workflows.CancelLineItem,
	} {
		r.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
	return r
}

// leaks reports secrets of a line that stand in a text where anybody may read them. It names what, and not the secret.
func (r *run) leaks(id string, t canarySample, where, text string) {
	for _, s := range t.Secrets {
		if slices.ContainsFunc(s.encodings(), func(form string) bool { return strings.Contains(text, form) }) {
			r.found(id, Violation{OrderID: t.OrderID, LineID: t.LineID, Subject: where, What: "it holds the " + s.what})
		}
	}
}
