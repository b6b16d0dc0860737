package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/metrics"
)

// callBudget is how long one run of CallEndpoint goes on with further units before it hands back.
const callBudget = 20 * time.Second

// waitHere is how long a run of CallEndpoint waits for its turn by itself: for less, coming back through Temporal costs
// more. It is short, because a waiting line keeps one of the worker's places from others.
const waitHere = 1500 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// CallEndpoint asks the line's partner for its keys, unit after unit, and stores the e-mail with them, for SendEmail.
// Each call is booked before it leaves and after it came back; the request is rendered once and sent again byte for
// byte.
func (a *Activities) CallEndpoint(ctx context.Context, in Step) (keyturn.Next, error) {
	start, waited := time.Now(), time.Duration(0)
	for {
		call, next, wait, err := a.begin(ctx, in)
		if wait > 0 && waited+wait <= waitHere && sleep(ctx, wait) {
			waited += wait
			continue
		}
		if wait > 0 {
			return next, asTemporal(err, wait)
		}
		if err != nil || call == nil {
			return a.answer(in, keyturn.DoCall, next, err)
		}
		result := a.call(ctx, call)
		metrics.Attempt(call.Source.Name(), outcomeOf(result), result.Duration)
		next, err = booked(ctx, func(ctx context.Context) (keyturn.Next, error) {
			return a.DB.FinishCall(ctx, in.FulfillmentID, result, a.Letters.Render)
		})
		more := err == nil && next.Do == keyturn.DoCall && next.Wait == 0 && next.Source == call.Source.Name()
		if !more || time.Since(start) > callBudget {
			return a.answer(in, keyturn.DoCall, next, err)
		}
	}
}

// begunAtOnce is how many calls of one source may be in the database to begin: one that holds the lock of its
// admission, and one that prepares. The others would wait for that lock too, each on one of the few connections.
const begunAtOnce = 2

// begin books a call of the line before it leaves.
func (a *Activities) begin(ctx context.Context, in Step) (*db.Call, keyturn.Next, time.Duration, error) {
	if keyturn.ParseSource(in.Source).Integration != "" { // all others need no admission
		release, err := a.begins.Acquire(ctx, in.Source, begunAtOnce)
		if err != nil {
			return nil, keyturn.Next{}, 0, err
		}
		defer release()
	}
	return a.DB.BeginCall(ctx, in.FulfillmentID, callTimeout, renderRequest)
}

func outcomeOf(r db.CallResult) keyturn.AttemptOutcome {
	switch {
	case r.Failed == nil:
		return keyturn.AttemptSuccess
	case r.Unknown:
		return keyturn.AttemptUnknown
	}
	return keyturn.AttemptFailed
}

// callTimeout is how long a booked call can take, and a little: only then may another attempt begin.
func callTimeout(in keyturn.Integration) time.Duration {
	return time.Duration(endpoint.WithDefaults(in).Limits.Timeout) + 2*time.Second
}

// call sends a booked call and says what became of it.
func (a *Activities) call(ctx context.Context, c *db.Call) db.CallResult {
	r := c.Result()
	in := integrationOf(c.CallFacts)
	var req endpoint.Request
	if err := json.Unmarshal(c.Request, &req); err != nil {
		r.Failed = stepFailure(keyturn.KindInternal, "the stored request cannot be read")
		return r
	}
	ctx, cancel := context.WithDeadline(ctx, c.Expires)
	defer cancel()
	reply, err := a.Caller.Send(ctx, in, c.IntegrationVersion, req)
	r.Duration = reply.Duration
	if err != nil {
		r.Sent = !endpoint.NotSent(err)
		r.Unknown = r.Sent
		r.Failed = stepFailure(keyturn.KindOf(err), c.Source.Name()+" "+messageOf(err))
		return r
	}
	verdict := endpoint.Judge(in, string(c.Operation), units(c.CallFacts), reply)
	r.Sent, r.HTTPStatus, r.Reply = true, reply.Status, endpoint.RedactReply(in, string(c.Operation), reply, verdict)
	if c.Operation == keyturn.OpLookUp && endpoint.NotIssued(in, verdict) {
		r.NotIssued = true
		return r
	}
	if verdict.Outcome != endpoint.Success {
		r.Unknown = verdict.Kind == keyturn.KindUnavailable || verdict.Kind == keyturn.KindBadReply
		r.PartnerSays = verdict.ErrorMessage
		r.Failed = stepFailure(verdict.Kind, c.Source.Name()+": "+verdict.Reason)
		r.Failed.Failure.Code = codeOf(verdict)
		r.Failed.Permanent = verdict.Outcome == endpoint.Permanent
		r.Failed.RetryAfter = verdict.RetryAfter
		return r
	}
	r.Codes, r.Additional = verdict.Deliverable.ActivationCodes, verdict.Additional
	for _, link := range firstOf(verdict.Deliverable.ActivationLinks, c.Units) {
		r.Links = append(r.Links, link.Reveal())
	}
	for _, f := range firstOf(verdict.Deliverable.Files, c.Units) {
		r.Files = append(r.Files, db.File{Name: f.Name, ContentType: f.ContentType, Data: f.Data})
	}
	for len(r.Codes) > 0 && len(r.Codes) < c.Units && c.Product.VolumeCodes { // one code is for all units
		r.Codes = append(r.Codes, r.Codes[0])
	}
	if n := len(r.Codes); n > 0 && n < c.Units { // an operation may bring no code; half of them would be of no use
		r.Failed = stepFailure(keyturn.KindBadReply,
			c.Source.Name()+": the reply holds "+strconv.Itoa(n)+" of "+strconv.Itoa(c.Units)+" activation codes")
		r.Unknown, r.Codes = true, nil
		return r
	}
	if c.Units > 0 && len(r.Codes) > c.Units {
		r.PartnerSays = fmt.Sprintf("the reply holds %d activation codes for %d: the others were delivered to nobody",
			len(r.Codes), c.Units)
		r.Codes = r.Codes[:c.Units]
	}
	return r
}

