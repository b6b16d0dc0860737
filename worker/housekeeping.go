package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

// Housekeeping does what no single line is responsible for: it mails alerts to operations, watches pools, and serves
// waiting lines from keys that came back. Any number of processes may do it; each thing is done by one.
type Housekeeping struct {
	DB     *db.DB
	Mail   *mail.Sender
	From   string // sender of alerts
	To     string // operations
	Logger *slog.Logger
	// RenderKeys makes the e-mail with the keys that replace recalled ones, as it is stored.
	RenderKeys func(db.MailFacts) ([]byte, error)
	// RenderLibrary makes the e-mail with a link to a customer's library, as it is stored; nil: none is sent.
	RenderLibrary db.RenderLibraryMail
	// HistoryLink gives the address of an order's workflows in Temporal's Web UI.
	HistoryLink func(orderID string) string
	// EnsureSearchAttributes creates what Temporal's namespace lacks, and names what it still lacks with the command that
	// creates it; nil: nobody asks.
	EnsureSearchAttributes func(context.Context) (missing []string, howTo string, err error)
	Namespace              string        // Temporal's, whose search attributes those are
	Every                  time.Duration // default 1 s

	// Each is of one job.
	looked        time.Time // for forgotten lines
	lookedAtCA    time.Time // for certificates that expire
	lookedAtClock time.Time
	lookedAtOwed  time.Time // for what is owed for too long

	lookedAtLinks, lookedAtPayments, lookedAtEvents, lookedAtBounces time.Time
	lookedAtLibrary, lookedForUntagged                               time.Time

	lookedForEvents  time.Time // that only the clock decides
	lookAtAttributes time.Time // when search attributes are due to be looked at
}

// alertsPerMail bounds one digest, so that ten thousand lines of one partner that is down are some mails, not a flood.
const alertsPerMail = 200

// Jobs do not wait for one another: a mail server that is silent, or a recall of a million keys, holds up nothing else.
// jobsAtOnce bounds how many are under way, and jobTime how long each may take; what is left is for its next round.
const (
	jobsAtOnce = 4
	jobTime    = 40 * time.Second // longer than an e-mail may take
)

// Run goes on until ctx ends.
func (h *Housekeeping) Run(ctx context.Context) {
	if h.Every == 0 {
		h.Every = time.Second
	}
	places := make(chan struct{}, jobsAtOnce)
	var wg sync.WaitGroup
	for _, j := range h.jobs() {
		wg.Go(func() { h.repeat(ctx, j, places) })
	}
	wg.Wait()
}

// repeat does one job over and over, whenever it gets a place.
func (h *Housekeeping) repeat(ctx context.Context, j job, places chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case places <- struct{}{}:
		}
		jobCtx, cancel := context.WithTimeout(ctx, jobTime)
		if err := j.do(jobCtx); err != nil && ctx.Err() == nil {
			h.Logger.Warn("housekeeping failed and goes on", "what", j.what, "error", err)
		}
		cancel()
		<-places
		select {
		case <-ctx.Done():
			return
		case <-time.After(h.Every):
		}
	}
}

type job struct {
	what string
	do   func(context.Context) error
}

func (h *Housekeeping) jobs() []job {
	return []job{
		{"watch pools", h.DB.Stock().WatchPools},
		{"watch certificates", h.watchCertificates},
		{"watch the clock", h.watchClock},
		{"watch what is owed", h.watchOwed},
		{"expire keys", h.expireKeys},
		{"finish recalls", h.finishRecalls},
		{"replace recalled keys", h.replaceKeys},
		{"watch search attributes", h.watchSearchAttributes},
		{"serve waiting lines", h.serve},
		{"wake forgotten lines", h.wakeForgotten},
		{"mail alerts", h.mailAlerts},
		{"expire checkout links", h.expireLinks},
		{"wake forgotten payments", h.wakePayments},
		{"watch for card testing", h.watchCardTesting},
		{"watch for events", h.watchEvents},
		{"send links to libraries", h.sendLibraryLinks},
		{"forget links to libraries", h.forgetLibraryLinks},
		{"tag orders with their e-mail addresses", h.tagOrders},
		{"close alerts of bounces", h.closeBounced},
		{"send e-mails to corrected addresses", h.carryAddresses},
	}
}

