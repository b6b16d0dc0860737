package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalogfile"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/devstack/emulator"
)

// sampleCatalog is what `keyturn dev` sells. Its policies are seconds long, so that everything happens while one
// watches.
//
//go:embed samples.yaml
var sampleCatalog string

// samplePartners are the partners that the emulator plays.
var samplePartners = map[string]emulator.Settings{
	"orbit": {Username: "shop", Password: orbitPassword},
}

const orbitPassword = "orbit-password"

// sampleSecret is the environment that the sample catalog's secrets are read from.
func sampleSecret(string) (string, bool) { return orbitPassword, true }

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
	api := &client.Client{BaseURL: "http://" + addr(s.ports.api), Token: o.token}
	if err := waitReady(ctx, api); err != nil {
		return err
	}
	text := strings.ReplaceAll(sampleCatalog, "{PARTNER}", s.partner.URL())
	catalog, err := catalogfile.Parse([]byte(text), ".", sampleSecret)
	if err != nil {
		return err
	}
	if _, err := catalog.Apply(ctx, api, false); err != nil {
		return err
	}
	fmt.Fprintf(o.out, `
  API               http://%s        token: %s    documentation: http://%s/docs
  Temporal Web UI   http://%s
  mail inbox        http://%s
  partner emulator  http://%s/_emulator/
  PostgreSQL        127.0.0.1:%d
  metrics           http://%s/metrics

`, addr(s.ports.api), o.token, addr(s.ports.api), addr(s.ports.temporalUI), addr(s.ports.inbox), addr(s.ports.partner),
		s.ports.postgres, addr(s.ports.metrics))
	if s.stripe != nil {
		fmt.Fprintf(o.out, "  Stripe emulator   %s    its payment page: %s\n\n", s.stripe.URL(), s.stripe.PageURL())
	}
	fmt.Fprintln(o.out, "ready")
	if o.noSamples {
		return nil
	}
	return showSamples(ctx, a, api, o.out, s.takes())
}

// takes names where links are paid.
func (s *devStack) takes() string {
	switch {
	case s.stripe != nil:
		return "the Stripe emulator"
	case s.config.Stripe != nil:
		return "Stripe's test mode (card 4242 4242 4242 4242)"
	}
	return "the sandbox"
}

// showSamples places the sample orders and prints each step of each as it happens.
func showSamples(ctx context.Context, a *app, api *client.Client, out io.Writer, takes string) error {
	run := time.Now().Format("0102-150405")
	if _, err := api.ImportKeys(ctx, "orbit-editor-keys", strings.NewReader(sampleKeys(run)),
		client.ImportOptions{}); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nplacing sample orders; each line below is one step")
	watch := watcher{db: a.db, out: out, start: time.Now()}
	for i, sample := range sampleOrders {
		order := keyturn.Order{
			ID: fmt.Sprintf("DEMO-%s-%d", run, i+1), Currency: "EUR",
			Payment: keyturn.Payment{Provider: "sandbox", Reference: fmt.Sprintf("pay_%s_%d", run, i+1)},
			Customer: keyturn.Customer{
				ID: "user-jean", Email: "jean@buyer.test", Country: "FR", Locale: "en-GB",
				FirstName: "Jean", LastName: "Dupont",
			},
			LineItems: []keyturn.LineItem{{ProductID: sample.product, Quantity: sample.quantity, GrossPrice: "29.99"}},
		}
		view, _, err := api.CreateOrder(ctx, order.ID, order)
		if err != nil {
			return err
		}
		watch.add(view, sample.what)
	}
	for i, sample := range sampleLinks {
		id, err := buyByLink(ctx, a, api, run, i+1, sample)
		if err != nil {
			return err
		}
		view, err := api.Order(ctx, id)
		if err != nil {
			return err
		}
		watch.add(view, sample.what)
	}
	page, err := openLink(ctx, api, run)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nbuy something yourself; %s takes no money:\n  %s\n\n", takes, page)
	return watch.run(ctx)
}

func sampleKeys(run string) string {
	var keys strings.Builder
	for i := range 20 {
		fmt.Fprintf(&keys, "ORBIT-%s-%04d\n", run, i+1)
	}
	return keys.String()
}

// waitReady waits until the API accepts orders.
func waitReady(ctx context.Context, api *client.Client) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, err := api.Health(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
