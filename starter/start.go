package starter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// Starter starts the workflows of accepted lines, and relays what transactions left to be started: after a crash or
// while Temporal is down nothing is lost, because the database knows what is due.
type Starter struct {
	db        *db.DB
	temporal  client.Client
	taskQueue string
	namespace string
	eager     bool
	logger    *slog.Logger

	offers chan db.Start
	wake   chan struct{}
}

// Config says how workflows are started.
type Config struct {
	DB        *db.DB
	Temporal  client.Client
	TaskQueue string // default: workflows.TaskQueue
	Namespace string // Temporal's; default: default
	// Eager lets a worker in this process take the first workflow task along with the answer to the start.
	Eager  bool
	Logger *slog.Logger
}

const (
	startersAtOnce = 32   // starts under way at the same time
	offersWaiting  = 4096 // further ones wait here; what does not fit, the relay starts ten seconds later
	relayEvery     = 500 * time.Millisecond
	relayChunk     = 200
	startTimeout   = 10 * time.Second
)

// New makes a starter; Run makes it work.
func New(c Config) *Starter {
	if c.TaskQueue == "" {
		c.TaskQueue = workflows.TaskQueue
	}
	if c.Namespace == "" {
		c.Namespace = "default"
	}
	return &Starter{
		db: c.DB, temporal: c.Temporal, taskQueue: c.TaskQueue, namespace: c.Namespace, eager: c.Eager, logger: c.Logger,
		offers: make(chan db.Start, offersWaiting), wake: make(chan struct{}, 1),
	}
}

// Enqueue hands over lines that were just accepted. It never blocks: what does not fit, the relay starts a little
// later.
func (s *Starter) Enqueue(starts []db.Start) {
	for _, start := range starts {
		select {
		case s.offers <- start:
		default:
			return
		}
	}
}

// Wake has the relay look at once, because a transaction left something to start.
func (s *Starter) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run starts what is offered, relays what is due and dispatches lines whose turn at their partner comes, until ctx
// ends.
func (s *Starter) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(ctx) })
	wg.Go(func() { s.relayLoop(ctx) })
	wg.Go(func() { s.dispatchLoop(ctx) })
	wg.Wait()
}

// Serve starts what is offered, and no more, until ctx ends: for a process beside those whose starters run.
func (s *Starter) Serve(ctx context.Context) {
	var wg sync.WaitGroup
	for range startersAtOnce {
		wg.Go(func() { s.serveOffers(ctx) })
	}
	wg.Wait()
}

func (s *Starter) serveOffers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case start := <-s.offers:
			if err := s.startLine(ctx, start); err != nil && ctx.Err() == nil {
				s.logger.Warn("a workflow was not started; the relay will", "fulfillmentId", start.FulfillmentID, "error", err)
			}
		}
	}
}

// errRunning says that the workflow is there already.
var errRunning = errors.New("the workflow runs already")

// startLine starts a line's workflow. The database decides what a line needs, so a second start does no harm: the ID
// keeps two from running at once, and a finished line answers "nothing".
func (s *Starter) startLine(ctx context.Context, start db.Start) error {
	in := workflows.LineInput{
		FulfillmentID: start.FulfillmentID, LineID: start.LineID, OrderID: start.OrderID,
		ProductID: start.ProductID, Next: start.Next,
	}
	o := s.options(workflows.LineWorkflowID(start.FulfillmentID), "order "+start.OrderID+": "+start.ProductID)
	o.StaticDetails = details(start)
	o.EnableEagerStart = s.eager
	o.TypedSearchAttributes = temporal.NewSearchAttributes(
		workflows.OrderIDKey.ValueSet(start.OrderID), workflows.ProductIDKey.ValueSet(start.ProductID),
		workflows.SourceKey.ValueSet(start.Next.Source))
	return s.start(ctx, o, "FulfillLineItem", in)
}

// details is what the line was promised when its workflow started, in Markdown, for Temporal's Web UI.
func details(start db.Start) string {
	return fmt.Sprintf(`| | |
|---|---|
| **Order** | %s |
| **Product** | %s |
| **Failed steps are tried again after** | %s |
| **Deadline** | %s: %s after the order, delivered by then or refunded |
`, start.OrderID, start.ProductID, start.Retry, start.GiveUpAt.UTC().Format("2006-01-02 15:04:05 UTC"), start.Retry.GiveUpAfter)
}

func (s *Starter) options(id, summary string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: id, TaskQueue: s.taskQueue, StaticSummary: summary,
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}
}

