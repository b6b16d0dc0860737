package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/workflows"
)

// operate has an operation carried out that nobody pays for.
func (s *stack) operate(license string, op keyturn.OperationName, product ...string) *db.Accepted {
	s.t.Helper()
	a, err := s.tryOperate(license, op, product...)
	require.NoError(s.t, err)
	return a
}

func (s *stack) tryOperate(license string, op keyturn.OperationName, product ...string) (*db.Accepted, error) {
	key := fmt.Sprintf("operation-%d", s.orders.Add(1))
	a, _, err := s.db.Operate(context.Background(), db.OperateInput{
		LicenseID: license, Operation: op, ProductID: strings.Join(product, ""), Client: "test", IdempotencyKey: key,
		RequestHash: []byte(key),
		Respond:     func(db.Accepted) ([]byte, error) { return []byte("{}"), nil },
	})
	if err == nil {
		s.starter.Enqueue(a.Starts)
		s.starter.Wake()
	}
	return a, err
}

// buys is an operation that is paid for.
func (s *stack) buys(license string, op keyturn.OperationName, product string) *db.Accepted {
	s.t.Helper()
	return s.accept([]keyturn.LineItem{{
		ProductID: product, Quantity: 1, GrossPrice: "9.00", Operation: op,
		LicenseID: license,
	}}, "pay_2")
}

func (s *stack) license(id string) keyturn.LicenseView {
	s.t.Helper()
	v, err := s.db.License(context.Background(), id, true, "test")
	require.NoError(s.t, err)
	return v
}

// lastLetter is the newest e-mail to the buyer.
func (s *stack) lastLetter(subject string) letter {
	s.t.Helper()
	for _, l := range s.letters(buyer) {
		if strings.Contains(l.Subject, subject) {
			return l
		}
	}
	s.t.Fatalf("no e-mail %q came", subject)
	return letter{}
}

func TestLicenceThroughItsLife(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "cad", Name: "Orbit CAD", Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "suite", Name: "Orbit Suite", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	id := fulfillment(a)
	key := s.calls("acme", "create")[0].KeyIssued
	all := []*db.Accepted{a}
	done := func(a *db.Accepted, op, subject string) {
		t.Helper()
		s.await(a, keyturn.OrderCompleted)
		all = append(all, a)
		s.atRest(a)
		calls := s.calls("acme", op)
		require.NotEmpty(t, calls)
		last := calls[len(calls)-1]
		require.Equal(t, []any{id, a.Order.ID, 200}, []any{last.FulfillmentID, last.OrderID, last.StatusSent},
			"the partner sees one ID for the licence's whole life")
		require.Equal(t, "PENDING OBTAINED DELIVERED", s.path(fulfillment(a)))
		l := s.lastLetter(subject)
		require.NotContains(t, l.Text, key, "what keeps its key does not send it again")
		s.record(workflows.LineWorkflowID(fulfillment(a)), "license-"+op)
	}

	done(s.buys(id, keyturn.OpRenew, "cad"), "renew", "Your Orbit CAD licence was renewed")
	require.Equal(t, []string{key}, s.license(id).ActivationCodes, "the partner extended the key")
	done(s.operate(id, keyturn.OpPause), "pause", "Your Orbit CAD licence is paused")
	require.Equal(t, keyturn.LicensePaused, s.license(id).Status)
	done(s.operate(id, keyturn.OpResume), "resume", "is active again")
	require.Equal(t, keyturn.LicenseRunning, s.license(id).Status)

	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{RenewNewKey: true}))
	up := s.buys(id, keyturn.OpUpgrade, "suite")
	s.await(up, keyturn.OrderCompleted)
	newKey := s.calls("acme", "upgrade")[0].KeyIssued
	require.NotEqual(t, key, newKey)
	require.Equal(t, []any{"suite", []string{newKey}}, []any{s.license(id).ProductID, s.license(id).ActivationCodes})
	require.Contains(t, s.lastLetter("Your Orbit Suite key").Text, newKey)
	s.record(workflows.LineWorkflowID(fulfillment(up)), "license-upgrade-new-key")

	done(s.operate(id, keyturn.OpCancel), "cancel", "Your Orbit Suite licence was canceled")
	v := s.license(id)
	require.Equal(t, keyturn.LicenseCanceled, v.Status)
	require.Empty(t, v.ActivationCodes)
	require.Len(t, v.Operations, 5)
	require.Equal(t, emulator.StatusCanceled, s.partner.Issued()[0].Status)
	require.Zero(t, s.refunded(a), "a cancel of the licence gives no money back")
	_, err := s.tryOperate(id, keyturn.OpResume)
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
	s.atRest(append(all, up)...)
	s.books(func(*audit.Evidence) {})
}

