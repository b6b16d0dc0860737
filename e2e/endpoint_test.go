package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/workflows"
)

func TestEndpointDelivers(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)

	require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(fulfillment(a)))
	calls := s.calls("acme", "create")
	require.Len(t, calls, 1)
	require.Equal(t, fulfillment(a), calls[0].FulfillmentID)
	require.Equal(t, a.Order.ID, calls[0].OrderID)
	letters := s.letters(buyer)
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Text, calls[0].KeyIssued)
	require.Empty(t, s.alerts(fulfillment(a)))
	require.Zero(t, s.refunded(a))
	s.record(workflows.LineWorkflowID(fulfillment(a)), "endpoint-ok")
}

// A merchant's own operation: where the codes are in the reply is configured, and one call brings all of them.
func TestCustomOperationBringsACodePerUnitInOneCall(t *testing.T) {
	s := start(t, options{})
	s.integration(keyturn.Integration{ID: "acme", Operations: map[string]keyturn.Operation{"create": {
		URLComplement: "/custom/licenses/create",
		BodyTemplate:  `{"ref":"{{.LicenseID}}","sku":"{{.Product.PublisherProductID}}","quantity":{{.Product.Quantity}},"order":"{{.Checkout.OrderID}}"}`,
		ResponsePaths: map[string]keyturn.ResponsePath{
			"activationCode": {Path: "$.licenses[*].key+"}, "errorCode": {Path: "$.error.code"},
			"expires": {Path: "$.licenses[0].expiresAt"},
		},
	}}})
	s.product(keyturn.Product{
		ID: "suite", PublisherProductID: "SUITE-1", QuantityMode: keyturn.OneCall,
		Sources: sources(fromEndpoint("acme")),
	})
	a := s.accept([]keyturn.LineItem{{ProductID: "suite", Quantity: 3, GrossPrice: "90"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)

	calls := s.calls("acme", "create")
	require.Len(t, calls, 1)
	require.Len(t, calls[0].Keys, 3)
	letters := s.letters(buyer)
	require.Len(t, letters, 1)
	for _, key := range calls[0].Keys {
		require.Contains(t, letters[0].Text, key)
	}
	require.Equal(t, 1, s.count(`SELECT count(*) FROM deliverables WHERE kind = 'additional'`))
}

// A partner without JSON: one key a line, ended as Windows ends lines.
func TestAPartnerThatAnswersInText(t *testing.T) {
	s := start(t, options{})
	paths := map[string]string{"activationCode": "$[*]+"}
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{ReplyFormat: keyturn.ReplyLines, Paths: paths}))
	s.integration(keyturn.Integration{ID: "acme", Operations: map[string]keyturn.Operation{"create": {
		URLComplement: "/custom/licenses/create", BodyTemplate: `{"ref":"{{.LicenseID}}","quantity":{{.Product.Quantity}}}`,
		ReplyFormat:   keyturn.ReplyLines,
		ResponsePaths: map[string]keyturn.ResponsePath{"activationCode": {Path: paths["activationCode"]}},
	}}})
	s.product(keyturn.Product{ID: "suite", QuantityMode: keyturn.OneCall, Sources: sources(fromEndpoint("acme"))})
	a := s.accept([]keyturn.LineItem{{ProductID: "suite", Quantity: 2, GrossPrice: "90"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	calls := s.calls("acme", "create")
	require.Len(t, calls, 1)
	require.Len(t, calls[0].Keys, 2)
	letters := s.letters(buyer)
	require.Len(t, letters, 1)
	for _, key := range calls[0].Keys {
		require.Contains(t, letters[0].Text, key)
	}
}

func TestOneKeyPerUnitIsACallPerUnit(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.accept([]keyturn.LineItem{{ProductID: "cad", Quantity: 3, GrossPrice: "90"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)

	calls := s.calls("acme", "create")
	require.Len(t, calls, 3)
	ids, keys := map[string]bool{}, map[string]bool{}
	letters := s.letters(buyer)
	require.Len(t, letters, 1, "one e-mail with all keys")
	for _, c := range calls {
		ids[c.FulfillmentID], keys[c.KeyIssued] = true, true
		require.Contains(t, letters[0].Text, c.KeyIssued)
	}
	require.Len(t, ids, 3, "a partner answers the same ID with the same key, so each unit has its own")
	require.Len(t, keys, 3)
	require.True(t, ids[fulfillment(a)], "the first unit has the fulfillment's own ID")
}

// The second unit fails: the first one's key is kept and not asked for again.
func TestUnitsGoOnWhereTheyFailed(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "fail-1-then-ok")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.accept([]keyturn.LineItem{{ProductID: "cad", Quantity: 2, GrossPrice: "90"}}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	calls := s.calls("acme", "create")
	require.Len(t, calls, 4, "each unit fails once")
	require.Equal(t, calls[0].BodySHA256, calls[1].BodySHA256)
	require.Equal(t, calls[2].BodySHA256, calls[3].BodySHA256)
	require.Equal(t, "PENDING RETRYING DELIVERED", s.path(fulfillment(a)))
	require.Len(t, s.letters(buyer), 1)
}

func TestOneKeyForTheLine(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "site", QuantityMode: keyturn.OnePerLine, Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "pooled", QuantityMode: keyturn.OnePerLine, Sources: sources(fromPool("site-keys"))},
		"SITE-1", "SITE-2")
	a := s.accept([]keyturn.LineItem{
		{ProductID: "site", Quantity: 5, GrossPrice: "90"},
		{ProductID: "pooled", Quantity: 5, GrossPrice: "90"},
	}, "pay_1")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Len(t, s.calls("acme", "create"), 1)
	require.Equal(t, "1/0/1/0", s.stock("site-keys"))
	require.Len(t, s.letters(buyer), 2, "one e-mail per line")
}

func TestBasicAuth(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{Username: "shop", Password: "s3cret-pw"}))
	wrong := keyturn.Integration{ID: "acme", Auth: keyturn.Auth{
		Type: "basic", Username: "shop",
		Password: &keyturn.SecretRef{Value: "outdated"},
	}}
	s.integration(wrong)
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.await(a, keyturn.OrderPartialCompleted)
	wrong.Auth.Password.Value = "s3cret-pw"
	s.integration(wrong)
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	calls := s.calls("acme", "create")
	require.Equal(t, "shop", calls[len(calls)-1].AuthUser)
	require.Equal(t, 401, calls[0].StatusSent)
	require.Equal(t, calls[0].BodySHA256, calls[len(calls)-1].BodySHA256,
		"a new password does not change the stored request")
}

func TestPartnerFailsTwiceThenWorks(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "fail-2-then-ok")
	s.product(keyturn.Product{
		ID: "cad", Sources: sources(fromEndpoint("acme")),
		Retry: every(500*time.Millisecond, 10*time.Minute),
	})
	a := s.order("cad")
	f := fulfillment(a)
	s.await(a, keyturn.OrderPartialCompleted)
	require.Equal(t, keyturn.LineRetrying, s.status(f))
	require.Equal(t, []string{"Unavailable open"}, s.alerts(f))
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)

	require.Equal(t, "PENDING RETRYING DELIVERED", s.path(f), "a line in trouble stays RETRYING until its e-mail is out")
	require.Equal(t, []string{"Unavailable closed"}, s.alerts(f))
	require.Len(t, s.letters("ops@keyturn.test"), 1)
	calls := s.calls("acme", "create")
	require.Len(t, calls, 3)
	for _, c := range calls {
		require.Equal(t, calls[0].BodySHA256, c.BodySHA256, "every attempt sends the same bytes")
	}
	require.Len(t, s.letters(buyer), 1)
	s.record(workflows.LineWorkflowID(f), "endpoint-retry-then-ok")
}

