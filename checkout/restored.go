package checkout

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/payment"
)

// listTime is how long a processor's lists may take after a restore.
const listTime = 30 * time.Minute

// Abroad is what a processor has that a restored database does not.
type Abroad struct {
	Provider string
	Missing  []db.MissingMoney // of payments that are not here

	desk       *Desk
	compared   db.BooksCompared
	given, let []keyturn.Money
}

// Abroad asks every processor that can be asked for all that was made since a time, and compares it with the database.
// It changes nothing.
func (k *Desk) Abroad(ctx context.Context, since time.Time) (all []*Abroad, err error) {
	for _, name := range slices.Sorted(maps.Keys(k.Processors)) {
		watcher, ok := k.Processors[name].(payment.Watcher)
		if !ok {
			continue
		}
		callCtx, cancel := context.WithTimeout(ctx, listTime)
		books, err := watcher.Books(callCtx, since)
		cancel()
		if err != nil {
			return nil, keyturn.Errorf(keyturn.KindOf(err), "the payment provider %s did not say what it has: %w", name, err)
		}
		compared, err := k.DB.CompareBooks(ctx, name, books)
		if err != nil {
			return nil, err
		}
		all = append(all, &Abroad{Provider: name, Missing: compared.Missing(books.Refunds), desk: k, compared: compared})
	}
	return all, nil
}

// Settle brings the payments of orders that are here to where their processor has them. It comes before the outcomes of
// lines: what was refunded since is then given up as what was charged, and its refund is found.
func (a *Abroad) Settle(ctx context.Context) error {
	for _, p := range a.compared.Behind {
		if !p.Ordered {
			continue
		}
		if _, err := a.desk.Look(ctx, p.ID); err != nil {
			return err
		}
	}
	return nil
}

// AddOutcomes adds to the outcomes of workflows what the processor knows of lines: that they were refunded.
func (a *Abroad) AddOutcomes(ctx context.Context, known []db.WorkflowOutcome) ([]db.WorkflowOutcome, error) {
	refunded, err := a.desk.DB.RefundedOutcomes(ctx, a.compared.Refunds)
	for _, r := range refunded {
		at := slices.IndexFunc(known, func(k db.WorkflowOutcome) bool { return k.FulfillmentID == r.FulfillmentID })
		if at < 0 {
			known = append(known, r)
		} else {
			known[at].Status = r.Status
		}
	}
	return known, err
}

// CatchUp has everything looked at that is behind, once workers run, and ends the sessions of payments that are not
// here: whoever paid them would get nothing.
func (a *Abroad) CatchUp(ctx context.Context) error {
	for _, s := range a.compared.Open {
		at := payment.Ref{PaymentID: s.ID, SessionReference: s.Reference}
		if _, err := a.desk.Processors[a.Provider].Expire(ctx, at); err != nil {
			return err
		}
	}
	return a.desk.catchUp(ctx, a.Provider, a.compared)
}

// GiveBack gives everything back that is missing here, and alerts. orders are those that payments were for, as far as
// that is known. Repeated, it gives nothing back twice: a refund of the payment is looked for first.
func (a *Abroad) GiveBack(ctx context.Context, orders map[string]string) error {
	a.given, a.let = nil, nil
	for _, x := range a.Missing {
		if err := a.giveBack(ctx, x, orders[x.ID]); err != nil {
			return err
		}
		a.given, a.let = append(a.given, x.Left), append(a.let, x.Authorized)
	}
	return nil
}

func (a *Abroad) giveBack(ctx context.Context, x db.MissingMoney, orderID string) error {
	at := payment.Ref{PaymentID: x.ID, PaymentReference: x.Reference}
	if x.Authorized.Minor > 0 {
		if _, err := a.desk.Processors[a.Provider].Void(ctx, at, "void-"+x.ID+"-restored"); err != nil {
			return err
		}
	}
	if x.Left.Minor > 0 {
		_, err := a.desk.Providers.Repay(ctx, a.Provider, payment.Refund{
			ID: x.ID, Reference: x.Reference, OrderID: orderID, Amount: x.Left,
		}, "refund-"+x.ID, payment.Repetition{No: 1}, nil)
		if _, underWay := errors.AsType[*payment.RefundError](err); err != nil && !underWay {
			return err
		}
	}
	happened := "the restored database does not have the payment " + x.Reference + " of " + a.Provider + ". " +
		x.Left.String() + " " + x.Left.Currency + " of it went back, and " + x.Authorized.String() + " were let go"
	return a.desk.DB.AlertMissingPayment(ctx, x.ID, orderID, happened)
}

// Sums is what the processor has that the database did not, by currency, and what was given back of it.
func (a *Abroad) Sums() []db.MoneyApart {
	return a.compared.Apart(a.Provider, a.Missing, a.given, a.let)
}
