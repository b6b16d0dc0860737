package api

import (
	"context"
	"encoding/json"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/endpoint"
)

func (a *API) catalogRoutes() {
	catalogRoutes(a, catalogKind[keyturn.Product]{
		one: "product", many: "products", tag: "Products", shown: keyturn.Product{}, list: keyturn.ProductList{},
		readers: []string{ScopeCatalogWrite, ScopeOrdersRead, ScopeOps},
		id:      func(p *keyturn.Product) *string { return &p.ID },
		check: func(ctx context.Context, p keyturn.Product) (keyturn.Product, error) {
			if err := catalog.CheckProduct(p, a.Production); err != nil {
				return p, err
			}
			return p, a.DB.CheckProduct(ctx, p)
		},
		put: a.DB.PutProduct, get: a.DB.Product, remove: a.DB.DeleteProduct,
		view: func(ctx context.Context, id string) (any, error) { return a.DB.Product(ctx, id) },
		all: func(ctx context.Context) (any, error) {
			all, err := a.DB.Products(ctx)
			return keyturn.ProductList{Products: all}, err
		},
	})
	catalogRoutes(a, catalogKind[keyturn.Pool]{
		one: "pool", many: "pools", tag: "Pools", shown: keyturn.PoolView{}, list: keyturn.PoolList{},
		readers: []string{ScopeCatalogWrite, ScopeKeysWrite, ScopeOps},
		id:      func(p *keyturn.Pool) *string { return &p.ID },
		check:   func(_ context.Context, p keyturn.Pool) (keyturn.Pool, error) { return p, p.Check() },
		put:     a.DB.PutPool, remove: a.DB.DeletePool,
		get: func(ctx context.Context, id string) (keyturn.Pool, error) {
			v, err := a.DB.Stock().Pool(ctx, id)
			return v.Pool, err
		},
		view: func(ctx context.Context, id string) (any, error) { return a.DB.Stock().Pool(ctx, id) },
		all: func(ctx context.Context) (any, error) {
			all, err := a.DB.Pools(ctx)
			return keyturn.PoolList{Pools: all}, err
		},
	})
	catalogRoutes(a, catalogKind[keyturn.Integration]{
		one: "integration", many: "integrations", tag: "Integrations", shown: keyturn.IntegrationView{},
		list: keyturn.IntegrationList{}, readers: []string{ScopeCatalogWrite, ScopeOps},
		id: func(in *keyturn.Integration) *string { return &in.ID },
		check: func(_ context.Context, in keyturn.Integration) (keyturn.Integration, error) {
			in = endpoint.WithDefaults(in)
			return in, catalog.CheckIntegration(in, a.Production)
		},
		secrets: a.DB.CheckSecrets, show: hideSecrets,
		put: a.DB.PutIntegration, get: a.DB.Integration, remove: a.DB.DeleteIntegration,
		view: func(ctx context.Context, id string) (any, error) {
			in, err := a.DB.Integration(ctx, id)
			if err != nil {
				return nil, err
			}
			state, err := a.DB.PartnerState(ctx, id)
			return keyturn.IntegrationView{Integration: in, Partner: state, Certificates: endpoint.Certificates(in.TLS)}, err
		},
		all: func(ctx context.Context) (any, error) {
			all, err := a.DB.Integrations(ctx)
			return keyturn.IntegrationList{Integrations: all}, err
		},
	})
}

// hideSecrets gives the integration as it is shown. It must not touch the original, which shares its operations.
func hideSecrets(in keyturn.Integration) keyturn.Integration {
	var out keyturn.Integration
	text, err := json.Marshal(in)
	if err != nil || json.Unmarshal(text, &out) != nil {
		return keyturn.Integration{ID: in.ID}
	}
	out.Secrets(func(_ string, ref *keyturn.SecretRef) { *ref = keyturn.SecretRef{Set: true} })
	return out
}
