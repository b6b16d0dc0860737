package audit

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// listedFor is how far back the lists of processors are read unless the evidence says otherwise.
const listedFor = 4 * 24 * time.Hour

// clocksApart is how much later than its row here something may seem to have been made at a processor, or earlier.
const clocksApart = time.Hour

// providerLists are the lists of one processor.
type providerLists struct {
	provider string
	books    keyturn.ProcessorBooks
}

// readProcessors reads the lists of all processors that have any. One that does not answer leaves P5 and P8 in part
// unchecked: everything else is checked all the same.
func (r *run) readProcessors(ctx context.Context) {
	since := r.seen.Add(-r.ProcessorsFor - clocksApart)
	for _, name := range slices.Sorted(maps.Keys(r.Processors)) {
		watcher, ok := r.Processors[name].(payment.Watcher)
		if !ok {
			continue
		}
		books, err := watcher.Books(ctx, since)
		if err != nil {
			r.unread = append(r.unread, name+" did not answer ("+string(keyturn.KindOf(err))+")")
			continue
		}
		r.listed = append(r.listed, providerLists{name, books})
		r.counts[looksListed] += int64(len(books.Payments) + len(books.Open) + len(books.Refunds) + len(books.Disputes) +
			len(books.Warnings))
	}
}

// checkProcessors compares the lists of processors with our rows, both ways.
func (r *run) checkProcessors(ctx context.Context) error {
	for _, l := range r.listed {
		args := l.args()
		args["provider"], args["from"] = l.provider, r.seen.Add(-r.ProcessorsFor)
		for _, look := range processorProbes {
			if err := r.probe(ctx, probe{look.id, processorLists + look.query}, args); err != nil {
				return err
			}
		}
	}
	if len(r.unread) == 0 {
		return nil
	}
	r.report.Evidence = slices.DeleteFunc(r.report.Evidence, func(e string) bool { return e == string(needProcessors) })
	for _, id := range []string{"P5", "P8"} {
		r.report.Result(id).NotChecked = "in part: " + strings.Join(r.unread, ", ")
	}
	return nil
}

// args are the lists as arrays. What names us and no payment of ours has no ID.
func (l providerLists) args() map[string]any {
	uuid := func(id string) *string {
		if !keyturn.ValidPaymentID(id) {
			return nil
		}
		return &id
	}
	var made struct {
		ids, refs, status, currency []*string
		blocked, taken              []int64
	}
	for _, p := range l.books.Payments {
		status, currency := string(p.Status), p.Captured.Currency
		made.ids, made.refs, made.status = append(made.ids, uuid(p.ID)), append(made.refs, &p.Reference),
			append(made.status, &status)
		made.currency = append(made.currency, &currency)
		made.blocked, made.taken = append(made.blocked, p.Authorized.Minor), append(made.taken, p.Captured.Minor)
	}
	var open struct{ ids, refs []*string }
	for _, s := range l.books.Open {
		open.ids, open.refs = append(open.ids, uuid(s.ID)), append(open.refs, &s.Reference)
	}
	var given struct {
		ids, owners, refs, currency []*string
		minor                       []int64
		failed                      []bool
		at                          []time.Time
	}
	for _, x := range l.books.Refunds {
		given.ids, given.owners, given.refs = append(given.ids, &x.ID), append(given.owners, uuid(x.OurID)),
			append(given.refs, &x.Reference)
		given.currency, given.minor = append(given.currency, &x.Amount.Currency), append(given.minor, x.Amount.Minor)
		given.failed, given.at = append(given.failed, x.Failed), append(given.at, x.At)
	}
	var after struct {
		ids, refs, status []*string
		at                []time.Time
	}
	for _, d := range l.books.Disputes {
		status := string(d.Status)
		after.ids, after.refs, after.status = append(after.ids, &d.ID), append(after.refs, &d.Reference),
			append(after.status, &status)
		after.at = append(after.at, d.At)
	}
	for _, w := range l.books.Warnings {
		after.ids, after.refs, after.status = append(after.ids, &w.ID), append(after.refs, &w.Reference),
			append(after.status, nil)
		after.at = append(after.at, w.At)
	}
	return map[string]any{
		"m_ids": pq.Array(made.ids), "m_refs": pq.Array(made.refs), "m_status": pq.Array(made.status),
		"m_currency": pq.Array(made.currency), "m_blocked": pq.Array(made.blocked), "m_taken": pq.Array(made.taken),
		"o_ids": pq.Array(open.ids), "o_refs": pq.Array(open.refs),
		"g_ids": pq.Array(given.ids), "g_owners": pq.Array(given.owners), "g_refs": pq.Array(given.refs),
		"g_currency": pq.Array(given.currency), "g_minor": pq.Array(given.minor), "g_failed": pq.Array(given.failed),
		"g_at":  pq.Array(given.at),
		"a_ids": pq.Array(after.ids), "a_refs": pq.Array(after.refs), "a_status": pq.Array(after.status),
		"a_at": pq.Array(after.at),
	}
}
