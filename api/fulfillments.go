package api

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

type (
	lineInput struct {
		ID      string `path:"id" maxLength:"200"`
		Include string `query:"include" doc:"customer: with the address that the customer gave and that waits for a yes, which takes the scope customers:read. Access is recorded."`
	}
	lineOutput         struct{ Body keyturn.LineView }
	resendOutput       struct{ Body keyturn.Resent }
	deliverablesOutput struct{ Body keyturn.Deliverables }
	replayInput        struct {
		ID      string `path:"id" maxLength:"200"`
		Attempt int    `query:"attempt" minimum:"0" doc:"The attempt's number. Default, or 0: the newest attempt with a reply."`
	}
	replayOutput struct{ Body keyturn.Replayed }
	fileInput    struct {
		ID string `path:"id" maxLength:"200"`
		No string `path:"no" maxLength:"10"`
	}
	fileOutput struct {
		ContentType string `header:"Content-Type"`
		Disposition string `header:"Content-Disposition"`
		Body        []byte
	}
)

func (a *API) fulfillmentRoutes() {
	const tag = "Fulfillments"
	register(a, operation{of: ofFulfillment, Operation: huma.Operation{
		OperationID: "getFulfillment", Method: http.MethodGet, Path: "/v1/fulfillments/{id}", Tags: []string{tag},
		Summary:     "Show a line with its attempts",
		Description: "The newest hundred attempts with redacted requests and replies, the decisions and the e-mails.",
		Security:    anyOf(ScopeOrdersRead, ScopeOps),
	}}, func(ctx context.Context, c *call, in *lineInput) (*lineOutput, error) {
		customer, err := c.includesCustomer(in.Include)
		if err != nil {
			return nil, err
		}
		v, err := a.DB.Fulfillment(ctx, in.ID)
		if customer && v.NewAddress != nil {
			v, err = a.DB.FulfillmentWithAddress(ctx, in.ID, c.by())
		}
		return &lineOutput{Body: v}, err
	})
	register(a, operation{of: ofFulfillment, body: keyturn.ResolutionRequest{}, Operation: huma.Operation{
		OperationID: "resolveFulfillment", Method: http.MethodPost, Path: "/v1/fulfillments/{id}/resolution",
		Tags: []string{tag}, Summary: "Resolve a line by hand",
		Description: "200 once the line's workflow has applied the decision. On 503 the outcome is unknown: retry with the " +
			"same `id`, and the decision is applied once.",
		Security: anyOf(ScopeOps),
	}}, a.resolve)
	register(a, operation{of: ofFulfillment, body: keyturn.ResendRequest{}, optional: true, Operation: huma.Operation{
		OperationID: "resendFulfillment", Method: http.MethodPost, Path: "/v1/fulfillments/{id}/resend", Tags: []string{tag},
		DefaultStatus: http.StatusAccepted,
		Summary:       "Resend the keys by e-mail",
		Description: "To the order's address, or to `email` or the address that the customer `asked` for, which need the " +
			"scope `keys:read` too. Access to keys is recorded.",
		Security: anyOf(ScopeOps),
	}}, a.resend)
	register(a, operation{of: ofFulfillment, Operation: huma.Operation{
		OperationID: "getDeliverables", Method: http.MethodGet, Path: "/v1/fulfillments/{id}/deliverables",
		Tags: []string{tag}, Summary: "Reveal a line's deliverables",
		Description: "Access is recorded, and revealed keys are never sold again.", Security: anyOf(ScopeKeysRead),
	}}, a.deliverables)
	register(a, operation{of: ofFulfillment, Operation: huma.Operation{
		OperationID: "getDeliverableFile", Method: http.MethodGet, Path: "/v1/fulfillments/{id}/deliverables/files/{no}",
		Tags: []string{tag}, Summary: "Download a file",
		Security: anyOf(ScopeKeysRead),
		Responses: map[string]*huma.Response{"200": {
			Description: "The file",
			Content:     map[string]*huma.MediaType{"application/octet-stream": {}},
		}},
	}}, a.deliverableFile)
	register(a, operation{of: ofFulfillment, Operation: huma.Operation{
		OperationID: "replayFulfillment", Method: http.MethodGet, Path: "/v1/fulfillments/{id}/replay", Tags: []string{tag},
		Summary: "Replay a stored attempt against today's catalog",
		Description: "Renders the request again and evaluates the stored reply with today's response paths. Calls no " +
			"partner and changes nothing. Secrets and personal data are masked.",
		Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, _ *call, in *replayInput) (*replayOutput, error) {
		facts, err := a.DB.ReplayFacts(ctx, in.ID, in.Attempt)
		if err != nil {
			return nil, err
		}
		return &replayOutput{Body: activities.Replay(facts)}, nil
	})
}

func (a *API) resend(ctx context.Context, c *call, in *idInput) (*resendOutput, error) {
	var body keyturn.ResendRequest
	if _, err := decodeBody(c, maxSmallBody, true, &body); err != nil {
		return nil, err
	}
	if (body.Email != "" || body.Asked) && !c.may(ScopeKeysRead) { // the keys go to somebody else than their owner
		return nil, keyturn.Errorf(keyturn.KindForbidden,
			"the token lacks the scope %s, which sending the keys to another address needs", ScopeKeysRead)
	}
	var bad keyturn.Problems
	if body.Email != "" {
		if err := mail.CheckAddress(body.Email); err != nil {
			bad.Addf("email", "%s", err.Error())
		}
	}
	if err := bad.Err("the address is not valid"); err != nil {
		return nil, err
	}
	if a.RenderKeys == nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "this process is not configured to render e-mails")
	}
	line, err := a.DB.Fulfillment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var id string
	if body.Asked {
		id, err = a.DB.AcceptAddress(ctx, line.FulfillmentID, body.Email, c.by(), a.RenderKeys)
	} else {
		id, err = a.DB.Resend(ctx, line.FulfillmentID, body.Email, c.by(), a.RenderKeys)
	}
	if err != nil {
		return nil, err
	}
	a.Starter.Wake()
	return &resendOutput{Body: keyturn.Resent{DeliveryID: id}}, nil
}

