// Package worker registers Keyturn's workflows and activities and runs them.
package worker

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/workflows"
)

// Options of a worker process.
type Options struct {
	TaskQueue string // default: workflows.TaskQueue
	// Deployment and BuildID switch worker versioning on (both or none). Lines wait for days, so a new build takes over
	// the lines of the old one (auto-upgrade); the replay corpus proves that it can.
	Deployment, BuildID string
	Interceptors        []interceptor.WorkerInterceptor // for measuring
	Slots               int                             // activities at the same time; default: defaultSlots
}

// stopTimeout lets a running call or e-mail end: it is longer than both's own deadlines.
const stopTimeout = 40 * time.Second

// deadlockTimeout is when a workflow that does not yield is taken for stuck. Ours never compute; on a machine whose
// processors are all taken, the default of one second gives false alarms, each of which costs a workflow task.
const deadlockTimeout = 5 * time.Second

// cachedWorkflows is how many workflows a process keeps in memory between their tasks. Some hundred are at work at a
// time; those that wait for days cost memory for nothing, and their short histories are read again in one request.
const cachedWorkflows = 2000

// New makes a worker that serves all workflows and activities. The caller starts and stops it.
func New(c client.Client, acts *activities.Activities, o Options) worker.Worker {
	if o.TaskQueue == "" {
		o.TaskQueue = workflows.TaskQueue
	}
	if o.Slots == 0 {
		o.Slots = defaultSlots
	}
	opts := worker.Options{
		WorkerStopTimeout: stopTimeout,
		Interceptors: append([]interceptor.WorkerInterceptor{newSourceLimits(o.Slots), &heartbeats{}},
			o.Interceptors...),

		MaxConcurrentActivityExecutionSize: o.Slots,

		MaxHeartbeatThrottleInterval: beatEvery,
		DisableRegistrationAliasing:  true,
		DeadlockDetectionTimeout:     deadlockTimeout,
		WorkflowTaskPollerBehavior:   pollers(4, 2),
		ActivityTaskPollerBehavior:   pollers(2, 1),
	}
	if o.Deployment != "" {
		opts.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning:             true,
			Version:                   worker.WorkerDeploymentVersion{DeploymentName: o.Deployment, BuildID: o.BuildID},
			DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		}
	}
	worker.SetStickyWorkflowCacheSize(cachedWorkflows) // of the process; the first worker's start makes the cache
	w := worker.New(c, o.TaskQueue, opts)
	Register(w, acts)
	return w
}

const callEndpoint = "CallEndpoint"

// Register registers everything under its published name; tests and the replayer use it too.
func Register(r worker.Registry, acts *activities.Activities) {
	RegisterWorkflows(r)
	for name, fn := range map[string]any{
		"ClaimKeys": acts.ClaimKeys, callEndpoint: acts.CallEndpoint, "UpdateLicense": acts.UpdateLicense,
		"SendEmail": acts.SendEmail,
		"Refund":    acts.Refund, "ReviewLine": acts.ReviewLine, "RecordDecision": acts.RecordDecision,
		"CancelAtPartner": acts.CancelAtPartner, "SendFollowUpEmail": acts.SendFollowUpEmail,
		"CapturePayment": acts.CapturePayment, "ReviewPayment": acts.ReviewPayment, "OpenSession": acts.OpenSession,
		"RetrievePayment": acts.RetrievePayment, "ExpireSession": acts.ExpireSession, "VoidPayment": acts.VoidPayment,
		"RefundPayment":    acts.RefundPayment,
		"SendPaymentEmail": acts.SendPaymentEmail, "FollowPayment": acts.FollowPayment,
	} {
		r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}

// RegisterWorkflows registers the workflows alone, for the replayer.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	for name, fn := range map[string]any{
		"FulfillLineItem": workflows.FulfillLineItem, "CancelLineItem": workflows.CancelLineItem,
		"CancelAtPartner": workflows.CancelAtPartner, "SendFollowUpEmail": workflows.SendFollowUpEmail,
		"AuditBooks": workflows.AuditBooks, "SettlePayment": workflows.SettlePayment,
		"FollowPayment": workflows.FollowPayment,
	} {
		r.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
}

// Run runs the worker and its housekeeping until ctx ends, then lets what runs come to its end.
func Run(ctx context.Context, w worker.Worker, acts *activities.Activities, h *Housekeeping) error {
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	defer acts.Wait()
	defer w.Stop()
	h.Run(ctx)
	return nil
}

// pollers lets the SDK choose how many polls are open, beginning with initial.
func pollers(initial, minimum int) worker.PollerBehavior {
	return worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{
		InitialNumberOfPollers: initial, MinimumNumberOfPollers: minimum, MaximumNumberOfPollers: 20,
	})
}
