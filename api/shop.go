package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
)

type shopInput struct {
	DryRun bool `query:"dryRun" doc:"Validate and report what would change, without storing anything."`
}

// shopRoutes are those of the catalog's only entry that has no ID.
func (a *API) shopRoutes() {
	k := catalogKind[keyturn.Shop]{
		one: "shop",
		check: func(ctx context.Context, _ keyturn.Prefix, s keyturn.Shop) (keyturn.Shop, error) {
			s, err := catalog.CheckShop(s)
			if err != nil {
				return s, err
			}
			return s, a.DB.CheckShop(ctx, s)
		},
		show: func(s keyturn.Shop) keyturn.Shop {
			s.Logo = s.Logo.Described()
			return s
		},
		put: a.DB.PutShop,
		get: func(ctx context.Context, _ string) (keyturn.Shop, error) { return a.DB.Shop(ctx) },
	}
	register(a, operation{of: ofInstallation, body: keyturn.Shop{}, Operation: huma.Operation{
		OperationID: "put-shop", Method: http.MethodPut, Path: "/v1/shop", Tags: []string{"Shop"},
		Summary: "Change the shop's settings",
		Description: "Idempotent; what is left out has its default. The header `Keyturn-Change` reports what happened. With " +
			"`dryRun=true` the response lists what would change, as {change, differences}.",
		Security:  anyOf(ScopeCatalogWrite),
		Responses: a.answers("200", "Updated or unchanged, or the result of a dry run", keyturn.Shop{}),
	}}, func(ctx context.Context, c *call, in *shopInput) (*putOutput, error) {
		return k.handlePut(ctx, c, "", in.DryRun)
	})
	register(a, operation{of: ofInstallation, Operation: huma.Operation{
		OperationID: "get-shop", Method: http.MethodGet, Path: "/v1/shop", Tags: []string{"Shop"},
		Summary:  "Show the shop's settings",
		Security: anyOf(ScopeCatalogWrite, ScopeOps), Responses: a.answers("200", "OK", keyturn.Shop{}),
	}}, func(ctx context.Context, _ *call, _ *struct{}) (*anyOutput, error) {
		s, err := a.DB.Shop(ctx)
		return &anyOutput{Body: s}, err
	})
}
