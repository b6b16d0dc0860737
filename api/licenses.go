package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

type (
	licenseOutput struct{ Body keyturn.LicenseView }
)

func (a *API) licenseRoutes() {
	const tag = "Licenses"
	register(a, operation{of: ofLicense, Operation: huma.Operation{
		OperationID: "getLicense", Method: http.MethodGet, Path: "/v1/licenses/{id}", Tags: []string{tag},
		Summary: "Show a licence and its operations",
		Description: "A licence exists once its create operation is delivered; its ID is that operation's fulfillmentId. " +
			"Access to keys is recorded.", Security: anyOf(ScopeOrdersRead, ScopeOps),
	}}, func(ctx context.Context, c *call, in *licensesInput) (*licenseOutput, error) {
		reveal, err := reveals(c, in.Keys)
		if err != nil {
			return nil, err
		}
		v, err := a.DB.License(ctx, in.ID, reveal, c.by())
		return &licenseOutput{Body: v}, err
	})
	register(a, operation{of: ofLicense, body: keyturn.LicenseOperation{}, Operation: huma.Operation{
		OperationID: "operateLicense", Method: http.MethodPost, Path: "/v1/licenses/{id}/operations", Tags: []string{tag},
		DefaultStatus: http.StatusCreated,
		Summary:       "Operate on a licence free of charge",
		Description: "Renews, upgrades, pauses, resumes or cancels a licence. 201 with the order that carries the " +
			"operation out: one line without a price. Operations on a licence run one at a time, in the order of acceptance; " +
			"a cancel gives up open ones. Paid operations are lines of an order (`lineItems[].operation`). The header " +
			"`Idempotency-Key` is required.",
		Security: anyOf(ScopeOrdersWrite), Responses: a.answers("201", "Accepted", keyturn.OrderView{}),
		Parameters: idempotencyHeader(),
	}}, a.operateLicense)
}

// reveals says whether keys are to be shown: to a token that may see them, unless it says that it does not want to.
func reveals(c *call, keys string) (bool, error) {
	may := c.may(ScopeKeysRead)
	if keys == "true" && !may {
		return false, lacksScope(ScopeKeysRead)
	}
	return may && keys != "false", nil
}

func (a *API) operateLicense(ctx context.Context, c *call, in *idInput) (*rawOutput, error) {
	key, err := idempotencyKeyOf(c)
	if err != nil {
		return nil, err
	}
	var body keyturn.LicenseOperation
	raw, err := decodeBody(c, maxSmallBody, false, &body)
	if err != nil {
		return nil, err
	}
	if err := checkOperation(body); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(append([]byte("operation "+in.ID+"\x00"), raw...))
	accepted, response, err := a.DB.Operate(ctx, db.OperateInput{
		LicenseID: in.ID, Operation: body.Operation, ProductID: body.ProductID, ExpiresAt: body.ExpiresAt,
		Client: c.client.Name, Prefix: c.client.Prefix, IdempotencyKey: key, RequestHash: hash[:],
		// The page shows the keys that the licence has already, whoever it was made for.
		Respond: func(accepted db.Accepted) ([]byte, error) { return a.acceptance(accepted, c.may(ScopeKeysRead)) },
	})
	return a.accepted(accepted, response, err)
}

func checkOperation(o keyturn.LicenseOperation) error {
	var bad keyturn.Problems
	bad.Check(slices.Contains(keyturn.ExistingOperations, o.Operation), "operation",
		"must be renew, upgrade, pause, resume or cancel")
	upgrade := o.Operation == keyturn.OpUpgrade
	bad.Check(!upgrade || o.ProductID != "", "productId", "is required for upgrade")
	bad.Check(upgrade || o.ProductID == "", "productId", "is allowed for upgrade only")
	bad.Check(o.ProductID == "" || keyturn.ValidID(o.ProductID), "productId", "must name a product")
	takesTerm := o.Operation == keyturn.OpRenew || o.Operation == keyturn.OpResume
	bad.Check(o.ExpiresAt == nil || takesTerm, "expiresAt", "is allowed for renew and resume only")
	bad.Check(o.ExpiresAt == nil || o.ExpiresAt.Year() >= 2000 && o.ExpiresAt.Year() < 2200, "expiresAt",
		"must be between the years 2000 and 2200")
	return bad.Err("the operation is not valid")
}
