package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/intake"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
)

type (
	linkInput struct {
		ID      string `path:"id" maxLength:"200"`
		Include string `query:"include" doc:"customer: with what the page is filled in with, which takes the scope customers:read. Access is recorded."`
	}
	linkOutput   struct{ Body keyturn.LinkView }
	linkAnswered struct {
		Status   int
		Replayed string `header:"Idempotency-Replayed"`
		Body     keyturn.LinkView
	}
	listLinksInput struct {
		Status    string `query:"status" doc:"Only links with this status."`
		Reference string `query:"reference" doc:"Only links with this reference."`
		Cursor    string `query:"cursor" doc:"The nextCursor of the previous page."`
		Limit     int    `query:"limit" default:"50" minimum:"1" maximum:"200"`
	}
	listLinksOutput struct{ Body keyturn.LinkPage }
)

func (a *API) checkoutRoutes() {
	const tag = "Checkout"
	register(a, operation{of: narrowed, body: keyturn.CheckoutLink{}, Operation: huma.Operation{
		OperationID: "createCheckoutLink", Method: http.MethodPost, Path: "/v1/checkout-links", Tags: []string{tag},
		DefaultStatus: http.StatusCreated,
		Summary:       "Make a page that sells once",
		Description: "A checkout link sells products of the catalog under names and prices of its own, and makes exactly " +
			"one order. The header `Idempotency-Key` is required. A repeated request is answered 200 with the link as it " +
			"is now, and `Idempotency-Replayed: true`; so is one with the same `reference` and content. `sellability` says " +
			"of each line whether it can be delivered at the moment.",
		Security: anyOf(ScopeCheckoutWrite), Parameters: idempotencyHeader(),
		Responses: map[string]*huma.Response{
			"200": a.answers("200", "Made before", keyturn.LinkView{})["200"],
			"201": a.answers("201", "Made", keyturn.LinkView{})["201"],
		},
	}}, a.createLink)
	register(a, operation{of: ofLink, Operation: huma.Operation{
		OperationID: "getCheckoutLink", Method: http.MethodGet, Path: "/v1/checkout-links/{id}", Tags: []string{tag},
		Summary:  "Show a checkout link with its payments",
		Security: anyOf(ScopeCheckoutRead, ScopeOps),
	}}, func(ctx context.Context, c *call, in *linkInput) (*linkOutput, error) {
		customer, err := c.includesCustomer(in.Include)
		if err != nil {
			return nil, err
		}
		read := a.DB.Link
		if customer {
			read = func(ctx context.Context, id string) (keyturn.LinkView, error) {
				return a.DB.LinkWithCustomer(ctx, id, c.by())
			}
		}
		v, err := read(ctx, in.ID)
		a.showLink(c, &v)
		return &linkOutput{Body: v}, err
	})
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "listCheckoutLinks", Method: http.MethodGet, Path: "/v1/checkout-links", Tags: []string{tag},
		Summary:  "List checkout links, the newest first",
		Security: anyOf(ScopeCheckoutRead, ScopeOps),
	}}, a.listLinks)
	register(a, operation{of: ofLink, body: keyturn.LinkCancellation{}, Operation: huma.Operation{
		OperationID: "cancelCheckoutLink", Method: http.MethodPost, Path: "/v1/checkout-links/{id}/cancellation",
		Tags: []string{tag}, Summary: "Withdraw a checkout link",
		Description: "Nobody can buy by it any more. While a customer is paying, the payment is ended first. 409 if the " +
			"link is used, or has expired, or a payment is under way that cannot be ended. A repetition changes nothing.",
		Security: anyOf(ScopeCheckoutWrite),
	}}, a.cancelLink)
	register(a, operation{of: ofLink, body: keyturn.LinkReopening{}, Operation: huma.Operation{
		OperationID: "reopenCheckoutLink", Method: http.MethodPost, Path: "/v1/checkout-links/{id}/reopening",
		Tags: []string{tag}, Summary: "Allow further payments of a checkout link",
		Description: "A customer may begin to pay a link five times. This allows five more from now on. 409 if the link " +
			"has ended. A repetition changes nothing.",
		Security: anyOf(ScopeCheckoutWrite),
	}}, a.reopenLink)
}

func (a *API) createLink(ctx context.Context, c *call, _ *struct{}) (*linkAnswered, error) {
	key, err := idempotencyKeyOf(c)
	if err != nil {
		return nil, err
	}
	var link keyturn.CheckoutLink
	if _, err := decodeBody(c, maxCatalogBody, false, &link); err != nil {
		return nil, err
	}
	link = intake.Link(link)
	hash, err := hashOfLink(link)
	if err != nil {
		return nil, err
	}
	v, repeated, err := a.DB.CreateLink(ctx, db.LinkInput{
		Link: link, Client: c.client.Name, Prefix: c.client.Prefix, IdempotencyKey: key, RequestHash: hash,
		Complete: a.completeLink,
	})
	if err != nil {
		return nil, err
	}
	a.showLink(c, &v)
	out := &linkAnswered{Status: http.StatusCreated, Body: v}
	if repeated {
		out.Status, out.Replayed = http.StatusOK, "true"
	}
	return out, nil
}

