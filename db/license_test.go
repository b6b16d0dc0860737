package db

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// The steps that the database allows a licence are those of the code, which are those of the chart in
// docs/use/licenses.md (TestChartShowsWhatOperationsDo).
func TestDatabaseAllowsTheSameOperations(t *testing.T) {
	s := newShop(t)
	text := read[string](s, `SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'license_transitions'`)
	stored := map[string]bool{}
	for _, m := range regexp.MustCompile(`'([A-Za-z]+>[a-z]+>[A-Za-z]+)'`).FindAllStringSubmatch(text, -1) {
		stored[m[1]] = true
	}
	coded := map[string]bool{}
	for from, ops := range keyturn.LicenseTransitions {
		for op, to := range ops {
			coded[string(from)+">"+string(op)+">"+string(to)] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(coded)), slices.Sorted(maps.Keys(stored)))
}

// operation is a line of a new order that acts on a licence, for the licence's customer.
func (s *shop) operation(op keyturn.OperationName, license string, change ...func(*keyturn.LineItem)) AcceptInput {
	s.t.Helper()
	in := orderOf(uuid.NewString(), keyturn.LineItem{Operation: op, LicenseID: license, Quantity: 1, GrossPrice: "5.00"})
	in.Order.Customer.ID = s.customerIDOf(license)
	l := &in.Order.LineItems[0]
	l.ProductID = read[string](s,
		`SELECT coalesce(c.product_id, l.product_id) FROM line_items l LEFT JOIN licenses c ON c.line_id = l.id
			WHERE l.fulfillment_id = $1`, license)
	l.Quantity = read[int](s, `SELECT quantity FROM line_items WHERE fulfillment_id = $1`, license)
	for _, c := range change {
		c(l)
	}
	return in
}

// operates accepts an operation and gives its fulfillment.
func (s *shop) operates(op keyturn.OperationName, license string, change ...func(*keyturn.LineItem)) string {
	s.t.Helper()
	a, _, err := s.Accept(s.ctx, s.operation(op, license, change...))
	require.NoError(s.t, err)
	require.Equal(s.t, license, a.Order.LineItems[0].LicenseID)
	next, err := s.Review(s.ctx, a.Starts[0].FulfillmentID) // says the same
	require.NoError(s.t, err)
	require.Equal(s.t, a.Starts[0].Next.Do, next.Do)
	require.Equal(s.t, a.Starts[0].Next.Source, next.Source)
	return a.Starts[0].FulfillmentID
}

func to(product string) func(*keyturn.LineItem) {
	return func(l *keyturn.LineItem) { l.ProductID = product }
}

func until(at time.Time) func(*keyturn.LineItem) {
	return func(l *keyturn.LineItem) { l.ExpiresAt = &at }
}

// applied does what the activities do for an operation that needs nobody outside.
func (s *shop) applied(fulfillment string) {
	s.t.Helper()
	next, err := s.Apply(s.ctx, fulfillment, renderMail)
	require.NoError(s.t, err)
	s.goesOut(fulfillment, next)
}

// goesOut sends the e-mail of a line that is not delivered without it.
func (s *shop) goesOut(fulfillment string, next keyturn.Next) {
	s.t.Helper()
	if next.Do == keyturn.DoDeliver {
		s.delivered(fulfillment)
		return
	}
	require.Equal(s.t, keyturn.LineDelivered, next.Status)
}

// carriedOut does what the activities do for an operation that the partner answers like this, and gives the call.
func (s *shop) carriedOut(fulfillment string, additional map[string][]string, codes ...string) *Call {
	s.t.Helper()
	call := s.beginCall(fulfillment)
	r := answered(call, codes...)
	r.Additional = additional
	next, err := s.FinishCall(s.ctx, fulfillment, r, renderMail)
	require.NoError(s.t, err)
	s.goesOut(fulfillment, next)
	return call
}

func (s *shop) license(id string) keyturn.LicenseView {
	s.t.Helper()
	v, err := s.License(s.ctx, id, true, "test")
	require.NoError(s.t, err)
	return v
}