// firstOf are as many values as there are units, at least one: more than were asked for are delivered to nobody.
func firstOf[T any](values []T, units int) []T { return values[:min(len(values), max(units, 1))] }

// units is how many codes a reply must bring. A bare acknowledgement is a valid answer of an endpoint
// (docs/understand/partner-contract.md, Reading replies), unless the merchant's own definition says where in the reply
// the code is.
func units(f db.CallFacts) int {
	definition, ok := f.Integration.Operations[string(f.Operation)]
	if !ok {
		definition = f.Integration.Operations["fallback"]
	}
	if f.License.ID != "" && f.Source.Type.HasIntegration() { // an operation on a licence may leave its keys as they are
		return 0
	}
	_, declared := definition.ResponsePaths["activationCode"]
	creates := f.Operation == keyturn.OpCreate && declared
	if f.Product.VolumeCodes && f.Units > 1 {
		return 1
	}
	// the units before it brought codes
	if f.Operation == keyturn.OpLookUp || !f.Source.Type.HasIntegration() || f.Units > 1 || f.UnitNo > 0 || creates {
		return f.Units
	}
	return 0
}

// codeOf is the partner's error code if it looks like one: a sentence may name the customer, and the code is shown in
// places that hold no personal data.
func codeOf(v endpoint.Verdict) string {
	if !keyturn.ValidID(v.ErrorCode) {
		return ""
	}
	return v.ErrorCode
}

func stepFailure(kind keyturn.Kind, message string) *db.StepFailure {
	return &db.StepFailure{Failure: keyturn.Failure{Kind: kind, Message: message}}
}

func messageOf(err error) string { return err.Error() } // errors of package endpoint hold no text of the partner

// integrationOf is where a source's calls go.
func integrationOf(f db.CallFacts) keyturn.Integration {
	if !f.Source.Type.HasIntegration() {
		return endpoint.DynamicURL(f.Source.Name(), f.Source.URL)
	}
	return endpoint.WithDefaults(f.Integration)
}

// renderRequest makes the request of a call, as it is stored, or gives the stored one.
func renderRequest(f db.CallFacts) ([]byte, error) {
	if f.Stored != nil {
		var req endpoint.Request
		if err := json.Unmarshal(f.Stored, &req); err == nil && !req.Fits(integrationOf(f)) {
			return nil, db.ErrMoved
		}
		return f.Stored, nil
	}
	req, err := endpoint.Render(integrationOf(f), string(f.Operation), requestData(f))
	if err != nil {
		return nil, err
	}
	return json.Marshal(req)
}

// requestData is the data context of the templates (docs/understand/partner-contract.md, Data context).
func requestData(f db.CallFacts) endpoint.Data {
	price := func(m keyturn.Money) endpoint.Price {
		return endpoint.Price{GrossPrice: endpoint.Decimal(m.String()), Currency: m.Currency}
	}
	c, p := f.Customer, f.Product
	quantity := int64(f.Line.Quantity)
	if p.QuantityMode == keyturn.OnePerUnit {
		quantity = 1 // this call is for one unit
	}
	return endpoint.Data{
		LicenseID: f.LicenseID, Operation: string(f.Operation), RequestTimestamp: f.AcceptedAt.UnixMilli(),
		OperationExecutionID: f.FulfillmentID + "-" + string(f.Operation) + "-" + strconv.Itoa(f.UnitNo),
		AdditionalData:       additional(f.License),
		Checkout: endpoint.Checkout{
			OrderID: f.OrderID, LineItemID: f.Line.ID, SubscriptionID: f.Line.SubscriptionID,
			CartExternalContext: f.CartExternalContext, TrialContext: f.Line.TrialContext,
			Price: price(f.OrderPrice),
		},
		User: endpoint.User{
			ID: c.ID, Email: c.Email, Country: c.Country, Locale: c.Locale, FirstName: c.FirstName, LastName: c.LastName,
			CompanyName: c.CompanyName, CompanyIdentifier: c.CompanyIdentifier, Street: c.Street, City: c.City,
			ZipCode: c.ZipCode,
		},
		Product: endpoint.Product{
			ID: p.ID, Name: p.Name, PublisherProductID: p.PublisherProductID, PublisherFulfillmentID: p.PublisherFulfillmentID,
			LineItemID: f.Line.ID, ExternalContext: p.ExternalContext, Quantity: quantity,
			PriceFunctionParameters: p.PriceFunctionParameters, Variables: p.Variables, Price: price(f.Price),
			StartTimestamp: millis(&f.License.StartedAt), ExpirationTimestamp: millis(cmp.Or(f.Line.ExpiresAt,
				f.License.ExpiresAt)),
			ExistingLicenseID: f.License.ID, ActivationLink: f.License.Link,
		},
	}
}

// additional is what earlier operations on the licence left, under the names that their replies had.
func additional(l db.LicenseFacts) map[string]endpoint.List {
	out := make(map[string]endpoint.List, len(l.Additional))
	for name, values := range l.Additional {
		out[name] = values
	}
	return out
}

// millis is a time as the contract writes it; 0: not known.
func millis(t *time.Time) int64 {
	if t == nil || t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