// lookOwed is how often it is looked for what is owed for too long.
const lookOwed = time.Minute

func (h *Housekeeping) watchOwed(ctx context.Context) error {
	if time.Since(h.lookedAtOwed) < lookOwed {
		return nil
	}
	h.lookedAtOwed = time.Now()
	return h.DB.WatchOwed(ctx)
}

// A line that is this long overdue has no workflow any more, or one that does not move; looking costs little, and is
// done a few times in that time.
const (
	overdue       = 10 * time.Minute
	lookForgotten = time.Minute
)

// lookAtLinks is how often it is looked for links whose time is over, and for payments that nobody looks at.
const lookAtLinks = 15 * time.Second

func (h *Housekeeping) expireLinks(ctx context.Context) error {
	if time.Since(h.lookedAtLinks) < lookAtLinks {
		return nil
	}
	h.lookedAtLinks = time.Now()
	_, err := h.DB.ExpireLinks(ctx)
	return errors.Join(err, h.DB.ForgetProviderEvents(ctx))
}

// watchEvents tells of what only the clock decides.
func (h *Housekeeping) watchEvents(ctx context.Context) error {
	if time.Since(h.lookedForEvents) < lookAtLinks {
		return nil
	}
	h.lookedForEvents = time.Now()
	return h.DB.WatchEvents(ctx)
}

// closeBounced closes the alerts of e-mails that came back once newer ones have arrived.
func (h *Housekeeping) closeBounced(ctx context.Context) error {
	if time.Since(h.lookedAtBounces) < lookOwed {
		return nil
	}
	h.lookedAtBounces = time.Now()
	return h.DB.CloseBounced(ctx)
}

// carryAddresses makes anew what is to go to addresses that customers gave later.
func (h *Housekeeping) carryAddresses(ctx context.Context) error {
	if h.RenderKeys == nil {
		return nil
	}
	return h.DB.CarryAddresses(ctx, h.RenderKeys)
}

func (h *Housekeeping) wakePayments(ctx context.Context) error {
	if time.Since(h.lookedAtPayments) < lookAtLinks {
		return nil
	}
	h.lookedAtPayments = time.Now()
	n, err := h.DB.WakeForgottenPayments(ctx)
	if n > 0 {
		h.Logger.Warn("payments without a workflow that moves were given to the relay", "payments", n)
	}
	return err
}

func (h *Housekeeping) watchCardTesting(ctx context.Context) error {
	if time.Since(h.lookedAtEvents) < lookAtLinks {
		return nil
	}
	h.lookedAtEvents = time.Now()
	return h.DB.WatchCardTesting(ctx)
}

func (h *Housekeeping) wakeForgotten(ctx context.Context) error {
	if time.Since(h.looked) < lookForgotten {
		return nil
	}
	h.looked = time.Now()
	n, err := h.DB.WakeForgotten(ctx, overdue)
	if n > 0 {
		h.Logger.Warn("lines without a workflow that moves were given to the relay", "lines", n)
	}
	return err
}

// How many keys and lines one round deals with.
const (
	expirePerRound  = 10_000
	replacePerRound = 100
)

// expireKeys takes keys out of the sale of which too little validity is left.
func (h *Housekeeping) expireKeys(ctx context.Context) error {
	_, err := h.DB.Stock().ExpireKeys(ctx, expirePerRound)
	return err
}

// finishRecalls goes on with recalls that broke off.
func (h *Housekeeping) finishRecalls(ctx context.Context) error {
	_, err := h.DB.Stock().FinishRecalls(ctx)
	return err
}