func (s *Starter) start(ctx context.Context, o client.StartWorkflowOptions, workflow string, in any) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := s.temporal.ExecuteWorkflow(ctx, o, workflow, in)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return errRunning
	}
	return err
}

// startEntry starts what an outbox entry names.
func (s *Starter) startEntry(ctx context.Context, d db.Due) error {
	var err error
	switch d.Workflow {
	case db.WorkflowTurn:
		defer s.Wake() // what it wakes is due at once
		time.AfterFunc(db.TurnEvery, s.Wake)
		return s.db.TakeTurn(ctx, d)
	case db.WorkflowWake:
		return s.wakeWorkflows(ctx, d.Subject)
	case db.WorkflowLicense:
		defer s.Wake() // what may begin now is due at once
		return s.db.AdvanceLicense(ctx, d.Subject)
	case db.WorkflowCancel:
		in := workflows.LineInput{
			FulfillmentID: d.Subject,
			Next:          keyturn.Next{Do: keyturn.DoRefund, Status: keyturn.LineCanceling},
		}
		o := s.options(workflows.CancelWorkflowID(d.Subject), "take back a delivered line")
		if start, lineErr := s.db.StartOf(ctx, d.Subject); lineErr == nil {
			in.LineID, in.OrderID, in.ProductID = start.LineID, start.OrderID, start.ProductID
			o.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.OrderIDKey.ValueSet(start.OrderID),
				workflows.ProductIDKey.ValueSet(start.ProductID))
		}
		err = s.start(ctx, o, "CancelLineItem", in)
	case db.WorkflowRevoke:
		fulfillmentID, source, _ := strings.Cut(d.Subject, "/")
		err = s.start(ctx, s.options(workflows.RevokeWorkflowID(d.Subject), "tell "+source+" to cancel"), "CancelAtPartner",
			activities.Revocation{FulfillmentID: fulfillmentID, Source: source})
	case db.WorkflowPayment:
		return s.startOrWakePayment(ctx, d.Subject)
	case db.WorkflowFollow:
		return s.startOrWakeFollow(ctx, d.Subject)
	case db.WorkflowSend:
		err = s.start(ctx, s.options(workflows.SendWorkflowID(d.Subject), "send a stored e-mail"), "SendFollowUpEmail",
			activities.Sending{DeliveryID: d.Subject})
	default:
		return fmt.Errorf("the outbox names an unknown workflow %q", d.Workflow)
	}
	if errors.Is(err, errRunning) {
		return nil
	}
	return err
}

// wakeWorkflows tells the workflows of a line that somebody else has ended it. One that is gone needs no telling.
func (s *Starter) wakeWorkflows(ctx context.Context, fulfillmentID string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, id := range []string{workflows.LineWorkflowID(fulfillmentID), workflows.CancelWorkflowID(fulfillmentID)} {
		err := s.temporal.SignalWorkflow(ctx, id, "", workflows.WakeName, nil)
		if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
			return err
		}
	}
	return nil
}

// startOrWakeFollow starts the workflow that follows a payment which orders came in paid with, or has the one that runs
// ask again.
func (s *Starter) startOrWakeFollow(ctx context.Context, subject string) error {
	provider, reference, _ := strings.Cut(subject, "/")
	orders, err := s.db.OrdersPaidWith(ctx, provider, reference)
	if err != nil || len(orders) == 0 {
		return err
	}
	o := s.options(workflows.FollowWorkflowID(subject), "payment that came with order "+orders[0])
	o.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.OrderIDKey.ValueSet(orders[0]))
	err = s.start(ctx, o, "FollowPayment", activities.PaidOrders{Provider: provider, Reference: reference})
	if !errors.Is(err, errRunning) {
		return err
	}
	return s.wakeRunning(ctx, o.ID)
}

// startOrWakePayment starts a payment's workflow, or tells the one that runs to look at the database.
func (s *Starter) startOrWakePayment(ctx context.Context, paymentID string) error {
	f, err := s.db.PaymentPlace(ctx, paymentID)
	if err != nil {
		return err
	}
	o := s.options(workflows.PaymentWorkflowID(paymentID), "payment of checkout link "+f.LinkID)
	o.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.OrderIDKey.ValueSet(f.OrderID))
	err = s.start(ctx, o, "SettlePayment", workflows.PaymentInput{PaymentID: paymentID, LinkID: f.LinkID})
	if !errors.Is(err, errRunning) {
		return err
	}
	return s.wakeRunning(ctx, o.ID)
}