func (a *API) deliverables(ctx context.Context, c *call, in *idInput) (*deliverablesOutput, error) {
	found, err := a.DB.Deliverables(ctx, in.ID, c.by())
	if err != nil {
		return nil, err
	}
	out := keyturn.Deliverables{
		ActivationCodes: []string{}, ActivationLinks: found.Links, Files: []keyturn.FileLink{},
		Additional: found.Additional,
	}
	if len(found.Links) > 0 {
		out.ActivationLink = found.Links[0]
	}
	if out.Additional == nil {
		out.Additional = map[string][]string{}
	}
	for _, code := range found.Codes {
		out.ActivationCodes = append(out.ActivationCodes, code.Reveal())
	}
	if found.Tracked {
		out.TrackingNumber = strings.Join(out.ActivationCodes, ", ")
	}
	for _, code := range found.Replaced {
		out.ReplacedCodes = append(out.ReplacedCodes, code.Reveal())
	}
	for i, f := range found.Files {
		out.Files = append(out.Files, keyturn.FileLink{Name: f.Name, ContentType: f.ContentType, Href: "/v1/fulfillments/" +
			in.ID + "/deliverables/files/" + strconv.Itoa(i)})
	}
	return &deliverablesOutput{Body: out}, nil
}

// deliverableFile gives a file to be saved, never to be shown: it is a partner's.
func (a *API) deliverableFile(ctx context.Context, c *call, in *fileInput) (*fileOutput, error) {
	found, err := a.DB.Deliverables(ctx, in.ID, c.by())
	if err != nil {
		return nil, err
	}
	no, err := strconv.Atoi(in.No)
	if err != nil || no < 0 || no >= len(found.Files) {
		return nil, keyturn.Errorf(keyturn.KindNotFound, "the line has no file with this number")
	}
	return downloadOf(found.Files[no]), nil
}

func downloadOf(f db.File) *fileOutput {
	media, _, err := mime.ParseMediaType(f.ContentType)
	if err != nil {
		media = "application/octet-stream"
	}
	return &fileOutput{ContentType: media, Disposition: mime.FormatMediaType("attachment",
		map[string]string{"filename": f.Name}), Body: f.Data}
}