// The partner may say until when a licence runs, in words of its own; the definitions of the first contract still do.
func TestTermAndLegacyNames(t *testing.T) {
	s := start(t, options{})
	renewed := keyturn.Operation{
		URLComplement: "/custom/licenses/{{.Operation}}",
		BodyTemplate: `{"ref":"{{.LicenseID}}","order":"{{.Checkout.OrderID}}","line":"{{.Checkout.LineItemID}}","key":"{{with .AdditionalData.ActivationCode}}{{.}}{{end}}",
			"existing":"{{.Product.ExistingLicenseID}}","until":"{{with .Product.ExpirationTimestamp}}{{timestampToRFC3339 .}}{{end}}"}`,
		ResponsePaths: map[string]keyturn.ResponsePath{
			"activationCode": {Path: "$.licenses[*].key+"}, "expirationTimestamp": {Path: "$.licenses[0].expiresAt"},
		},
	}
	s.integration(keyturn.Integration{ID: "acme", Operations: map[string]keyturn.Operation{
		"fallback": renewed,
		"suspend":  {}, "reactivate": {},
	}})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	id := fulfillment(a)
	require.NotNil(t, s.license(id).ExpiresAt, "the emulator's licences have an end")
	before := s.license(id)
	s.exec(`UPDATE licenses SET expires_at = now() - interval '1 hour'`)
	require.Equal(t, keyturn.LicenseExpired, s.license(id).Status)
	r := s.buys(id, keyturn.OpRenew, "cad")
	s.await(r, keyturn.OrderCompleted)
	v := s.license(id)
	require.Equal(t, []any{keyturn.LicenseRunning, before.ActivationCodes}, []any{v.Status, v.ActivationCodes})
	require.True(t, v.ExpiresAt.After(time.Now()))

	p := s.operate(id, keyturn.OpPause)
	s.await(p, keyturn.OrderCompleted)
	q := s.operate(id, keyturn.OpResume)
	s.await(q, keyturn.OrderCompleted)
	require.True(t, strings.HasSuffix(s.calls("acme", "pause")[0].URL, "/licenses/suspend"))
	require.True(t, strings.HasSuffix(s.calls("acme", "resume")[0].URL, "/licenses/reactivate"))
	line, err := s.db.Fulfillment(context.Background(), fulfillment(r))
	require.NoError(t, err)
	request := line.AttemptLog[0].Request
	require.Contains(t, request, `"existing":"`+id)
	require.Contains(t, request, `"key":"[redacted]"`, "the key that the request names is not shown to operators")
	require.NotContains(t, request, `"until":""`)
	s.atRest(a, r, p, q)
}

func TestOperationsOfAPoolLicence(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	s.product(keyturn.Product{
		ID: "deluxe", Sources: sources(fromPool("deluxe-keys")),
		Email: keyturn.Email{Text: "{KEY} takes the place of {PARENT_KEY}."},
	})
	a := s.order("game")
	s.await(a, keyturn.OrderCompleted)
	id := fulfillment(a)
	r := s.buys(id, keyturn.OpRenew, "game")
	s.await(r, keyturn.OrderCompleted)
	require.Equal(t, []string{"GAME-1"}, s.license(id).ActivationCodes)
	s.record(workflows.LineWorkflowID(fulfillment(r)), "license-renew-pool")

	up := s.buys(id, keyturn.OpUpgrade, "deluxe")
	c := s.operate(id, keyturn.OpPause)
	s.awaitLine(fulfillment(up), keyturn.LineWaitingForStock)
	require.Equal(t, keyturn.LinePending, s.status(fulfillment(c)), "it waits for the upgrade, which waits for stock")
	require.Equal(t, keyturn.DoQueue, s.state(fulfillment(c)).Do)
	s.load("deluxe-keys", "DELUXE-1")
	s.await(up, keyturn.OrderCompleted)
	s.await(c, keyturn.OrderCompleted)
	require.True(t, slices.ContainsFunc(s.letters(buyer),
		func(l letter) bool { return strings.Contains(l.Text, "DELUXE-1 takes the place of GAME-1.") }))
	require.Equal(t, []any{keyturn.LicensePaused, "deluxe", []string{"DELUXE-1"}},
		[]any{s.license(id).Status, s.license(id).ProductID, s.license(id).ActivationCodes})
	s.record(workflows.LineWorkflowID(fulfillment(c)), "license-queued")

	x := s.operate(id, keyturn.OpCancel)
	s.await(x, keyturn.OrderCompleted)
	s.atRest(a, r, up, c, x)
	require.Equal(t, "0/0/0/1", s.stock("game-keys"))
	require.Equal(t, "0/0/0/1", s.stock("deluxe-keys"))
	s.books(func(*audit.Evidence) {})
}