func TestRetriesAddNoHistory(t *testing.T) {
	s := start(t, options{})
	events := map[string]int{}
	for partner, drill := range map[string]string{"three": "fail-3-then-ok", "twelve": "fail-12-then-ok"} {
		s.drill(partner, drill)
		s.product(keyturn.Product{
			ID: partner, Sources: sources(fromEndpoint(partner)),
			Retry: keyturn.RetryPolicy{Schedule: []keyturn.Duration{
				keyturn.Duration(3 * time.Second),
				keyturn.Duration(100 * time.Millisecond),
			}, GiveUpAfter: keyturn.Duration(10 * time.Minute)},
		})
	}
	a := s.order("three", "twelve")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	for i, partner := range []string{"three", "twelve"} {
		events[partner] = len(s.history(workflows.LineWorkflowID(fulfillment(a, i))).Events)
	}
	require.Len(t, s.calls("twelve", "create"), 13)
	require.Len(t, s.calls("three", "create"), 4)
	require.Equal(t, events["three"], events["twelve"])
	require.Equal(t, 2, s.count(`SELECT count(*) FROM alerts`), "one per line, however often it fails")
}

func TestErrorCodeInA200IsAFailure(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "error-code:SOLD_OUT")
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	f := fulfillment(a)
	s.await(a, keyturn.OrderPartialCompleted)
	require.Equal(t, []string{"Rejected open"}, s.alerts(f))
	require.Equal(t, "SOLD_OUT", s.failure(f).Code)
	s.drill("acme", "ok")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
}

