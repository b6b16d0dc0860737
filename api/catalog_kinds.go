package api

import (
	"context"
	"encoding/json"
	"strconv"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/endpoint"
)

func (a *API) catalogRoutes() {
	catalogRoutes(a, catalogKind[keyturn.Product]{
		of: ofProduct, one: "product", many: "products", tag: "Products", shown: keyturn.Product{},
		list:    keyturn.ProductList{},
		readers: []string{ScopeCatalogWrite, ScopeOrdersRead, ScopeOps},
		id:      func(p *keyturn.Product) *string { return &p.ID },
		check: func(ctx context.Context, prefix keyturn.Prefix, p keyturn.Product) (keyturn.Product, error) {
			p, err := catalog.CheckProduct(p, a.Production)
			if err != nil {
				return p, err
			}
			if err := checkSources(prefix, p); err != nil {
				return p, err
			}
			return p, a.DB.CheckProduct(ctx, p)
		},
		show: func(p keyturn.Product) keyturn.Product {
			p.Image = p.Image.Described()
			return p
		},
		put: a.DB.PutProduct, get: a.DB.Product, remove: a.DB.DeleteProduct,
		view: func(ctx context.Context, id string) (any, error) { return a.DB.Product(ctx, id) },
		all: func(ctx context.Context, prefix keyturn.Prefix) (any, error) {
			all, err := a.DB.Products(ctx, prefix)
			return keyturn.ProductList{Products: all}, err
		},
	})
	catalogRoutes(a, catalogKind[keyturn.Pool]{
		of: ofPool, one: "pool", many: "pools", tag: "Pools", shown: keyturn.PoolView{}, list: keyturn.PoolList{},
		readers: []string{ScopeCatalogWrite, ScopeKeysWrite, ScopeOps},
		id:      func(p *keyturn.Pool) *string { return &p.ID },
		check:   func(_ context.Context, _ keyturn.Prefix, p keyturn.Pool) (keyturn.Pool, error) { return p, p.Check() },
		put:     a.DB.PutPool, remove: a.DB.DeletePool,
		get: func(ctx context.Context, id string) (keyturn.Pool, error) {
			v, err := a.DB.Stock().Pool(ctx, id)
			return v.Pool, err
		},
		view: func(ctx context.Context, id string) (any, error) { return a.DB.Stock().Pool(ctx, id) },
		all: func(ctx context.Context, prefix keyturn.Prefix) (any, error) {
			all, err := a.DB.Pools(ctx, prefix)
			return keyturn.PoolList{Pools: all}, err
		},
	})
	catalogRoutes(a, catalogKind[keyturn.Integration]{
		of: ofIntegration, one: "integration", many: "integrations", tag: "Integrations", shown: keyturn.IntegrationView{},
		list: keyturn.IntegrationList{}, readers: []string{ScopeCatalogWrite, ScopeOps},
		id: func(in *keyturn.Integration) *string { return &in.ID },
		check: func(_ context.Context, _ keyturn.Prefix, in keyturn.Integration) (keyturn.Integration, error) {
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
		all: func(ctx context.Context, prefix keyturn.Prefix) (any, error) {
			all, err := a.DB.Integrations(ctx, prefix)
			return keyturn.IntegrationList{Integrations: all}, err
		},
	})
}

// checkSources refuses a product of one merchant that delivers another's keys, as if they were not there.
func checkSources(prefix keyturn.Prefix, p keyturn.Product) error {
	var bad keyturn.Problems
	for i, s := range p.Sources {
		at := "sources[" + strconv.Itoa(i) + "]."
		bad.Check(s.Pool == "" || prefix.Covers(s.Pool), at+"pool", "names %s, which is not in the catalog", s.Pool)
		bad.Check(s.Integration == "" || prefix.Covers(s.Integration), at+"integration",
			"names %s, which is not in the catalog", s.Integration)
	}
	return bad.Err("the product is not valid")
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