// relayed lets the relay do what it does with licences, and says which fulfillments it starts or wakes.
func (s *shop) relayed() []string {
	s.t.Helper()
	var woken []string
	for {
		due, err := s.TakeDue(s.ctx, 100)
		require.NoError(s.t, err)
		again := false
		for _, d := range due {
			switch d.Workflow {
			case "":
				woken = append(woken, d.Start.FulfillmentID)
			case WorkflowLicense:
				require.NoError(s.t, s.AdvanceLicense(s.ctx, d.Subject))
				again = true
			}
		}
		require.NoError(s.t, s.RelayDone(s.ctx, due))
		if !again {
			return woken
		}
	}
}

func TestLicenseThroughItsLifeAtAPartner(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	s.product("suite", fromEndpoint("acme"))
	id := s.sell("cad")
	end := time.Date(2037, 6, 15, 0, 0, 0, 0, time.UTC)
	create := s.carriedOut(id, map[string][]string{
		"publisherLicenseID":  {"P-1"},
		"expirationTimestamp": {fmt.Sprint(end.UnixMilli())},
	}, "K-1")
	require.Equal(t, id, create.LicenseID)
	require.Empty(t, create.License.ID, "a create makes the licence")
	v := s.license(id)
	require.Equal(t, []any{keyturn.LicenseRunning, "cad", "endpoint/acme", []string{"K-1"}, end},
		[]any{v.Status, v.ProductID, v.Source, v.ActivationCodes, *v.ExpiresAt})
	require.Empty(t, v.Operations)

	renew := s.operates(keyturn.OpRenew, id)
	call := s.carriedOut(renew, map[string][]string{"expirationTimestamp": {"2038-06-15T00:00:00Z"}, "seats": {"3"}})
	require.Equal(t, []any{keyturn.OpRenew, id, renew}, []any{call.Operation, call.LicenseID, call.FulfillmentID})
	require.Equal(t, []any{id, end}, []any{call.License.ID, call.License.ExpiresAt.UTC()})
	require.Equal(t, map[string][]string{
		"activationCode": {"K-1"}, "publisherLicenseID": {"P-1"},
		"expirationTimestamp": {fmt.Sprint(end.UnixMilli())},
	}, call.License.Additional)
	v = s.license(id)
	require.Equal(t, []any{keyturn.LicenseRunning, []string{"K-1"}, end.AddDate(1, 0, 0)},
		[]any{v.Status, v.ActivationCodes, *v.ExpiresAt}, "a renewal without a code keeps the key")

	s.carriedOut(s.operates(keyturn.OpRenew, id), nil, "K-1")
	require.Equal(t, []string{"K-1"}, s.license(id).ActivationCodes, "so does one that names the same key")
	require.Nil(t, s.license(id).ExpiresAt, "nobody said how long the new term is")

	s.carriedOut(s.operates(keyturn.OpRenew, id, until(end)), nil, "K-2")
	v = s.license(id)
	require.Equal(t, []any{[]string{"K-2"}, end}, []any{v.ActivationCodes, *v.ExpiresAt},
		"a new code replaces the key; the order's word on the term counts where the partner has none")

	call = s.carriedOut(s.operates(keyturn.OpPause, id), nil)
	require.Equal(t, []string{"K-2"}, call.License.Additional["activationCode"])
	require.Equal(t, []string{"3"}, call.License.Additional["seats"], "what a renewal captured is offered later")
	require.Equal(t, []any{keyturn.LicensePaused, []string{"K-2"}},
		[]any{s.license(id).Status, s.license(id).ActivationCodes})
	s.carriedOut(s.operates(keyturn.OpResume, id), nil)
	require.Equal(t, []any{keyturn.LicenseRunning, []string{"K-2"}, end},
		[]any{s.license(id).Status, s.license(id).ActivationCodes, *s.license(id).ExpiresAt})

	call = s.carriedOut(s.operates(keyturn.OpUpgrade, id, to("suite")),
		map[string][]string{"expirationTimestamp": {"2050-01-01"}}, "K-3")
	require.Equal(t, []any{id, "suite"}, []any{call.LicenseID, call.Product.ID})
	v = s.license(id)
	require.Equal(t, []any{keyturn.LicenseRunning, "suite", []string{"K-3"}, end},
		[]any{v.Status, v.ProductID, v.ActivationCodes, *v.ExpiresAt}, "an upgrade keeps the term")

	s.carriedOut(s.operates(keyturn.OpCancel, id), nil)
	v = s.license(id)
	require.Equal(t, keyturn.LicenseCanceled, v.Status)
	require.Empty(t, v.ActivationCodes)
	var done []string
	for _, op := range v.Operations {
		require.Equal(t, keyturn.LineDelivered, op.Status)
		done = append(done, fmt.Sprint(op.Operation, " ", op.From, " ", op.To))
	}
	require.Equal(t, []string{
		"renew Running Running", "renew Running Running", "renew Running Running", "pause Running Paused",
		"resume Paused Running",
		"upgrade Running Running", "cancel Running Canceled",
	}, done)
	require.Empty(t, reads[string](s, `SELECT source FROM revocations`))
	require.Empty(t, reads[string](s, `SELECT cause FROM alerts`))
}