// Ten operations that are asked for at once are accepted one by one and carried out in that order, whatever the partner
// does meanwhile.
func TestTenOperationsAtOnceApplyInOrder(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{
		Drill: "fail-1-then-ok", DrillOps: []string{"renew"},
		Latency: keyturn.Duration(50 * time.Millisecond),
	}))
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	id := fulfillment(a)
	orders := make([]*db.Accepted, 10)
	var wg sync.WaitGroup
	for i := range orders {
		wg.Go(func() { orders[i] = s.buys(id, keyturn.OpRenew, "cad") })
	}
	wg.Wait()
	for _, o := range orders {
		s.await(o, keyturn.OrderCompleted)
	}
	s.atRest(append([]*db.Accepted{a}, orders...)...)
	accepted := s.texts(`SELECT order_id FROM line_items WHERE license_id = $1 ORDER BY operation_no`, id)
	var called []string
	for _, c := range s.calls("acme", "renew") {
		if c.StatusSent == 200 {
			called = append(called, c.OrderID)
		}
	}
	require.Equal(t, accepted, called)
	require.Equal(t, 10, s.count(`SELECT count(*) FROM license_steps WHERE license_id = $1`, id))
}

// A cancel does not wait for a create that is retried for days: it gives it up.
func TestCancelWinsOverARetryingCreate(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme",
		emulator.Settings{Drill: "timeout-after-issuing", DrillOps: []string{"create"}}))
	s.integration(keyturn.Integration{
		ID:     "acme",
		Limits: keyturn.Limits{Timeout: keyturn.Duration(500 * time.Millisecond)},
	})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.awaitLine(fulfillment(a), keyturn.LineRetrying)
	pause := s.operate(fulfillment(a), keyturn.OpPause)
	s.awaitLine(fulfillment(pause), keyturn.LinePending)
	c := s.operate(fulfillment(a), keyturn.OpCancel)
	s.await(a, keyturn.OrderCanceled)
	s.await(pause, keyturn.OrderCanceled)
	s.await(c, keyturn.OrderCompleted)
	s.atRest(a, c, pause)
	require.Equal(t, 2999, s.refunded(a))
	cancels := s.calls("acme", "cancel")
	require.NotEmpty(t, cancels, "the create may have reached the partner")
	require.Equal(t, fulfillment(a), cancels[0].FulfillmentID)
	require.Equal(t, emulator.StatusCanceled, s.partner.Issued()[0].Status)
	require.Empty(t, s.calls("acme", "pause"))
	s.record(workflows.LineWorkflowID(fulfillment(c)), "license-cancel-wins")
	s.record(workflows.LineWorkflowID(fulfillment(pause)), "license-queued-given-up")
	s.books(func(*audit.Evidence) {})
}