// hashOfLink tells what was asked for, however it is written: a request that means the same is the same request.
func hashOfLink(l keyturn.CheckoutLink) ([]byte, error) {
	asked, err := json.Marshal(l.WithDefaults(time.Time{}, ""))
	hash := sha256.Sum256(asked)
	return hash[:], err
}

// completeLink fills in what the caller left out, and says everything that is wrong.
func (a *API) completeLink(l keyturn.CheckoutLink, now time.Time) (keyturn.CheckoutLink, error) {
	l = l.WithDefaults(now, a.defaultProcessor())
	var bad keyturn.Problems
	bad.Merge("", l.Check(now, mail.CheckAddress, a.ReturnOrigins))
	if keyturn.ValidID(l.Provider) && l.Provider != keyturn.PaymentNone && !slices.Contains(a.Processors, l.Provider) {
		bad.Addf("provider", "names %s, which is not configured here; configured to sell: %s", l.Provider, a.processorNames())
	}
	if a.CheckPrices != nil {
		bad.Merge("", a.CheckPrices(l))
	}
	if l.Provider == payment.SandboxName {
		if err := payment.CheckScript(l.AdditionalData["sandbox"]); err != nil {
			bad.Addf("additionalData.sandbox", "asks for what there is not: %s", err)
		}
	}
	return l, bad.Err("the checkout link is not valid")
}

// defaultProcessor is who takes the money of a link that names nobody: the one that is configured, else the sandbox in
// development.
func (a *API) defaultProcessor() string {
	others := slices.DeleteFunc(slices.Clone(a.Processors), func(p string) bool { return p == payment.SandboxName })
	switch {
	case len(others) == 1:
		return others[0]
	case slices.Contains(a.Processors, payment.SandboxName):
		return payment.SandboxName
	}
	return ""
}

func (a *API) processorNames() string {
	if len(a.Processors) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(a.Processors)), ", ")
}

// showLink adds where the link's other faces are. The address of the page buys: it is for who may make links.
func (a *API) showLink(c *call, v *keyturn.LinkView) {
	if c.may(ScopeCheckoutWrite) {
		v.URL = a.PublicURL + "/c/" + a.DB.LinkToken(v.ID)
	}
	v.Links = &keyturn.LinkLinks{Self: "/v1/checkout-links/" + url.PathEscape(v.ID)}
	if v.Status == keyturn.LinkUsed {
		v.Links.Order = "/v1/orders/" + url.PathEscape(v.OrderID)
	}
}

func (a *API) checkoutLink(ctx context.Context, c *call, id string) (*linkOutput, error) {
	v, err := a.DB.Link(ctx, id)
	if err != nil {
		return nil, err
	}
	a.showLink(c, &v)
	return &linkOutput{Body: v}, nil
}

func (a *API) listLinks(ctx context.Context, c *call, in *listLinksInput) (*listLinksOutput, error) {
	page, err := a.DB.Links(ctx, c.client.Prefix, keyturn.LinkStatus(in.Status), in.Reference, in.Cursor, in.Limit)
	if keyturn.KindOf(err) == keyturn.KindInvalid {
		err = withStatus(http.StatusBadRequest, err)
	}
	if err != nil {
		return nil, err
	}
	for i := range page.CheckoutLinks {
		a.showLink(c, &page.CheckoutLinks[i])
	}
	return &listLinksOutput{Body: page}, nil
}

func (a *API) cancelLink(ctx context.Context, c *call, in *idInput) (*linkOutput, error) {
	return a.changeLink(ctx, c, in.ID, "the cancellation is not valid", func(id, reason string) error {
		err := a.DB.CancelLink(ctx, id, c.by(), reason)
		if keyturn.KindOf(err) != keyturn.KindConflict || a.CancelPayment == nil {
			return err
		}
		paying, findErr := a.DB.PayableOf(ctx, id)
		switch {
		case findErr != nil:
			return findErr
		case paying == "": // it is used, or has expired
			return err
		}
		if err := a.CancelPayment(ctx, paying); err != nil {
			return err
		}
		return a.DB.CancelLink(ctx, id, c.by(), reason)
	})
}

func (a *API) reopenLink(ctx context.Context, c *call, in *idInput) (*linkOutput, error) {
	return a.changeLink(ctx, c, in.ID, "the reopening is not valid", func(id, reason string) error {
		return a.DB.ReopenLink(ctx, id, c.by(), reason)
	})
}

// changeLink reads the reason of a change, makes it, and answers with the link.
func (a *API) changeLink(ctx context.Context, c *call, id, invalid string, change func(id, reason string) error) (
	*linkOutput, error,
) {
	var body struct {
		Reason string `json:"reason"`
	}
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return nil, err
	}
	var bad keyturn.Problems
	bad.Check(keyturn.CleanText(body.Reason, 1, 500), "reason", "must be 1 to 500 printable characters")
	if err := bad.Err(invalid); err != nil {
		return nil, err
	}
	link, err := a.DB.Link(ctx, id) // names that are no link's must not reach a statement that writes
	if err != nil {
		return nil, err
	}
	if err := change(link.ID, body.Reason); err != nil {
		return nil, err
	}
	return a.checkoutLink(ctx, c, link.ID)
}