func TestLicenseThroughItsLifeFromAPool(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("deluxe", fromPool("d"))
	s.stock("p", "P-1", "P-2")
	s.stock("d", "D-1")
	id := s.sell("game")
	s.claimed(id)
	s.delivered(id)
	end := time.Date(2037, 6, 15, 0, 0, 0, 0, time.UTC)

	s.applied(s.operates(keyturn.OpRenew, id, until(end)))
	v := s.license(id)
	require.Equal(t, []any{keyturn.LicenseRunning, []string{"P-1"}, end}, []any{v.Status, v.ActivationCodes, *v.ExpiresAt})
	s.applied(s.operates(keyturn.OpPause, id))
	require.Equal(t, keyturn.LicensePaused, s.license(id).Status)
	s.applied(s.operates(keyturn.OpResume, id))
	require.Equal(t, keyturn.LicenseRunning, s.license(id).Status)

	up := s.operates(keyturn.OpUpgrade, id, to("deluxe"))
	s.claimed(up)
	s.delivered(up)
	v = s.license(id)
	require.Equal(t, []any{"deluxe", "pool/d", []string{"D-1"}, end},
		[]any{v.ProductID, v.Source, v.ActivationCodes, *v.ExpiresAt})
	require.Equal(t, "delivered", read[string](s, `SELECT state FROM pool_keys WHERE line_id = $1`, s.lineID(id)),
		"the old key is retired, not for sale")

	s.applied(s.operates(keyturn.OpCancel, id))
	require.Equal(t, keyturn.LicenseCanceled, s.license(id).Status)
	require.Equal(t, []string{"quarantined", "quarantined"},
		reads[string](s, `SELECT state FROM pool_keys WHERE line_id IS NOT NULL`))
	for pool, want := range map[string]Stock3{"p": {1, 0, 1}, "d": {0, 0, 1}} {
		got, err := s.Stock().Pool(s.ctx, pool)
		require.NoError(t, err)
		require.Equal(t, want, Stock3{got.Stock.Available, got.Stock.Delivered, got.Stock.Quarantined}, pool)
	}
}

// Stock3 is what is left of a pool's figures once nothing is under way: available, delivered, quarantined.
type Stock3 [3]int64

