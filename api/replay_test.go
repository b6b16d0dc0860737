package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
)

// A code was missed because the path was wrong. The replay tells what a corrected path finds in the stored reply, what
// would be sent today, and shows no code, secret or customer.
func TestReplayReadsAStoredReplyWithTodaysPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	declare := func(path string) {
		b.must(t, "PUT", "/v1/integrations/acme", `{"baseUrl": "https://partner.test", "operations": {"create": {
			"bodyTemplate": "{\"ref\":\"{{.LicenseID}}\",\"email\":\"{{.User.Email}}\",\"path\":\"`+path+`\"}",
			"responsePaths": {"activationCode": "`+path+`", "seats": "$.seats"}}}}`)
	}
	declare("$.key+")
	b.must(t, "PUT", "/v1/products/acme-pro", `{"name": "Acme", "sources": [{"type": "endpoint", "integration": "acme"}]}`)
	id := b.order(t, "ORD-1", "acme-pro")
	in, err := b.db.Integration(t.Context(), "acme")
	require.NoError(t, err)
	_, _, _, err = b.db.BeginCall(t.Context(), id, func(keyturn.Integration) time.Duration { return time.Second },
		func(f db.CallFacts) ([]byte, error) {
			req, err := endpoint.Render(in, "create", endpoint.Data{
				LicenseID: f.LicenseID,
				User:      endpoint.User{Email: f.Customer.Email},
			})
			require.NoError(t, err)
			return json.Marshal(req)
		})
	require.NoError(t, err)
	reply := []byte(`{"key": [], "licenses": [{"key": "CANARY-1"}, {"key": "CANARY-2"}], "seats": 5, "email": "jean@buyer.test"}`)
	_, err = b.db.FinishCall(t.Context(), id, db.CallResult{
		Attempt: 1, Sent: true, HTTPStatus: 200, Reply: endpoint.Redact(in, "create", reply, nil),
		Failed: &db.StepFailure{Failure: keyturn.Failure{
			Kind:    keyturn.KindBadReply,
			Message: "the reply holds no activation code",
		}},
	}, nil)
	require.NoError(t, err)

	var then keyturn.Replayed
	b.must(t, "GET", "/v1/fulfillments/"+id+"/replay", "").into(t, &then)
	require.True(t, then.Request.Same, "%+v", then.Request)
	require.Equal(t, string(endpoint.Retryable), then.Reply.Outcome)
	require.Equal(t, 1, then.Attempt.No)

	declare("$.licenses[*].key+")
	a := b.must(t, "GET", "/v1/fulfillments/"+id+"/replay?attempt=1", "")
	var now keyturn.Replayed
	a.into(t, &now)
	require.Equal(t, string(endpoint.Success), now.Reply.Outcome, now.Reply.Reason)
	require.Equal(t, 2, now.Reply.Codes)
	require.Equal(t, []string{"5"}, now.Reply.Additional["seats"])
	require.False(t, now.Request.Same)
	require.Contains(t, now.Request.Today, `"path":"$.licenses[*].key+"`)
	require.NotContains(t, a.body, "CANARY")
	require.NotContains(t, a.body, "jean")
	require.Equal(t, 404, b.do(t, "GET", "/v1/fulfillments/"+id+"/replay?attempt=7", "").status)
}