// replaceKeys gives customers of recalled keys new ones.
func (h *Housekeeping) replaceKeys(ctx context.Context) error {
	n, err := h.DB.ReplaceOwed(ctx, replacePerRound, h.RenderKeys)
	if n > 0 {
		h.Logger.Info("customers get new keys for recalled ones", "lines", n)
	}
	return err
}

// importGrace is how long an import serves the waiting lines by itself after it stored its keys.
const importGrace = 5 * time.Second

func (h *Housekeeping) serve(ctx context.Context) error {
	_, err := h.DB.ServeWaiting(ctx, 100, importGrace)
	return err
}

func (h *Housekeeping) mailAlerts(ctx context.Context) error {
	_, err := h.DB.TakeAlerts(ctx, alertsPerMail, func(alerts []db.Alert) error {
		err := h.tell(ctx, alerts)
		if err == nil || keyturn.KindOf(err) == keyturn.KindUnavailable {
			return err
		}
		untold := db.UntoldError{}
		for _, a := range alerts { // one that cannot be mailed keeps none of the others
			if err := h.tell(ctx, []db.Alert{a}); err != nil {
				untold.IDs, untold.Err = append(untold.IDs, a.ID), errors.Join(untold.Err, fmt.Errorf("alert %d: %w", a.ID, err))
			}
		}
		if len(untold.IDs) == 0 {
			return nil
		}
		return &untold
	})
	return err
}

// tell mails a digest of alerts.
func (h *Housekeeping) tell(ctx context.Context, alerts []db.Alert) error {
	alerts = slices.SortedStableFunc(slices.Values(alerts), func(a, b db.Alert) int {
		return slices.Index(keyturn.Severities, a.Cause.Info().Severity) -
			slices.Index(keyturn.Severities, b.Cause.Info().Severity)
	})
	digest := mail.Alert{
		Envelope: mail.Envelope{
			From: h.From, To: h.To, SenderName: "Keyturn", Date: time.Now(),
			MessageID: fmt.Sprintf("alert-%d-%d@keyturn", alerts[0].ID, time.Now().UnixNano()),
		},
		Subject: subjectOf(alerts),
	}
	for _, a := range alerts {
		digest.Entries = append(digest.Entries, h.entry(a))
	}
	message, err := mail.RenderAlert(digest)
	if err != nil {
		return err
	}
	return h.Mail.Send(ctx, message)
}

func subjectOf(alerts []db.Alert) string {
	if len(alerts) == 1 {
		return "Keyturn: " + string(alerts[0].Cause)
	}
	return fmt.Sprintf("Keyturn: %d alerts, first %s", len(alerts), alerts[0].Cause)
}

func (h *Housekeeping) entry(a db.Alert) mail.AlertEntry {
	var d db.AlertDetail
	_ = json.Unmarshal([]byte(a.Detail), &d) // a detail that cannot be read still has its cause
	e := mail.AlertEntry{
		Cause:   fmt.Sprintf("%s (%s)", a.Cause, a.Cause.Info().Severity),
		OrderID: d.OrderID, Product: d.ProductID, Happened: d.Happened,
		Next: a.ToDo(d),
	}
	if a.LineID != nil {
		e.Link = h.HistoryLink(d.OrderID)
		if !a.Cause.Info().ByPerson && a.Cause != keyturn.AlertMoved {
			end := "refunded at %s"
			if d.Uncharged {
				end = "given up at %s, and nothing is charged"
			}
			e.Next = fmt.Sprintf("without a decision the line is "+end+". %s",
				d.GiveUpAt.UTC().Format("2006-01-02 15:04 MST"), e.Next)
		}
	}
	h.Logger.Warn("alert", "cause", a.Cause, "severity", a.Cause.Info().Severity, "orderId", d.OrderID,
		"productId", d.ProductID, "source", d.Source, "fulfillmentId", d.FulfillmentID, "happened", d.Happened)
	return e
}
