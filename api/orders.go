package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/intake"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/metrics"
)

type (
	idInput struct {
		ID string `path:"id" maxLength:"200"`
	}
	orderInput struct {
		ID      string `path:"id" maxLength:"200"`
		Include string `query:"include" doc:"customer: with whom the order is for, and with its checkout link's additionalData, which takes the scope customers:read. Access is recorded."`
	}
	orderOutput struct{ Body keyturn.OrderView }
	rawOutput   struct {
		ContentType string `header:"Content-Type"`
		Replayed    string `header:"Idempotency-Replayed"`
		Body        []byte
	}
	listOrdersInput struct {
		Status string `query:"status" doc:"Only orders with this status."`
		Cursor string `query:"cursor" doc:"The nextCursor of the previous page."`
		Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"200"`
	}
	listOrdersOutput struct{ Body keyturn.OrderPage }
)

func (a *API) orderRoutes() {
	const tag = "Orders"
	register(a, operation{of: narrowed, body: keyturn.Order{}, Operation: huma.Operation{
		OperationID: "createOrder", Method: http.MethodPost, Path: "/v1/orders", Tags: []string{tag},
		DefaultStatus: http.StatusCreated,
		Summary:       "Accept a paid order",
		Description: "201 means that the order is durable: each of its lines will be delivered or refunded. The header " +
			"`Idempotency-Key` is required. A repeated request gets the first response byte for byte, with " +
			"`Idempotency-Replayed: true`. `warnings` lists lines that no source can deliver at the moment; 409 if a product " +
			"is not sold in that case (`sell` in the catalog).",
		Security: anyOf(ScopeOrdersWrite), Responses: a.answers("201", "Accepted", keyturn.OrderView{}),
		Parameters: idempotencyHeader(),
	}}, a.createOrder)
	register(a, operation{of: ofOrder, Operation: huma.Operation{
		OperationID: "getOrder", Method: http.MethodGet, Path: "/v1/orders/{id}", Tags: []string{tag},
		Summary:  "Show an order with the status of its lines",
		Security: anyOf(ScopeOrdersRead, ScopeOps),
	}}, func(ctx context.Context, c *call, in *orderInput) (*orderOutput, error) {
		customer, err := c.includesCustomer(in.Include)
		if err != nil {
			return nil, err
		}
		if !customer {
			return a.order(ctx, c, in.ID)
		}
		v, err := a.DB.OrderWithCustomer(ctx, in.ID, c.by())
		v.Links = a.links(v.ID, c.may(ScopeKeysRead))
		return &orderOutput{Body: v}, err
	})
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "listOrders", Method: http.MethodGet, Path: "/v1/orders", Tags: []string{tag},
		Summary:  "List orders, the newest first",
		Security: anyOf(ScopeOrdersRead, ScopeOps),
	}}, a.listOrders)
	register(a, operation{of: ofOrder, body: keyturn.Cancellation{}, optional: true, Operation: huma.Operation{
		OperationID: "cancelOrder", Method: http.MethodPost, Path: "/v1/orders/{id}/cancellation", Tags: []string{tag},
		DefaultStatus: http.StatusAccepted,
		Summary:       "Cancel an order",
		Description: "Open lines are cancelled and refunded; delivered lines are revoked and refunded. 202: the " +
			"cancellation has begun.",
		Security: anyOf(ScopeOrdersWrite, ScopeOps),
	}}, a.cancelOrder)
	register(a, operation{of: ofOrder, Operation: huma.Operation{
		OperationID: "getOrderEvidence", Method: http.MethodGet, Path: "/v1/orders/{id}/evidence", Tags: []string{tag},
		Summary: "Show what there is to say in a dispute of an order",
		Description: "Consent, e-mails that the customer's mail server accepted, looks at the keys, and the disputes; `text` " +
			"has it in words, by the fields of Stripe's form for evidence. Who the customer is, it says to tokens with " +
			"`customers:read`, and records that.",
		Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, c *call, in *idInput) (*evidenceOutput, error) {
		v, err := a.DB.OrderEvidence(ctx, in.ID, c.may(ScopeCustomersRead), c.by())
		return &evidenceOutput{Body: v}, err
	})
	a.eventRoute(tag)
}

type evidenceOutput struct{ Body keyturn.OrderEvidence }

const idempotencyKey = "Idempotency-Key"

func idempotencyHeader() []*huma.Param {
	return []*huma.Param{{
		Name: idempotencyKey, In: "header", Required: true,
		Schema: &huma.Schema{Type: huma.TypeString, Pattern: keyturn.IdempotencyKeyPattern},
	}}
}

func idempotencyKeyOf(c *call) (string, error) {
	keys := c.r.Header.Values(idempotencyKey)
	if len(keys) == 1 {
		if key, ok := keyturn.ParseIdempotencyKey(keys[0]); ok {
			return key, nil
		}
	}
	return "", badRequest(idempotencyKey, "%s", keyturn.IdempotencyKeyRule)
}

func (a *API) createOrder(ctx context.Context, c *call, _ *struct{}) (*rawOutput, error) {
	key, err := idempotencyKeyOf(c)
	if err != nil {
		return nil, err
	}
	var order keyturn.Order
	raw, err := decodeBody(c, maxOrderBody, false, &order)
	if err != nil {
		return nil, err
	}
	order = intake.Order(order)
	if err := order.Check(mail.CheckAddress); err != nil {
		return nil, err
	}
	if err := c.client.Prefix.CheckNew("id", order.ID); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(raw)
	accepted, response, err := a.DB.Accept(ctx, db.AcceptInput{
		Order: order, Client: c.client.Name, Prefix: c.client.Prefix, IdempotencyKey: key, RequestHash: hash[:],
		Respond: func(accepted db.Accepted) ([]byte, error) { return a.acceptance(accepted, true) },
		Admit:   func() error { return a.checkPayment(order) },
	})
	return a.accepted(accepted, response, err)
}

// accepted starts what was accepted and answers with it, or with the answer of the first request.
func (a *API) accepted(accepted *db.Accepted, response []byte, err error) (*rawOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &rawOutput{ContentType: "application/json", Body: response}
	if accepted == nil {
		out.Replayed = "true"
		return out, nil
	}
	metrics.OrderAccepted()
	a.Starter.Enqueue(accepted.Starts)
	if slices.ContainsFunc(accepted.Order.LineItems,
		func(l keyturn.LineItem) bool { return l.Operation == keyturn.OpCancel }) {
		a.Starter.Wake() // what the cancel gives up is to be woken
	}
	return out, nil
}

// acceptance is the answer to a new order, with the address of its page or without.
func (a *API) acceptance(accepted db.Accepted, page bool) ([]byte, error) {
	o := accepted.Order
	v := keyturn.OrderView{
		ID: o.ID, Status: keyturn.OrderPending, Currency: o.Currency, GrossPrice: accepted.GrossPrice.String(),
		CreatedAt: accepted.CreatedAt.UTC(),
		LineItems: make([]keyturn.LineView, len(o.LineItems)), Links: a.links(o.ID, page), Warnings: accepted.Warnings,
	}
	for i, l := range o.LineItems {
		v.LineItems[i] = keyturn.LineView{
			ID: l.ID, FulfillmentID: l.FulfillmentID, ProductID: l.ProductID, Quantity: l.Quantity, GrossPrice: l.GrossPrice,
			Operation: l.Operation, LicenseID: l.LicenseID, Status: keyturn.LinePending,
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return out.Bytes(), err
}

// links lead to the order's other faces. The page shows the order's keys to whoever has its address: only the answer to
// a new order has it for a token that may not read keys, because the order system gives it to its customer.
func (a *API) links(orderID string, page bool) *keyturn.Links {
	l := &keyturn.Links{Self: "/v1/orders/" + url.PathEscape(orderID)}
	if page {
		l.Page = a.PublicURL + "/o/" + a.DB.PageToken(orderID)
	}
	if a.TemporalUIURL != "" {
		query := url.QueryEscape(`OrderId="` + orderID + `"`)
		l.History = a.TemporalUIURL + "/namespaces/" + url.PathEscape(a.Namespace) + "/workflows?query=" +
			strings.ReplaceAll(query, "+", "%20")
	}
	return l
}

func (a *API) order(ctx context.Context, c *call, id string) (*orderOutput, error) {
	v, err := a.DB.Order(ctx, id)
	if err != nil {
		return nil, err
	}
	v.Links = a.links(v.ID, c.may(ScopeKeysRead))
	return &orderOutput{Body: v}, nil
}

func (a *API) listOrders(ctx context.Context, c *call, in *listOrdersInput) (*listOrdersOutput, error) {
	page, err := a.DB.Orders(ctx, c.client.Prefix, keyturn.OrderStatus(in.Status), in.Cursor, in.Limit)
	if keyturn.KindOf(err) == keyturn.KindInvalid {
		err = withStatus(http.StatusBadRequest, err)
	}
	if err != nil {
		return nil, err
	}
	for i := range page.Orders {
		page.Orders[i].Links = a.links(page.Orders[i].ID, c.may(ScopeKeysRead))
	}
	return &listOrdersOutput{Body: page}, nil
}

func (a *API) cancelOrder(ctx context.Context, c *call, in *idInput) (*orderOutput, error) {
	var body keyturn.Cancellation
	if _, err := decodeBody(c, maxSmallBody, true, &body); err != nil {
		return nil, err
	}
	var bad keyturn.Problems
	bad.Check(keyturn.CleanText(body.Reason, 0, 500), "reason", "must be at most 500 printable characters")
	if err := bad.Err("the cancellation is not valid"); err != nil {
		return nil, err
	}
	if _, err := a.DB.Order(ctx, in.ID); err != nil { // names that are no order's must not reach a statement that writes
		return nil, err
	}
	reason := "cancelled by " + c.by()
	if body.Reason != "" {
		reason += ": " + body.Reason
	}
	if err := a.DB.CancelOrder(ctx, in.ID, reason); err != nil {
		return nil, err
	}
	a.Starter.Wake()
	return a.order(ctx, c, in.ID)
}
