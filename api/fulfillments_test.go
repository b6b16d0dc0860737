package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/db"
)

// order accepts the good order under another number and product and gives its line's fulfillment.
func (b *bench) order(t *testing.T, id, product string) string {
	t.Helper()
	body := strings.NewReplacer("ORD-1", id, "acme-pro", product).Replace(goodOrder)
	var v keyturn.OrderView
	b.must(t, "POST", "/v1/orders", body, "Idempotency-Key", id).into(t, &v)
	return v.LineItems[0].FulfillmentID
}

// deliver takes a line from its acceptance to its delivered e-mail.
func (b *bench) deliver(t *testing.T, fulfillmentID string) {
	t.Helper()
	_, err := b.db.Claim(t.Context(), fulfillmentID, nil)
	require.NoError(t, err)
	out, _, _, err := b.db.BeginDelivery(t.Context(), fulfillmentID,
		func(db.MailFacts) ([]byte, error) { return []byte("mail"), nil })
	require.NoError(t, err)
	_, err = b.db.FinishDelivery(t.Context(), fulfillmentID, out, nil, false)
	require.NoError(t, err)
}

func TestADeliveredLineShowsItsKeysToWhoMaySee(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	id := b.order(t, "ORD-1", "acme-pro")
	at := "/v1/fulfillments/" + id
	b.play(t, []scenario{{"before there are keys", "GET", at + "/deliverables", nil, "", 409, []string{"PENDING"}, nil}})
	b.deliver(t, id)
	reader := b.token(t, "reader", api.ScopeOrdersRead)
	b.play(t, []scenario{
		{
			"deliverables", "GET", at + "/deliverables", nil, "", 200,
			[]string{`{"activationCodes":["KEY-1","KEY-2"],"files":[],"additional":{}}`},
			nil,
		},
		{
			"deliverables in capitals", "GET", "/v1/fulfillments/" + strings.ToUpper(id) + "/deliverables", nil, "", 200,
			[]string{"KEY-1"},
			nil,
		},
		{"no such file", "GET", at + "/deliverables/files/0", nil, "", 404, nil, nil},
		{
			"licences with keys", "GET", "/v1/customers/user-1/licenses", nil, "", 200,
			[]string{
				`"activationCodes":["KEY-1","KEY-2"]`, `"status":"Running"`, `"orderId":"ORD-1"`,
				`"productName":"Acme Pro"`,
			},
			nil,
		},
		{
			"licences without being asked for keys", "GET", "/v1/customers/user-1/licenses?keys=false", nil, "", 200,
			[]string{`"status":"Running"`},
			[]string{"KEY-1"},
		},
		{
			"licences for who may not see keys", "GET", "/v1/customers/user-1/licenses",
			[]string{"Authorization", reader},
			"",
			200,
			[]string{`"status":"Running"`},
			[]string{"KEY-1"},
		},
		{
			"keys for who may not see them", "GET", "/v1/customers/user-1/licenses?keys=true",
			[]string{"Authorization", reader},
			"", 403,
			[]string{"keys:read"},
			[]string{"KEY-1"},
		},
		{"the line", "GET", at, nil, "", 200, []string{
			`"status":"DELIVERED"`, `"deliveredAt"`, `"orderId":"ORD-1"`,
			`"kind":"keys","status":"SENT"`,
		}, []string{"KEY-1", "giveUpAt"}},
		{"the order", "GET", "/v1/orders/ORD-1", nil, "", 200, []string{`"status":"COMPLETED"`}, []string{"KEY-1"}},
	})
	licenses, err := b.client().Licenses(t.Context(), "user-1", true)
	require.NoError(t, err)
	require.Len(t, licenses, 1)
	require.Equal(t, id, licenses[0].ID)
	found, err := b.client().Deliverables(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []string{"KEY-1", "KEY-2"}, found.ActivationCodes)
}