func TestLicenseOfSeveralUnitsIsAskedAboutUnitByUnit(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.order("O-1", lineOf("cad", 3))[0]
	var ids []string
	for i := range 3 {
		call := s.beginCall(id)
		ids = append(ids, call.LicenseID)
		s.finishCall(id, answered(call, fmt.Sprintf("K-%d", i)))
	}
	s.delivered(id)
	renew := s.operates(keyturn.OpRenew, id)
	for i := range 3 {
		call := s.beginCall(renew)
		require.Equal(t, ids[i], call.LicenseID, "each unit has its own ID for life")
		require.Equal(t, []string{fmt.Sprintf("K-%d", i)}, call.License.Additional["activationCode"])
		var codes []string
		if i == 1 {
			codes = []string{"K-NEW"}
		}
		r := answered(call, codes...)
		r.Additional = map[string][]string{"expirationTimestamp": {fmt.Sprintf("2040-01-0%d", 3-i)}}
		s.finishCall(renew, r)
	}
	s.delivered(renew)
	v := s.license(id)
	require.Equal(t, []string{"K-0", "K-NEW", "K-2"}, v.ActivationCodes)
	require.Equal(t, "2040-01-01", v.ExpiresAt.Format(time.DateOnly), "the line expires with its first unit")
}

func TestOperationsThatMakeNoSense(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	s.product("suite", fromEndpoint("acme"))
	sub := func(l *keyturn.LineItem) { l.SubscriptionID = "sub-1" }
	in := orderOf("O-1", lineOf("cad", 1))
	sub(&in.Order.LineItems[0])
	a, _, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	id := a.Starts[0].FulfillmentID
	s.carriedOut(id, nil, "K-1")
	paused, canceled, expired := s.sell("cad"), s.sell("cad"), s.sell("cad")
	for i, x := range []string{paused, canceled, expired} {
		s.carriedOut(x, nil, fmt.Sprintf("L-%d", i))
	}
	s.carriedOut(s.operates(keyturn.OpPause, paused), nil)
	s.carriedOut(s.operates(keyturn.OpCancel, canceled), nil)
	s.carriedOut(s.operates(keyturn.OpRenew, expired, until(time.Now().Add(-time.Hour))), nil)
	refunded := s.sell("cad")
	s.resolve(refunded, keyturn.ActionRefund)

	bySub := func(l *keyturn.LineItem) { l.LicenseID, l.SubscriptionID = "", "sub-1" }
	for name, c := range map[string]struct {
		op      keyturn.OperationName
		license string
		change  func(*keyturn.LineItem)
		field   string
	}{
		"resume of a running one":  {keyturn.OpResume, id, nil, "operation"},
		"pause of a paused one":    {keyturn.OpPause, paused, nil, "operation"},
		"anything of a cancelled":  {keyturn.OpRenew, canceled, nil, "operation"},
		"cancel of a cancelled":    {keyturn.OpCancel, canceled, nil, "operation"},
		"upgrade of an expired":    {keyturn.OpUpgrade, expired, to("suite"), "operation"},
		"of a refunded create":     {keyturn.OpRenew, refunded, nil, "operation"},
		"renew to another product": {keyturn.OpRenew, id, to("suite"), "productId"},
		"upgrade to the same":      {keyturn.OpUpgrade, id, nil, "productId"},
		"another quantity":         {keyturn.OpRenew, id, func(l *keyturn.LineItem) { l.Quantity = 2 }, "quantity"},
		"unknown": {
			keyturn.OpRenew, id, func(l *keyturn.LineItem) { l.LicenseID = uuid.NewString() },
			"licenseId",
		},
		"an unknown subscription": {keyturn.OpRenew, id, func(l *keyturn.LineItem) {
			l.LicenseID, l.SubscriptionID = "",
				"sub-2"
		}, "subscriptionId"},
		"another's subscription": {keyturn.OpRenew, paused, bySub, "subscriptionId"},
		"the licence of an operation": {keyturn.OpRenew, id, func(l *keyturn.LineItem) {
			l.LicenseID = read[string](s, `SELECT fulfillment_id FROM line_items WHERE operation = 'pause'`)
		}, "licenseId"},
	} {
		in := s.operation(c.op, c.license)
		if c.change != nil {
			c.change(&in.Order.LineItems[0])
		}
		_, _, err := s.Accept(s.ctx, in)
		require.Error(t, err, name)
		wantKind(t, err, keyturn.KindInvalid, "lineItems[0]."+c.field)
		require.Zero(t, read[int](s, `SELECT count(*) FROM orders WHERE id = $1`, in.Order.ID), "nothing of it is stored")
	}

	others := s.operation(keyturn.OpRenew, id)
	others.Order.Customer.ID = "somebody-else"
	_, _, err = s.Accept(s.ctx, others)
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].licenseId")
	unknown := s.operation(keyturn.OpRenew, id)
	unknown.Order.LineItems[0].LicenseID = uuid.NewString()
	_, _, err2 := s.Accept(s.ctx, unknown)
	require.Equal(t, err2.Error(), err.Error(), "another customer's licence looks like none")

	_, _, err = s.PutIntegration(s.ctx, keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test",
		Operations: map[string]keyturn.Operation{"create": {}, "suspend": {}},
	})
	require.NoError(t, err)
	_, _, err = s.Accept(s.ctx, s.operation(keyturn.OpRenew, id))
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].operation")
	require.ErrorContains(t, err, "defines neither renew nor fallback")
	found := s.operates(keyturn.OpPause, id, bySub)
	require.Equal(t, id, read[string](s, `SELECT license_id FROM line_items WHERE fulfillment_id = $1`, found),
		"found by its subscription")
}

