package catalogfile

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/client"
)

// Applied says what applying a catalog did, or would do, to one entry.
type Applied struct {
	Kind string `json:"kind"` // shop, integration, pool, product or webhook
	ID   string `json:"id"`   // "shop" of the shop
	keyturn.Change
	NewSecret string `json:"newSecret,omitempty"` // of a webhook: the secret that Keyturn has made, shown this once
}

// Apply brings the server's catalog to what this one declares: the shop, integrations, pools, products, webhooks; what
// it does not name stays as it is. Everything is first tried without storing it, so that a mistake anywhere changes
// nothing; with dryRun it ends there. Mistakes that only the server sees are located by line, like those of Read.
func (c *Catalog) Apply(ctx context.Context, api *client.Client, dryRun bool) ([]Applied, error) {
	found, err := c.pass(ctx, api, true)
	if err != nil || dryRun {
		return found, err
	}
	done, err := c.pass(ctx, api, false)
	for i := range done { // the second pass knows what was done, the first what that means
		done[i].Differences = found[i].Differences
	}
	return done, err
}

// pass puts every entry once and collects what is wrong with them.
func (c *Catalog) pass(ctx context.Context, api *client.Client, dryRun bool) ([]Applied, error) {
	var out []Applied
	var bad keyturn.Problems
	note := func(kind, id string, p place, change keyturn.Change, err error) error {
		if err != nil && keyturn.KindOf(err) != keyturn.KindInvalid {
			return err
		}
		p.locate(&bad, err)
		out = append(out, Applied{Kind: kind, ID: id, Change: change})
		return nil
	}
	if c.Shop != nil {
		change, err := api.PutShop(ctx, *c.Shop, dryRun)
		if err := note("shop", "shop", c.shop, change, err); err != nil {
			return out, err
		}
	}
	for i, in := range c.Integrations {
		change, err := api.PutIntegration(ctx, in, dryRun)
		if err := note("integration", in.ID, c.integrations[i], change, err); err != nil {
			return out, err
		}
	}
	for i, p := range c.Pools {
		change, err := api.PutPool(ctx, p, dryRun)
		if err := note("pool", p.ID, c.pools[i], change, err); err != nil {
			return out, err
		}
	}
	for i, p := range c.Products {
		change, err := api.PutProduct(ctx, p, dryRun)
		if err = c.forgive(p, err, dryRun); errors.Is(err, errOnlyMissing) {
			change, err = wouldChange(ctx, api, p)
		}
		if err := note("product", p.ID, c.products[i], change, err); err != nil {
			return out, err
		}
	}
	for i, w := range c.Webhooks {
		change, secret, err := api.PutWebhook(ctx, w, dryRun)
		if err := note("webhook", w.ID, c.webhooks[i], change, err); err != nil {
			return out, err
		}
		out[len(out)-1].NewSecret = secret
	}
	return out, sortedByLine(bad.Err("the catalog is not valid"))
}

// errOnlyMissing: all that is wrong with a product is that it names what this catalog is about to create.
var errOnlyMissing = errors.New("only what this catalog creates is missing")

// forgive takes out of a dry run's complaints those about pools and integrations that the real run creates first.
func (c *Catalog) forgive(p keyturn.Product, err error, dryRun bool) error {
	e, ok := errors.AsType[*keyturn.Error](err)
	if !ok || !dryRun || e.Kind != keyturn.KindInvalid || len(e.Fields) == 0 {
		return err
	}
	left := keyturn.Error{Kind: e.Kind, Message: e.Message}
	for _, f := range e.Fields {
		if !c.creates(p, f) {
			left.Fields = append(left.Fields, f)
		}
	}
	if len(left.Fields) == 0 {
		return errOnlyMissing
	}
	return &left
}

func (c *Catalog) creates(p keyturn.Product, f keyturn.FieldError) bool {
	if !strings.Contains(f.Message, "not in the catalog") {
		return false
	}
	for i, s := range p.Sources {
		switch f.Location {
		case "sources[" + strconv.Itoa(i) + "].pool":
			for _, pool := range c.Pools {
				if pool.ID == s.Pool {
					return true
				}
			}
		case "sources[" + strconv.Itoa(i) + "].integration":
			for _, in := range c.Integrations {
				if in.ID == s.Integration {
					return true
				}
			}
		}
	}
	return false
}

// wouldChange compares a product with the stored one, for when the server cannot.
func wouldChange(ctx context.Context, api *client.Client, p keyturn.Product) (keyturn.Change, error) {
	old, err := api.Product(ctx, p.ID)
	isNew := keyturn.KindOf(err) == keyturn.KindNotFound
	if err != nil && !isNew {
		return keyturn.Change{}, err
	}
	p.Image = p.Image.Described()
	d := catalog.Differences(old, p, isNew)
	return keyturn.Change{Change: keyturn.ChangeOf(isNew, len(d) > 0), Differences: d}, nil
}
