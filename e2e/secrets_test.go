package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/internal/testkit"
)

// canaries are secrets and personal data, each planted where it belongs. None may be found anywhere else.
var canaries = map[string]string{
	"pool key": "CANARY-POOL-KEY-71", "partner's key": "CANARY-PARTNER-KEY-72", "supplied key": "CANARY-SUPPLIED-KEY-73",
	"password": "canary-password-74",
	"e-mail":   "canary-mail-75@buyer.test", "first name": "Canaryfirst76", "last name": "Canarylast77",
	"street": "Canary Street 78", "company": "Canary Company 79",
	"client secret": "canary-client-secret-83", "access token": "canary-access-token-84",
	"signing key": "canary-signing-key-85", "header secret": "canary-header-86",
	"new address": "canary-new-80@buyer.test", "partner's page": "canary-page-81", "context": "canary-context-82",
}

func requireClean(t *testing.T, where, text string) {
	t.Helper()
	for what, canary := range canaries {
		if around := testkit.FindCanary(text, canary); around != "" {
			t.Errorf("%s holds the %s: …%s…", where, what, around)
		}
	}
}

// hostilePartner fails in ways that quote the customer before it works.
func hostilePartner(t *testing.T) string {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		switch {
		case strings.HasSuffix(r.URL.Path, "cancel"):
			_, _ = fmt.Fprint(w, `{}`)
		case n == 1:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(w, `<h1>%s</h1> no customer %s, key %s`, canaries["partner's page"], canaries["e-mail"],
				canaries["partner's key"])
		case n == 2:
			_, _ = fmt.Fprintf(w, `{"errorCode": "unknown customer %s", "errorMessage": "%s of %s"}`, canaries["e-mail"],
				canaries["first name"], canaries["street"])
		default:
			_, _ = fmt.Fprintf(w, `{"activationCode": "%s", "successFlag": "true"}`, canaries["partner's key"])
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// signingPartner wants an access token, a signature and a key in a header, and fails once in a way that quotes all of
// them.
func (s *stack) signingPartner() keyturn.Integration {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/token":
			if _, secret, _ := r.BasicAuth(); secret != canaries["client secret"] &&
				!strings.Contains(string(body), canaries["client secret"]) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"access_token": "%s", "token_type": "Bearer", "expires_in": 3600}`, canaries["access token"])
		case strings.HasSuffix(r.URL.Path, "cancel"):
			_, _ = fmt.Fprint(w, `{}`)
		case r.Header.Get("Authorization") != "Bearer "+canaries["access token"] ||
			r.Header.Get("X-Api-Key") != canaries["header secret"] || r.Header.Get("X-Nexway-Signature") == "":
			w.WriteHeader(http.StatusForbidden)
		case calls.Add(1) == 1:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(w, `got %v, signed with %s by %s`, r.Header, canaries["signing key"], canaries["client secret"])
		default:
			_, _ = fmt.Fprint(w, `{"activationCode": "SIGNED-KEY"}`)
		}
	}))
	s.t.Cleanup(server.Close)
	return keyturn.Integration{
		ID: "signing", BaseURL: server.URL,
		Auth: keyturn.Auth{
			Type: "oauth2ClientCredentials", ClientID: "shop", TokenURL: server.URL + "/token",
			ClientSecret: &keyturn.SecretRef{Value: canaries["client secret"]},
		},
		HTTPHeaders: map[string][]keyturn.HeaderValue{"X-Api-Key": {{SecretRef: keyturn.SecretRef{Value: canaries["header "+
			"secret"]}}}},
		Operations: map[string]keyturn.Operation{"create": {
			URLComplement: "/licenses/new", BodyTemplate: `{"ref": "{{.LicenseID}}"}`,
			ResponsePaths: map[string]keyturn.ResponsePath{"activationCode": {Path: "$.activationCode"}},
			Signature: &keyturn.Signature{
				Enabled: true, SignedFields: []string{"$.checkout.orderId"},
				Secret: &keyturn.SecretRef{Value: canaries["signing key"]},
			},
		}, "cancel": {URLComplement: "/licenses/cancel", BodyTemplate: `{"ref": "{{.LicenseID}}"}`}},
	}
}

func TestNoSecretLeavesItsPlace(t *testing.T) {
	s := start(t, options{})
	s.integration(s.signingPartner())
	s.product(keyturn.Product{ID: "cloud", Sources: sources(fromEndpoint("signing"))})
	ctx := context.Background()
	s.integration(keyturn.Integration{
		ID: "acme", BaseURL: hostilePartner(t),
		Auth: keyturn.Auth{Type: "basic", Username: "shop", Password: &keyturn.SecretRef{Value: canaries["password"]}},
	})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, canaries["pool key"])
	s.product(keyturn.Product{ID: "antique", Sources: sources(byHand)})
	s.product(keyturn.Product{ID: "sold-out", Sources: sources(fromPool("empty")), Retry: patient})
	var faults atomic.Int64
	s.inbox.Fail(func(_, to string) error {
		if to == canaries["e-mail"] && faults.Add(1) <= 2 {
			return inbox.Reject(451)
		}
		return nil
	})
	a := s.store(keyturn.Order{
		CartExternalContext: canaries["context"],
		Customer: keyturn.Customer{
			ID: "user-7", Email: canaries["e-mail"], Country: "FR", Locale: "en", FirstName: canaries["first name"],
			LastName: canaries["last name"],
			Street:   canaries["street"], CompanyName: canaries["company"],
		},
		LineItems: []keyturn.LineItem{
			{ProductID: "cad", Quantity: 1, GrossPrice: "1"},
			{ProductID: "game", Quantity: 1, GrossPrice: "1"},
			{ProductID: "antique", Quantity: 1, GrossPrice: "1"},
			{ProductID: "sold-out", Quantity: 1, GrossPrice: "1"},
			{ProductID: "cloud", Quantity: 1, GrossPrice: "1"},
		},
	})
	s.starter.Enqueue(a.Starts)
	s.awaitLine(fulfillment(a, 3), keyturn.LineWaitingForStock)
	require.NoError(t, s.db.StageSupply(ctx, fulfillment(a, 2), "", []string{canaries["supplied key"]}))
	_, err := s.update(fulfillment(a, 2), map[string]any{"action": "supply", "keys": []string{canaries["supplied key"]}})
	require.Error(t, err)
	requireClean(t, "an answer to a bad update", err.Error())
	s.decide(fulfillment(a, 2), keyturn.Resolution{Action: keyturn.ActionSupply})
	s.decide(fulfillment(a, 3), keyturn.Resolution{Action: keyturn.ActionRefund})
	s.await(a, keyturn.OrderPartialCanceled)
	_, err = s.db.Resend(ctx, fulfillment(a, 1), canaries["new address"], "operator", s.acts.Letters.Render)
	require.NoError(t, err)
	require.NoError(t, s.db.CancelOrder(ctx, a.Order.ID, "asked for"))
	s.starter.Wake()
	s.await(a, keyturn.OrderCanceled)
	s.atRest()

	// The canaries did come where they belong, so the test looks for what was really there.
	got := ""
	for _, l := range append(s.letters(canaries["e-mail"]), s.letters(canaries["new address"])...) {
		got += l.Text
	}
	for _, what := range []string{"pool key", "partner's key", "supplied key", "first name"} {
		require.Contains(t, got, canaries[what])
	}
	require.Contains(t, got, "SIGNED-KEY", "token, header and signature came to the partner")

	requireClean(t, "the log", s.logs.String())
	s.requireCleanTemporal(a.Order.ID)
	s.requireCleanDatabase()
	for _, l := range s.letters("ops@keyturn.test") {
		requireClean(t, "an e-mail to operations", l.Raw+l.Text)
	}
	s.requireOnlyOwnKeys()
}

// requireCleanTemporal scans histories, with failures and summaries, and what the visibility store shows. control is
// something that is there, to see that the scan sees.
func (s *stack) requireCleanTemporal(control string) {
	s.t.Helper()
	ctx := context.Background()
	var listed *workflowservice.ListWorkflowExecutionsResponse
	s.eventually(func() (bool, string) {
		var err error
		listed, err = s.temporal.ListWorkflow(ctx,
			&workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf("TaskQueue = '%s'", s.queue)})
		require.NoError(s.t, err)
		return len(listed.Executions) >= 10, fmt.Sprintf("%d workflows are listed", len(listed.Executions))
	})
	requireClean(s.t, "the visibility store", protojson.Format(listed))
	seen := 0
	for _, e := range listed.Executions {
		it := s.temporal.GetWorkflowHistory(ctx, e.Execution.WorkflowId, e.Execution.RunId, false,
			enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for it.HasNext() {
			event, err := it.Next()
			require.NoError(s.t, err)
			raw, err := proto.Marshal(event)
			require.NoError(s.t, err)
			requireClean(s.t, "the history of "+e.Execution.WorkflowId, string(raw)+protojson.Format(event))
			if strings.Contains(string(raw), control) {
				seen++
			}
		}
	}
	require.GreaterOrEqual(s.t, seen, 4, "every line's workflow names its order")
}

// requireCleanDatabase scans every column of every table, as a backup would have them.
func (s *stack) requireCleanDatabase() {
	s.t.Helper()
	tables := s.texts(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	require.Greater(s.t, len(tables), 15)
	for _, table := range tables {
		requireClean(s.t, "table "+table, strings.Join(s.texts(`SELECT t::text FROM `+table+` t`), "\n"))
	}
}

// requireOnlyOwnKeys: no e-mail to anybody else holds a key.
func (s *stack) requireOnlyOwnKeys() {
	s.t.Helper()
	for _, m := range s.inbox.Messages() {
		if to := strings.Join(m.To, ","); to != canaries["e-mail"] && to != canaries["new address"] {
			raw, _ := s.inbox.Raw(m.ID)
			requireClean(s.t, "an e-mail to "+to, string(raw))
		}
	}
}