func TestSubscriptionOfSeveralLicences(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromPool("p"))
	s.product("cam", fromPool("p"))
	s.stock("p", "1", "2", "3")
	var ids []string
	for i, product := range []string{"cad", "cam", "cam"} {
		in := orderOf(fmt.Sprintf("O-%d", i), lineOf(product, 1))
		in.Order.Customer.ID, in.Order.LineItems[0].SubscriptionID = "c-1", "sub-1"
		a, _, err := s.Accept(s.ctx, in)
		require.NoError(t, err)
		ids = append(ids, a.Starts[0].FulfillmentID)
		s.claimed(a.Starts[0].FulfillmentID)
		s.delivered(a.Starts[0].FulfillmentID)
	}
	bySub := func(l *keyturn.LineItem) { l.LicenseID, l.SubscriptionID = "", "sub-1" }
	f := s.operation(keyturn.OpRenew, ids[0], bySub)
	a, _, err := s.Accept(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, ids[0], a.Order.LineItems[0].LicenseID, "the product tells them apart")
	s.applied(a.Starts[0].FulfillmentID)
	_, _, err = s.Accept(s.ctx, s.operation(keyturn.OpRenew, ids[1], bySub))
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].subscriptionId")
	require.ErrorContains(t, err, "names 3 licences")
	s.applied(s.operates(keyturn.OpCancel, ids[2]))
	a, _, err = s.Accept(s.ctx, s.operation(keyturn.OpRenew, ids[1], bySub))
	require.NoError(t, err)
	require.Equal(t, ids[1], a.Order.LineItems[0].LicenseID, "what is cancelled is not meant")
}

func TestExpiryIsReadInEveryForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1813036000000": "2027-06-15T05:06:40Z", "2027-06-15T05:06:40Z": "2027-06-15T05:06:40Z",
		"2027-06-15T07:06:40.5+02:00": "2027-06-15T05:06:40Z",
		"2027-06-15":                  "2027-06-15T00:00:00Z", "": "", "soon": "", "0": "", "99999999999999999": "",
		"1999-01-01": "",
		"-1":         "",
	} {
		at, ok := parseTerm(text)
		require.Equal(t, want != "", ok, text)
		if ok {
			require.Equal(t, want, at.Format(time.RFC3339), text)
			require.True(t, strings.HasSuffix(at.Location().String(), "UTC"))
		}
	}
}