func TestPermanentErrorRefundsAtOnce(t *testing.T) {
	t.Parallel()
	for name, drill := range map[string]string{"status": "permanent", "code": "permanent-code"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{})
			s.drill("acme", drill)
			s.integration(keyturn.Integration{ID: "acme", PermanentErrors: keyturn.PermanentErrors{
				HTTPStatus: []int{410},
				ErrorCodes: []string{"PRODUCT_UNKNOWN"},
			}})
			s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
			a := s.order("cad")
			s.await(a, keyturn.OrderCanceled)
			s.atRest(a)
			f := fulfillment(a)
			require.Equal(t, "PENDING RETRYING CANCELING CANCELED", s.path(f))
			require.Len(t, s.calls("acme", "create"), 1, "no second attempt of what can never work")
			require.Equal(t, 2999, s.refunded(a))
			letters := s.letters(buyer)
			require.Len(t, letters, 1)
			require.Contains(t, letters[0].Text, "29.99")
			require.Contains(t, letters[0].Text, "maker of the product")
		})
	}
}

func TestPermanentErrorStartsTheNextSource(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "permanent-code")
	s.integration(keyturn.Integration{
		ID:              "acme",
		PermanentErrors: keyturn.PermanentErrors{ErrorCodes: []string{"PRODUCT_UNKNOWN"}},
	})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"), fromPool("spare"))}, "SPARE-1")
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	s.atRest(a)
	require.Equal(t, "PENDING RETRYING DELIVERED", s.path(fulfillment(a)))
	require.Contains(t, s.letters(buyer)[0].Text, "SPARE-1")
	require.Zero(t, s.refunded(a))
}

// A partner's answer can be anything; the line fails cleanly and goes on once the partner is sane.
func TestHostileReplies(t *testing.T) {
	s := start(t, options{})
	orders := map[string]*db.Accepted{} // by partner, each with a product and a customer of its own
	customer := func(partner string) string { return partner + "@buyer.test" }
	for _, drill := range []string{
		"huge", "slow:4s", "drip", "html", "truncated-json", "redirect", "deep-json", "gzip-bomb", "wrong-json",
		"cut-mid-reply", "cut-after-issuing", "down", "rate-limit:600",
	} {
		partner, _, _ := strings.Cut(drill, ":")
		s.drill(partner, drill)
		s.integration(keyturn.Integration{
			ID: partner, Limits: keyturn.Limits{Timeout: keyturn.Duration(1500 * time.Millisecond)},
		})
		s.product(keyturn.Product{ID: partner, Sources: sources(fromEndpoint(partner))})
		orders[partner] = s.store(keyturn.Order{
			Customer:  keyturn.Customer{ID: partner, Email: customer(partner), Country: "FR", Locale: "en-GB"},
			LineItems: []keyturn.LineItem{{ProductID: partner, Quantity: 1, GrossPrice: "29.99"}},
		})
		s.starter.Enqueue(orders[partner].Starts)
	}
	for partner, a := range orders {
		f := fulfillment(a)
		s.awaitLine(f, keyturn.LineRetrying)
		s.await(a, keyturn.OrderPartialCompleted)
		failure := s.failure(f)
		for _, leaked := range []string{"EMU-", "Maintenance", "<h1>", "\x1b", "X-Injected"} {
			require.NotContains(t, failure.Message+failure.Code, leaked, "%s: a failure holds no text of the partner", partner)
		}
		s.drill(partner, "ok")
	}
	// it asked for ten minutes
	s.decide(fulfillment(orders["rate-limit"]), keyturn.Resolution{Action: keyturn.ActionRetry})
	for partner, a := range orders {
		s.await(a, keyturn.OrderCompleted)
		s.atRest(a)
		letters := s.letters(customer(partner))
		require.Len(t, letters, 1, partner)
		issued := s.calls(partner, "create")
		require.Contains(t, letters[0].Text, strings.TrimSpace(issued[len(issued)-1].KeyIssued), partner)
	}
	require.Empty(t, s.partner.HoneypotLog(), "redirects are not followed")
}

// A key with control characters in it reaches no e-mail, however often the partner sends it.
func TestKeyWithControlCharactersIsNotDelivered(t *testing.T) {
	s := start(t, options{})
	s.drill("acme", "control-characters")
	s.product(keyturn.Product{
		ID: "cad", Sources: sources(fromEndpoint("acme")),
		Retry: every(300*time.Millisecond, 2*time.Second),
	})
	a := s.order("cad")
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a)
	require.Equal(t, 2999, s.refunded(a))
	require.NotEmpty(t, s.calls("acme", "cancel"), "the partner made a key, which is taken back")
	for _, l := range s.letters(buyer) {
		require.NotContains(t, l.Raw, "EMU-")
		require.NotContains(t, l.Raw, "X-Injected")
	}
}
