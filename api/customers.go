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
		Keys string `query:"keys" enum:"true,false" doc:"Whether to include the keys, which requires the scope keys:read. Default: true if the token has that scope."`
	}
	listLicensesInput struct { // huma does not see the fields of an embedded type that is not exported
		ID   string `path:"id" maxLength:"200"`
		Keys string `query:"keys" enum:"true,false" doc:"Whether to include the keys, which requires the scope keys:read. Default: true if the token has that scope."`

		Cursor string `query:"cursor" doc:"The nextCursor of the previous page."`
		Limit  int    `query:"limit" default:"1000" minimum:"1" maximum:"1000"`
	}
	licensesOutput struct{ Body keyturn.Licenses }
	erasureOutput  struct{ Body keyturn.Erasure }
)

func (a *API) customerRoutes() {
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "listLicenses", Method: http.MethodGet, Path: "/v1/customers/{id}/licenses", Tags: []string{"Customers"},
		Summary:     "List a customer's licences",
		Description: "The newest first. Access to keys is recorded.", Security: anyOf(ScopeOrdersRead),
	}}, func(ctx context.Context, c *call, in *listLicensesInput) (*licensesOutput, error) {
		reveal, err := reveals(c, in.Keys)
		if err != nil {
			return nil, err
		}
		page, err := a.DB.Licenses(ctx, c.client.Prefix, in.ID, reveal, c.by(), in.Cursor, in.Limit)
		return &licensesOutput{Body: page}, err
	})
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "eraseCustomer", Method: http.MethodDelete, Path: "/v1/customers/{id}/data", Tags: []string{"Customers"},
		DefaultStatus: http.StatusOK, Summary: "Erase a customer's personal data",
		Description: "Removes everything that identifies the customer and keeps orders, lines and amounts. 409, naming the " +
			"orders and what is owed, while a line is undecided or something is owed: a refund, a cancel at a partner, the " +
			"replacement of a key, or an e-mail under way. Idempotent.",
		Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, c *call, in *idInput) (*erasureOutput, error) {
		e, err := a.DB.EraseCustomer(ctx, c.client.Prefix, in.ID, c.by())
		if err != nil {
			return nil, err
		}
		a.Logger.Info("a customer's data was erased", "erasure", e.ID, "orders", e.Orders, "repeated", e.Repeated, "by",
			c.by())
		return &erasureOutput{Body: keyturn.Erasure{
			ID: e.ID, CustomerHash: e.CustomerHash, ErasedAt: e.ErasedAt,
			Orders: e.Orders, Lines: e.Lines, Repeated: e.Repeated,
		}}, nil
	})
}
