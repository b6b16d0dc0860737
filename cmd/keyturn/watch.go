package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// watcher prints the steps of some orders as they happen.
type watcher struct {
	db     *db.DB
	out    io.Writer
	start  time.Time
	orders []*watched
}

type watched struct {
	id, what string
	seen     db.Progress
	status   keyturn.OrderStatus
}

func (w *watcher) add(o keyturn.OrderView, what string) {
	w.orders = append(w.orders, &watched{id: o.ID, what: what, status: o.Status})
	w.print(o.ID, "accepted", "PENDING", what)
}

func (w *watcher) print(id, step, status, note string) {
	fmt.Fprintf(w.out, "%6.1fs  %-20s  %-34s  order %-18s %s\n", time.Since(w.start).Seconds(), id, step, status, note)
}

// run goes on until every order is decided or ctx ends.
func (w *watcher) run(ctx context.Context) error {
	const every = 200 * time.Millisecond
	for {
		open := 0
		for _, o := range w.orders {
			if o.status.Final() {
				continue
			}
			if err := w.step(ctx, o); err != nil {
				return err
			}
			if !o.status.Final() {
				open++
			}
		}
		if open == 0 {
			fmt.Fprintln(w.out, "\nall sample orders are delivered or refunded; look at the mail inbox and the Temporal Web "+
				"UI. Ctrl-C stops everything.")
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (w *watcher) step(ctx context.Context, o *watched) error {
	events, seen, status, err := w.db.OrderEvents(ctx, o.id, o.seen)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // what its own end cut short is no failure
		}
		return err
	}
	for _, e := range events {
		w.print(o.id, string(e.From)+" → "+string(e.To), string(status), e.Reason)
	}
	o.seen, o.status = seen, status
	return nil
}
