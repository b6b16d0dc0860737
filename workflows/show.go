package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keyturn.dev/keyturn"
)

// show tells people who have only Temporal's Web UI where the line stands: search attributes from the first failure on,
// one upsert per change, and current details, which cost nothing.
func (f *fulfillment) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, f.details(workflow.Now(ctx)))
	trouble := f.next.Status.InTrouble() || f.next.Status == keyturn.LineCanceling || f.next.Do == keyturn.DoAwait
	if !trouble && !f.shown || f.shown && f.shownAs == f.next.Status && f.shownFrom == f.next.Source {
		return
	}
	updates := []temporal.SearchAttributeUpdate{
		LineStatusKey.ValueSet(string(f.next.Status)), NeedsAttentionKey.ValueSet(trouble),
	}
	if f.next.Source != f.in.Next.Source {
		updates = append(updates, SourceKey.ValueSet(f.next.Source))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes were not set", "error", err)
		return
	}
	f.shown, f.shownAs, f.shownFrom = true, f.next.Status, f.next.Source
}

// details is the line's story in Markdown. Its times are by Temporal's clock, as all others in Temporal's Web UI.
func (f *fulfillment) details(now time.Time) string {
	var b strings.Builder
	row := func(label, value string) {
		if value != "" {
			fmt.Fprintf(&b, "| **%s** | %s |\n", label, value)
		}
	}
	b.WriteString("| | |\n|---|---|\n")
	row("Status", string(f.next.Status))
	row("Order", f.in.OrderID)
	row("Product", f.in.ProductID)
	row("Source", f.next.Source)
	if f.next.Attempts > 0 {
		row("Tried", fmt.Sprintf("%d times when last seen here; pending activities show the count of now", f.next.Attempts))
	}
	if e := f.next.Failure; e != nil {
		row("Went wrong", fmt.Sprintf("%s: %s ", e.Kind, e.Message))
	}
	row("Next", f.plan()+f.when(now))
	if f.next.Left > 0 && f.next.Do != keyturn.DoRefund {
		row("Deadline", clock(now.Add(time.Duration(f.next.Left)))+": delivered by then, or refunded")
	}
	switch {
	case f.next.Status == keyturn.LineCanceling && f.next.Do == keyturn.DoAwait:
		b.WriteString("\nTo confirm: `keyturn order refund-confirm " + f.in.FulfillmentID +
			" --reference … --reason …`, once the money was given back.\n")
	case f.next.Status.InTrouble() || f.next.Do == keyturn.DoAwait:
		b.WriteString("\nTo decide: signal or Update `resolve` with `{\"action\": \"retry\"}`, `refund`, `hold`, `release` " +
			"or `extend` (with `until`); keys are supplied with `keyturn resolve " + f.in.FulfillmentID + " supply`.\n")
	}
	return b.String()
}

// plan says what the line does next.
func (f *fulfillment) plan() string {
	switch f.next.Do {
	case keyturn.DoClaim:
		return "claim keys from " + f.next.Source
	case keyturn.DoCall:
		return "call " + f.next.Source
	case keyturn.DoApply:
		return "update the licence"
	case keyturn.DoQueue:
		return "wait until the operations before it on the same licence are decided"
	case keyturn.DoCapture:
		return "take the money that is authorized, then deliver the key that is in hand"
	case keyturn.DoDeliver:
		return "send the e-mail with the keys"
	case keyturn.DoAwait:
		if f.next.Status == keyturn.LineCanceling {
			return "wait until somebody has given the money back and confirms it"
		}
		return "wait for a person's decision"
	case keyturn.DoRefund:
		return "refund the customer"
	case keyturn.DoNothing:
	}
	return "nothing: the line is decided"
}

// when says when that is due.
func (f *fulfillment) when(now time.Time) string {
	at := clock(now.Add(time.Duration(f.next.Wait)))
	switch {
	case f.next.Wait == 0 || f.next.Do == keyturn.DoQueue,
		f.next.Do == keyturn.DoAwait && f.next.Status == keyturn.LineCanceling:
		return ""
	case f.next.Do == keyturn.DoAwait:
		return " until " + at
	}
	if f.next.Status.InTrouble() { // the server repeats the activity from then on, and this text is not written again
		return ", first at " + at + "; each later time is under Pending Activities"
	}
	return " at " + at
}

func (f *fulfillment) waitSummary() string {
	switch f.next.Do { //nolint:exhaustive // the others wait for their next attempt
	case keyturn.DoAwait:
		return "wait for a person"
	case keyturn.DoQueue:
		return "wait for the operations before it"
	}
	return "until the next attempt: " + f.plan()
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