// The order of the create is cancelled: the partner gets a cancel for what was delivered, and the licence ends.
func TestCancelOfTheOrderEndsTheLicence(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1")
	a := s.order("cad", "game")
	s.await(a, keyturn.OrderCompleted)
	r := s.buys(fulfillment(a), keyturn.OpRenew, "cad")
	s.await(r, keyturn.OrderCompleted)
	require.NoError(t, s.db.CancelOrder(context.Background(), a.Order.ID, "withdrawal"))
	s.await(a, keyturn.OrderCanceled)
	s.atRest(a, r)
	cancels := s.calls("acme", "cancel")
	require.Len(t, cancels, 1)
	require.Equal(t, fulfillment(a), cancels[0].FulfillmentID)
	require.Equal(t, keyturn.LicenseCanceled, s.license(fulfillment(a)).Status)
	require.Equal(t, keyturn.LicenseCanceled, s.license(fulfillment(a, 1)).Status)
	require.Equal(t, "0/0/0/1", s.stock("game-keys"))
	require.Equal(t, 2*2999, s.refunded(a))
	require.Zero(t, s.refunded(r), "the renewal is an order of its own")
}

// The order of a renewal is cancelled: its money goes back, the licence is what it was, and nobody cancels it.
func TestRenewalIsTakenBack(t *testing.T) {
	s := start(t, options{})
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{RenewNewKey: true}))
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	id := fulfillment(a)
	first := s.license(id).ActivationCodes
	r := s.buys(id, keyturn.OpRenew, "cad")
	s.await(r, keyturn.OrderCompleted)
	require.NotEqual(t, first, s.license(id).ActivationCodes)
	require.NoError(t, s.db.CancelOrder(context.Background(), r.Order.ID, "withdrawal"))
	s.await(r, keyturn.OrderCanceled)
	s.atRest(a, r)
	require.Equal(t, []any{keyturn.LicenseRunning, first}, []any{s.license(id).Status, s.license(id).ActivationCodes})
	require.Equal(t, 900, s.refunded(r))
	require.Zero(t, s.refunded(a))
	require.Empty(t, s.calls("acme", "cancel"))
	require.Contains(t, s.alerts(fulfillment(r)), "Revocation open", "operations put it right at the partner")
}

// A lost answer is asked for again with the same bytes; the partner does it once.
func TestLostAnswersOfOperations(t *testing.T) {
	t.Parallel()
	for _, op := range []keyturn.OperationName{keyturn.OpRenew, keyturn.OpPause, keyturn.OpCancel} {
		t.Run(string(op), func(t *testing.T) {
			s := start(t, options{})
			s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
			a := s.order("cad")
			s.await(a, keyturn.OrderCompleted)
			require.NoError(t, s.partner.SetPartner("acme",
				emulator.Settings{Drill: "cut-after-issuing", DrillOps: []string{string(op)}, RenewNewKey: true}))
			o := s.operate(fulfillment(a), op)
			s.awaitLine(fulfillment(o), keyturn.LineRetrying)
			s.eventually(func() (bool, string) { return len(s.calls("acme", string(op))) > 1, "no second attempt" })
			require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{RenewNewKey: true}))
			s.await(o, keyturn.OrderCompleted)
			s.atRest(a, o)
			calls := s.calls("acme", string(op))
			for _, c := range calls {
				require.Equal(t, calls[0].BodySHA256, c.BodySHA256)
				require.Equal(t, calls[0].KeyIssued, c.KeyIssued)
			}
			if op == keyturn.OpRenew {
				require.Equal(t, []string{calls[0].KeyIssued}, s.license(fulfillment(a)).ActivationCodes)
			}
			s.record(workflows.LineWorkflowID(fulfillment(o)), "license-lost-answer-"+string(op))
		})
	}
}

// A renewal that the partner refuses for good is refunded; the licence goes on.
func TestRefusedRenewalIsRefunded(t *testing.T) {
	s := start(t, options{})
	s.integration(keyturn.Integration{ID: "acme", PermanentErrors: keyturn.PermanentErrors{HTTPStatus: []int{410}}})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme"))})
	a := s.order("cad")
	s.await(a, keyturn.OrderCompleted)
	require.NoError(t, s.partner.SetPartner("acme", emulator.Settings{Drill: "permanent", DrillOps: []string{"renew"}}))
	r := s.buys(fulfillment(a), keyturn.OpRenew, "cad")
	s.await(r, keyturn.OrderCanceled)
	s.atRest(a, r)
	require.Equal(t, 900, s.refunded(r))
	require.Equal(t, keyturn.LicenseRunning, s.license(fulfillment(a)).Status)
	require.Empty(t, s.calls("acme", "cancel"))
	s.record(workflows.LineWorkflowID(fulfillment(r)), "license-renew-refused")
}
