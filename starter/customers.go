package starter

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

type (
	licensesInput struct {
		ID   string `path:"id" maxLength:"200"`
		Keys string `query:"keys" enum:"true,false" doc:"Whether to reveal the keys. Default: true for a token with the scope keys:read, which true needs."`
	}
	// Licenses is a customer's purchase history.
	Licenses struct {
		Licenses []keyturn.LicenseView `json:"licenses"`
	}
	licensesOutput struct{ Body Licenses }
)

func (a *API) customerRoutes() {
	register(a, operation{Operation: huma.Operation{
		OperationID: "listLicenses", Method: http.MethodGet, Path: "/v1/customers/{id}/licenses", Tags: []string{"Customers"}, Summary: "A customer's purchase history",
		Description: "The newest first. It is recorded who saw keys.", Security: anyOf(ScopeOrdersRead),
	}}, func(ctx context.Context, c *call, in *licensesInput) (*licensesOutput, error) {
		mayReveal := slices.Contains(c.token.Scopes, ScopeKeysRead)
		if in.Keys == "true" && !mayReveal {
			return nil, keyturn.Errorf(keyturn.KindForbidden, "the token lacks the scope %s", ScopeKeysRead)
		}
		found, err := a.DB.Licenses(ctx, in.ID, mayReveal && in.Keys != "false", c.by())
		return &licensesOutput{Body: Licenses{Licenses: found}}, err
	})
}
