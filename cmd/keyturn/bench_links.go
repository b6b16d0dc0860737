package main

import (
	"context"
	"path"
	"sync/atomic"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/bench"
	"keyturn.dev/keyturn/payment"
)

// benchLinks sells by checkout links for the benchmark, in the sandbox.
func (a *app) benchLinks() *bench.Links {
	var events atomic.Bool
	tell := a.sandbox.OnEvent
	a.sandbox.OnEvent = func(ctx context.Context, e payment.Event) {
		if events.Load() {
			tell(ctx, e)
		}
	}
	return &bench.Links{
		Events: events.Store,
		Begin: func(ctx context.Context, link keyturn.LinkView) (bench.Sale, error) {
			id, session, err := a.beginToPay(ctx, path.Base(link.URL))
			return bench.Sale{PaymentID: id, OrderID: link.OrderID, Session: session}, err
		},
		Pay: func(ctx context.Context, s bench.Sale) error {
			_, err := a.sandbox.Act(ctx, s.Session, keyturn.SandboxPay)
			return err
		},
		Return: func(ctx context.Context, s bench.Sale) (string, error) {
			out, err := a.desk.Look(ctx, s.PaymentID)
			if err == nil && out.Accepted == nil {
				err = keyturn.Errorf(keyturn.KindConflict, "payment %s has made no order", s.PaymentID)
			}
			if err != nil {
				return "", err
			}
			return out.Accepted.Starts[0].FulfillmentID, nil
		},
	}
}