func TestKeysAreSentAgain(t *testing.T) {
	t.Parallel()
	var rendered []string
	b := newBench(t, func(c *api.Config) {
		c.RenderKeys = func(f db.MailFacts) ([]byte, error) {
			rendered = append(rendered, f.To)
			return []byte("mail"), nil
		}
	})
	b.sell(t, "KEY-1", "KEY-2")
	id := b.order(t, "ORD-1", "acme-pro")
	at := "/v1/fulfillments/" + id + "/resend"
	b.play(t, []scenario{
		{"before there are keys", "POST", at, nil, "", 409, nil, nil},
		{"to no address", "POST", at, nil, `{"email": "Jean <jean@buyer.test>"}`, 422, []string{`"email"`}, nil},
		{"unknown field", "POST", at, nil, `{"to": "new@buyer.test"}`, 422, []string{`"to"`}, nil},
		{"unknown line", "POST", "/v1/fulfillments/99999999-8888-7777-6666-555555555555/resend", nil, "", 404, nil, nil},
		{"no line", "POST", "/v1/fulfillments/x/resend", nil, "", 404, nil, nil},
	})
	b.deliver(t, id)
	b.play(t, []scenario{
		{"to the order's address", "POST", at, nil, "", 202, []string{"deliveryId"}, nil},
		{"to another address", "POST", at, nil, `{"email": "new@buyer.test"}`, 202, []string{"deliveryId"}, nil},
	})
	require.Equal(t, []string{"jean@buyer.test", "new@buyer.test"}, rendered)
	line, err := b.client().Fulfillment(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, line.Deliveries, 3)
	_, err = b.client().Resend(t.Context(), id, "")
	require.NoError(t, err)
}

func TestOrdersAreCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	b.order(t, "ORD-1", "acme-pro")
	b.play(t, []scenario{
		{"unknown order", "POST", "/v1/orders/ORD-0/cancellation", nil, `{"reason": "x"}`, 404, nil, nil},
		{"no order", "POST", "/v1/orders/a%00b/cancellation", nil, `{"reason": "x"}`, 400, nil, nil},
		{"bad reason", "POST", "/v1/orders/ORD-1/cancellation", nil, `{"reason": "\u202e"}`, 422, []string{`"reason"`}, nil},
		{
			"cancel", "POST", "/v1/orders/ORD-1/cancellation", nil, `{"reason": "changed their mind"}`, 202,
			[]string{`"id":"ORD-1"`},
			nil,
		},
		{"cancel again", "POST", "/v1/orders/ORD-1/cancellation", nil, "", 202, nil, nil},
	})
	due, err := b.db.TakeDue(t.Context(), 10)
	require.NoError(t, err)
	var subjects []string
	for _, d := range due {
		subjects = append(subjects, d.Workflow+" "+d.Subject)
	}
	require.Contains(t, subjects, db.WorkflowTurn+" ORD-1")
	require.NotZero(t, b.starts.pokes)
}

func TestDecisionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t, "KEY-1", "KEY-2")
	open, done := b.order(t, "ORD-1", "acme-pro"), b.order(t, "ORD-2", "acme-pro")
	b.deliver(t, done)
	at := func(id string) string { return "/v1/fulfillments/" + id + "/resolution" }
	decide := func(name, id, body string, status int, contains ...string) scenario {
		return scenario{name, "POST", at(id), nil, body, status, contains, []string{"SECRET"}}
	}
	b.play(t, []scenario{
		decide("no body", open, "", 415),
		decide("no action", open, `{}`, 422, `"action"`),
		decide("unknown action", open, `{"action": "destroy"}`, 422, `"action"`),
		decide("extend to nowhere", open, `{"action": "extend"}`, 422, `"until"`),
		decide("extend into the past", open, `{"action": "extend", "until": "2020-01-01T00:00:00Z"}`, 422, `"until"`),
		decide("until when", open, `{"action": "hold", "until": "tomorrow"}`, 422, `"until"`, "such as"),
		decide("supply without keys", open, `{"action": "supply"}`, 422, `"keys"`),
		decide("keys for a refund", open, `{"action": "refund", "keys": ["SECRET"]}`, 422, `"keys"`),
		decide("too few keys", open, `{"action": "supply", "keys": ["SECRET"]}`, 422, `"keys"`, "must be 2"),
		decide("one key twice", open, `{"action": "supply", "keys": ["SECRET", "SECRET"]}`, 422, "keys[1]"),
		decide("who decided is not the body's business", open, `{"action": "refund", "by": "somebody"}`, 422, `"by"`),
		decide("retry what waits for nothing", open, `{"action": "retry"}`, 409, "PENDING"),
		decide("retry what is delivered", done, `{"action": "retry"}`, 409, "DELIVERED"),
		decide("refund what is delivered", done, `{"action": "refund"}`, 409, "DELIVERED"),
		decide("supply what is delivered", done, `{"action": "supply", "keys": ["SECRET", "OTHER"]}`, 409, "DELIVERED"),
		decide("an unknown line", "99999999-8888-7777-6666-555555555555", `{"action": "refund"}`, 404),
		decide("no line", "1", `{"action": "refund"}`, 404),
		decide("without Temporal", open, `{"action": "refund", "id": "d-1"}`, 503, "not applied"),
	})
}

func TestTheLineTellsItsStory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(t, "PUT", "/v1/integrations/acme", integration)
	b.must(t, "PUT", "/v1/products/acme-pro", `{"name": "Acme", "sources": [{"type": "endpoint", "integration": "acme"}]}`)
	id := b.order(t, "ORD-1", "acme-pro")
	_, _, _, err := b.db.BeginCall(t.Context(), id, func(keyturn.Integration) time.Duration { return time.Second },
		func(f db.CallFacts) ([]byte, error) {
			return []byte(`{"method": "POST", "url": "https://partner.test/new?who=jean%40buyer.test", "body": "` +
				"eyJyZWYiOiJyLTEiLCJlbWFpbCI6ImplYW5AYnV5ZXIudGVzdCIsIm5vdGUiOiJmb3IgTXMgRHVwb250In0=" + `"}`), nil
		})
	require.NoError(t, err)
	_, err = b.db.FinishCall(t.Context(), id, db.CallResult{
		Attempt: 1, Sent: true, HTTPStatus: 500, Duration: 12 * time.Millisecond,
		PartnerSays: "no product for jean@buyer.test",
		Failed: &db.StepFailure{Failure: keyturn.Failure{
			Kind: keyturn.KindRejected, Code: "E7",
			Message: "acme: said no",
		}},
		Reply: []byte(`{"error": "E7", "lastName": "Somebody", "text": "jean@buyer.test"}`),
	}, nil)
	require.NoError(t, err)
	a := b.must(t, "GET", "/v1/fulfillments/"+id, "")
	for _, personal := range []string{"jean", "Dupont", "Somebody"} {
		require.NotContains(t, a.body, personal)
	}
	var v keyturn.LineView
	a.into(t, &v)
	require.Equal(t, keyturn.LineRetrying, v.Status)
	require.Equal(t, "E7", v.LastError.Code)
	require.NotNil(t, v.NextAttemptAt)
	require.Len(t, v.AttemptLog, 1)
	attempt := v.AttemptLog[0]
	require.Equal(t, "POST https://partner.test/new?who=[redacted]\n"+`{"email":"[redacted]","note":"for Ms [redacted]","ref":"r-1"}`, attempt.Request)
	require.JSONEq(t, `{"error":"E7","lastName":"[redacted]","text":"[redacted]"}`, attempt.Reply)
	require.Equal(t, keyturn.AttemptFailed, attempt.Outcome)
	require.Equal(t, 500, *attempt.HTTPStatus)
	require.Equal(t, 12, *attempt.DurationMs)
	require.Equal(t, "endpoint/acme", attempt.Source)
}
