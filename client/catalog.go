package client

import (
	"context"
	"net/http"

	"keyturn.dev/keyturn"
)

// PutProduct creates or changes a product, or with dryRun says what that would do.
func (c *Client) PutProduct(ctx context.Context, p keyturn.Product, dryRun bool) (keyturn.Change, error) {
	return c.put(ctx, at("v1", "products", p.ID), p, dryRun)
}

// PutPool creates or changes a pool, or with dryRun says what that would do.
func (c *Client) PutPool(ctx context.Context, p keyturn.Pool, dryRun bool) (keyturn.Change, error) {
	return c.put(ctx, at("v1", "pools", p.ID), p, dryRun)
}

// PutIntegration creates or changes an integration, or with dryRun says what that would do. Secrets are sent as values.
func (c *Client) PutIntegration(ctx context.Context, in keyturn.Integration, dryRun bool) (keyturn.Change, error) {
	return c.put(ctx, at("v1", "integrations", in.ID), in, dryRun)
}

// PutShop changes the shop's settings, or with dryRun says what that would do.
func (c *Client) PutShop(ctx context.Context, s keyturn.Shop, dryRun bool) (keyturn.Change, error) {
	return c.put(ctx, at("v1", "shop"), s, dryRun)
}

// Shop shows the shop's settings.
func (c *Client) Shop(ctx context.Context) (s keyturn.Shop, err error) {
	return s, c.get(ctx, at("v1", "shop"), nil, &s)
}

func (c *Client) put(ctx context.Context, path string, v any, dryRun bool) (keyturn.Change, error) {
	return c.putInto(ctx, path, v, dryRun, nil)
}

// putInto is put, and decodes what is stored then, unless stored is nil.
func (c *Client) putInto(ctx context.Context, path string, v any, dryRun bool, stored any) (keyturn.Change, error) {
	var change keyturn.Change
	body, err := jsonBody(v)
	if err != nil {
		return change, err
	}
	r := request{
		method: http.MethodPut, path: path, query: dryRunQuery(dryRun), body: body,
		contentType: "application/json",
	}
	if dryRun {
		_, err = c.do(ctx, r, &change)
		return change, err
	}
	h, err := c.do(ctx, r, stored)
	change.Change = h.Get(keyturn.ChangeHeader)
	return change, err
}

// Product shows a product.
func (c *Client) Product(ctx context.Context, id string) (p keyturn.Product, err error) {
	return p, c.get(ctx, at("v1", "products", id), nil, &p)
}

// Products lists all products.
func (c *Client) Products(ctx context.Context) ([]keyturn.Product, error) {
	var out keyturn.ProductList
	err := c.get(ctx, "/v1/products", nil, &out)
	return out.Products, err
}

// DeleteProduct takes a product out of the catalog.
func (c *Client) DeleteProduct(ctx context.Context, id string) error {
	return c.remove(ctx, at("v1", "products", id))
}

// Pool shows a pool with its stock.
func (c *Client) Pool(ctx context.Context, id string) (v keyturn.PoolView, err error) {
	return v, c.get(ctx, at("v1", "pools", id), nil, &v)
}

// Pools lists all pools.
func (c *Client) Pools(ctx context.Context) ([]keyturn.Pool, error) {
	var out keyturn.PoolList
	err := c.get(ctx, "/v1/pools", nil, &out)
	return out.Pools, err
}

// DeletePool takes a pool out of the catalog.
func (c *Client) DeletePool(ctx context.Context, id string) error {
	return c.remove(ctx, at("v1", "pools", id))
}

// Integration shows an integration, of its secrets only that they are set, and how its partner does.
func (c *Client) Integration(ctx context.Context, id string) (in keyturn.IntegrationView, err error) {
	return in, c.get(ctx, at("v1", "integrations", id), nil, &in)
}

// Integrations lists all integrations.
func (c *Client) Integrations(ctx context.Context) ([]keyturn.Integration, error) {
	var out keyturn.IntegrationList
	err := c.get(ctx, "/v1/integrations", nil, &out)
	return out.Integrations, err
}

// DeleteIntegration takes an integration out of the catalog.
func (c *Client) DeleteIntegration(ctx context.Context, id string) error {
	return c.remove(ctx, at("v1", "integrations", id))
}

func (c *Client) remove(ctx context.Context, path string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: path}, nil)
	return err
}
