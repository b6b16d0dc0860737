package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/starter"
)

// sampleCatalog is what `keyturn dev` sells. Its policies are seconds long, so that everything happens while one watches.
//
//go:embed samples.yaml
var sampleCatalog string

// samplePartners are the partners that the emulator plays.
var samplePartners = map[string]emulator.Settings{
	"orbit": {Username: "shop", Password: "orbit-password"},
}

type sampleOrder struct {
	what, product string
	quantity      int
}

var sampleOrders = []sampleOrder{
	{"two keys from a pool", "orbit-editor", 2},
	{"a sale through a partner's endpoint", "orbit-studio", 1},
	{"a sale through a dynamic URL", "orbit-wallpaper", 1},
	{"a partner that fails twice and then works", "orbit-render", 1},
	{"a partner that never works: the money goes back", "orbit-ghost", 1},
}

// present applies the sample catalog, prints where everything is, places the sample orders and shows them moving.
func present(ctx context.Context, a *app, s *devStack, o devOptions) error {
	api := &starter.Client{BaseURL: "http://" + addr(s.ports.api), Token: o.token}
	if err := api.WaitReady(ctx, 30*time.Second); err != nil {
		return err
	}
	text := strings.NewReplacer("{PARTNER}", s.partner.URL()).Replace(sampleCatalog)
	catalog, err := starter.ParseCatalog("samples.yaml", strings.NewReader(text))
	if err != nil {
		return err
	}
	if _, err := api.Apply(ctx, catalog, false); err != nil {
		return err
	}
	fmt.Fprintf(o.out, `
  API               http://%s        token: %s    documentation: http://%s/docs
  Temporal Web UI   http://%s
  mail inbox        http://%s
  partner emulator  http://%s/_emulator/
  PostgreSQL        127.0.0.1:%d

`, addr(s.ports.api), o.token, addr(s.ports.api), addr(s.ports.temporalUI), addr(s.ports.inbox), addr(s.ports.partner), s.ports.postgres)
	fmt.Fprintln(o.out, "ready")
	if o.noSamples {
		return nil
	}
	return showSamples(ctx, a, api, o.out)
}

// showSamples places the sample orders and prints each step of each as it happens.
func showSamples(ctx context.Context, a *app, api *starter.Client, out io.Writer) error {
	run := time.Now().Format("0102-150405")
	if err := api.FillPool(ctx, "orbit-editor-keys", sampleKeys(run)); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nplacing sample orders; each line below is a step of one of them")
	watch := watcher{db: a.db, out: out, start: time.Now()}
	for i, sample := range sampleOrders {
		order := keyturn.Order{
			ID: fmt.Sprintf("DEMO-%s-%d", run, i+1), Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: fmt.Sprintf("pay_%s_%d", run, i+1)},
			Customer:  keyturn.Customer{ID: "user-jean", Email: "jean@buyer.test", Country: "FR", Locale: "en-GB", FirstName: "Jean", LastName: "Dupont"},
			LineItems: []keyturn.LineItem{{ProductID: sample.product, Quantity: sample.quantity, GrossPrice: "29.99"}},
		}
		view, err := api.CreateOrder(ctx, order.ID, order)
		if err != nil {
			return err
		}
		watch.add(view, sample.what)
	}
	return watch.run(ctx)
}

func sampleKeys(run string) []string {
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("ORBIT-%s-%04d", run, i+1))
	}
	return keys
}