// A recalled key is shown as what it was, beside the one that took its place; what was done to the licence changes
// neither.
func TestLicenceOfARecalledKey(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "bad-1")
	id := s.sell("game")
	s.claimed(id)
	s.delivered(id)
	require.NoError(t, s.Stock().Recall(s.ctx, "p", s.batchOf("p"), "leaked", true, "ops"))
	s.stock("p", "good-1")
	n, err := s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	for _, d := range reads[string](s, `SELECT id FROM deliveries WHERE status = 'READY'`) {
		_, _, err := s.BeginSend(s.ctx, d)
		require.NoError(t, err)
		require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: d}, nil))
	}
	s.applied(s.operates(keyturn.OpRenew, id))
	v := s.license(id)
	require.Equal(t, []any{[]string{"good-1"}, []string{"bad-1"}}, []any{v.ActivationCodes, v.ReplacedCodes})
	s.applied(s.operates(keyturn.OpCancel, id))
	require.Equal(t, []string{"quarantined", "recalled"}, reads[string](s, `SELECT state FROM pool_keys ORDER BY state`))
}

// A key that an upgrade has retired is nobody's to use: when it leaks it is listed and not replaced, whether the recall
// comes before the upgrade or after it. Once the upgrade is taken back, the key is the licence's again, and replaced.
func TestRetiredKeysAreNotReplaced(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("deluxe", fromPool("d"))
	s.stock("p", "bad-1", "bad-2")
	s.stock("d", "D-1", "D-2")
	batch := s.batchOf("p")
	upgraded := func(id string) string {
		up := s.operates(keyturn.OpUpgrade, id, to("deluxe"))
		s.claimed(up)
		s.delivered(up)
		return up
	}
	before, after := s.sell("game"), s.sell("game")
	for _, f := range []string{before, after} {
		s.claimed(f)
		s.delivered(f)
	}
	up := upgraded(before)
	require.NoError(t, s.Stock().Recall(s.ctx, "p", batch, "leaked", true, "ops"))
	recall := func() []int {
		v, err := s.Stock().Batch(s.ctx, "p", batch)
		require.NoError(t, err)
		return []int{v.Recall.Sold, v.Recall.Owed, v.Recall.Replaced, v.Recall.Void}
	}
	require.Equal(t, []int{2, 1, 0, 1}, recall(), "the pool is dry")
	upgraded(after)
	require.Equal(t, []int{2, 0, 0, 2}, recall())
	s.stock("p", "good-1", "good-2")
	n, err := s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, int64(2), s.pool("p").Stock.Available)
	err = s.OweReplacements(s.ctx, before, nil, "leaked", "ops")
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "an upgrade has taken the place")

	order := read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, up)
	require.NoError(t, s.CancelOrder(s.ctx, order, "withdrawal"))
	_, err = s.Review(s.ctx, up)
	require.NoError(t, err)
	s.refunded(up)
	require.Equal(t, []int{2, 1, 0, 1}, recall())
	n, err = s.ReplaceOwed(s.ctx, 100, renderMail)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []int{2, 0, 1, 1}, recall())
	v := s.license(before)
	require.Equal(t, []any{"game", []string{"good-1"}}, []any{v.ProductID, v.ActivationCodes})
	for _, d := range reads[string](s, `SELECT id FROM deliveries WHERE status = 'READY' AND kind = 'keys'`) {
		_, _, err := s.BeginSend(s.ctx, d)
		require.NoError(t, err)
		require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: d}, nil))
	}
}

// A product that takes no orders while its pool is empty still takes what needs no key.
func TestRenewalNeedsNoStock(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{
		ID: "game", Sources: []keyturn.Source{fromPool("p")},
		Sell: keyturn.Sell{WhenEmpty: keyturn.SellRefuse},
	})
	s.stock("p", "K-1")
	id := s.sell("game")
	s.claimed(id)
	s.delivered(id)
	_, _, err := s.Accept(s.ctx, orderOf("O-2", lineOf("game", 1)))
	wantKind(t, err, keyturn.KindConflict, "lineItems[0].productId")
	s.applied(s.operates(keyturn.OpRenew, id))
	s.applied(s.operates(keyturn.OpCancel, id))
}
