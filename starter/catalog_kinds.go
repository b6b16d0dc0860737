package starter

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/mail"
)

type (
	// ProductList is all products by ID.
	ProductList struct {
		Products []keyturn.Product `json:"products"`
	}
	// PoolList is all pools by ID.
	PoolList struct {
		Pools []keyturn.Pool `json:"pools"`
	}
	// IntegrationList is all integrations by ID, without their secrets.
	IntegrationList struct {
		Integrations []keyturn.Integration `json:"integrations"`
	}
	// IntegrationView is an integration as GET shows it: without its secrets, with how its partner does and the
	// certificates that it holds.
	IntegrationView struct {
		keyturn.Integration
		Partner      db.PartnerState        `json:"partner"`
		Certificates []endpoint.Certificate `json:"certificates,omitempty"`
	}
)

func (a *API) catalogRoutes() {
	catalogRoutes(a, catalogKind[keyturn.Product]{
		one: "product", many: "products", tag: "Products", shown: keyturn.Product{}, list: ProductList{}, readers: []string{ScopeCatalogWrite, ScopeOrdersRead, ScopeOps},
		id: func(p *keyturn.Product) *string { return &p.ID },
		check: func(ctx context.Context, p keyturn.Product) (keyturn.Product, error) {
			if err := CheckProduct(p, a.Production); err != nil {
				return p, err
			}
			return p, a.DB.CheckProduct(ctx, p)
		},
		put: a.DB.PutProduct, get: a.DB.Product, remove: a.DB.DeleteProduct,
		view: func(ctx context.Context, id string) (any, error) { return a.DB.Product(ctx, id) },
		all: func(ctx context.Context) (any, error) {
			all, err := a.DB.Products(ctx)
			return ProductList{all}, err
		},
	})
	catalogRoutes(a, catalogKind[keyturn.Pool]{
		one: "pool", many: "pools", tag: "Pools", shown: keyturn.PoolView{}, list: PoolList{}, readers: []string{ScopeCatalogWrite, ScopeKeysWrite, ScopeOps},
		id:    func(p *keyturn.Pool) *string { return &p.ID },
		check: func(_ context.Context, p keyturn.Pool) (keyturn.Pool, error) { return p, p.Check() },
		put:   a.DB.PutPool, remove: a.DB.DeletePool,
		get: func(ctx context.Context, id string) (keyturn.Pool, error) {
			v, err := a.DB.Pool(ctx, id)
			return v.Pool, err
		},
		view: func(ctx context.Context, id string) (any, error) { return a.DB.Pool(ctx, id) },
		all: func(ctx context.Context) (any, error) {
			all, err := a.DB.Pools(ctx)
			return PoolList{all}, err
		},
	})
	catalogRoutes(a, catalogKind[keyturn.Integration]{
		one: "integration", many: "integrations", tag: "Integrations", shown: IntegrationView{}, list: IntegrationList{}, readers: []string{ScopeCatalogWrite, ScopeOps},
		id: func(in *keyturn.Integration) *string { return &in.ID },
		check: func(_ context.Context, in keyturn.Integration) (keyturn.Integration, error) {
			in = endpoint.WithDefaults(in)
			return in, CheckIntegration(in, a.Production)
		},
		secrets: a.DB.CheckSecrets, show: hideSecrets,
		put: a.DB.PutIntegration, get: a.DB.Integration, remove: a.DB.DeleteIntegration,
		view: func(ctx context.Context, id string) (any, error) {
			in, err := a.DB.Integration(ctx, id)
			if err != nil {
				return nil, err
			}
			state, err := a.DB.PartnerState(ctx, id)
			return IntegrationView{Integration: in, Partner: state, Certificates: endpoint.Certificates(in.TLS)}, err
		},
		all: func(ctx context.Context) (any, error) {
			all, err := a.DB.Integrations(ctx)
			return IntegrationList{all}, err
		},
	})
}

// CheckProduct says everything that is wrong with a product by itself, its e-mail and its dynamic URLs included.
func CheckProduct(p keyturn.Product, production bool) error {
	var bad keyturn.Problems
	bad.Merge("", p.Check())
	bad.Merge("email", mail.Template(p.Email).Check())
	for i, s := range p.Sources {
		if s.Type == keyturn.SourceDynamicURL && s.URL != "" {
			mergeURL(&bad, "sources["+itoa(i)+"].url", endpoint.Check(endpoint.DynamicURL("dynamicurl", s.URL), production))
		}
	}
	return bad.Err("the product is not valid")
}

// mergeURL notes what is wrong with a dynamic URL at the one place where the merchant wrote it.
func mergeURL(bad *keyturn.Problems, at string, err error) {
	if e, ok := errors.AsType[*keyturn.Error](err); ok {
		for _, f := range e.Fields {
			bad.Addf(at, "%s", f.Message)
		}
	}
}

// CheckIntegration says everything that is wrong with an integration as the API takes it: with values of secrets and
// PEM text instead of the names of files.
func CheckIntegration(in keyturn.Integration, production bool) error {
	var bad keyturn.Problems
	bad.Merge("", endpoint.Check(in, production))
	in.Secrets(func(at string, ref *keyturn.SecretRef) {
		bad.Check(ref.Env == "" && ref.File == "", at, "must be sent as value: env and file are read by the command that applies a catalog")
	})
	return bad.Err("the integration is not valid")
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

// pathOf joins a field's path.
func pathOf(at, name string) string { return strings.TrimPrefix(at+"."+name, ".") }
