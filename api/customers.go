package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

type (
	licensesInput struct {
		ID   string `path:"id" maxLength:"200"`
		Keys string `query:"keys" enum:"true,false" doc:"Whether to reveal the keys. Default: true for a token with the scope keys:read, which true needs."`
	}
	licensesOutput struct{ Body keyturn.Licenses }
	erasureOutput  struct{ Body keyturn.Erasure }
)

func (a *API) customerRoutes() {
	register(a, operation{Operation: huma.Operation{
		OperationID: "listLicenses", Method: http.MethodGet, Path: "/v1/customers/{id}/licenses", Tags: []string{"Customers"}, Summary: "A customer's purchase history",
		Description: "The newest first. It is recorded who saw keys.", Security: anyOf(ScopeOrdersRead),
	}}, func(ctx context.Context, c *call, in *licensesInput) (*licensesOutput, error) {
		reveal, err := reveals(c, in.Keys)
		if err != nil {
			return nil, err
		}
		found, err := a.DB.Licenses(ctx, in.ID, reveal, c.by())
		return &licensesOutput{Body: keyturn.Licenses{Licenses: found}}, err
	})
	register(a, operation{Operation: huma.Operation{
		OperationID: "eraseCustomer", Method: http.MethodDelete, Path: "/v1/customers/{id}/data", Tags: []string{"Customers"}, DefaultStatus: http.StatusOK, Summary: "Erase a person's data",
		Description: "Everything that says who the customer is goes; orders, lines and money stay. 409, naming the orders, while a line is undecided or something is owed. Repeating it changes nothing.",
		Security:    anyOf(ScopeOps),
	}}, func(ctx context.Context, c *call, in *idInput) (*erasureOutput, error) {
		e, err := a.DB.EraseCustomer(ctx, in.ID, c.by())
		if err != nil {
			return nil, err
		}
		a.Logger.Info("a customer's data was erased", "erasure", e.ID, "orders", e.Orders, "repeated", e.Repeated, "by", c.by())
		return &erasureOutput{Body: keyturn.Erasure{ID: e.ID, CustomerHash: e.CustomerHash, ErasedAt: e.ErasedAt, Orders: e.Orders, Lines: e.Lines, Repeated: e.Repeated}}, nil
	})
}
