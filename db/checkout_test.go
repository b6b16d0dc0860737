package db

import (
	"crypto/sha256"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
)

// linkOf is a checkout link of these products, at 10.00 EUR each.
func linkOf(key string, products ...string) LinkInput {
	hash := sha256.Sum256([]byte(key))
	in := LinkInput{
		Client: "shop", IdempotencyKey: key, RequestHash: hash[:],
		Link: keyturn.CheckoutLink{
			Currency: "EUR", Provider: "sandbox",
			Customer: keyturn.Customer{Email: "ada@buyer.test", Country: "FR", Locale: "fr-FR", FirstName: "Ada"},
		},
		Complete: func(l keyturn.CheckoutLink, now time.Time) (keyturn.CheckoutLink, error) {
			l = l.WithDefaults(now, "sandbox")
			return l, l.Check(now, func(string) error { return nil }, nil)
		},
	}
	for _, p := range products {
		in.Link.LineItems = append(in.Link.LineItems, keyturn.LinkLine{ProductID: p, Name: "A " + p, UnitPrice: "10.00"})
	}
	return in
}

// link makes a checkout link and gives its ID and the token of its page.
func (s *shop) link(in LinkInput) (id, token string) {
	s.t.Helper()
	v, repeated, err := s.CreateLink(s.ctx, in)
	require.NoError(s.t, err)
	require.False(s.t, repeated)
	require.Equal(s.t, keyturn.LinkOpen, v.Status)
	return v.ID, s.LinkToken(v.ID)
}

func (s *shop) beginPayment(token string) (PaymentBegun, error) {
	page, err := s.CheckoutPage(s.ctx, token)
	if err != nil {
		return PaymentBegun{}, err
	}
	return s.BeginPayment(s.ctx, PaymentStart{
		Token: token, Version: page.Version, Customer: page.Customer, From: home, PayWithin: 30 * time.Minute,
		CheckAddress: func(string) error { return nil }, Respond: answerOf,
	})
}

func answerOf(a Accepted) ([]byte, error) {
	return []byte("answer to " + a.Order.ID + " " + a.PageToken), nil
}

// payment begins a payment and opens its session.
func (s *shop) openPayment(token string) string {
	s.t.Helper()
	begun, err := s.beginPayment(token)
	require.NoError(s.t, err)
	require.Nil(s.t, begun.Accepted)
	s.processorSays(begun.ID, keyturn.ProcessorState{
		Status: keyturn.AtProcessorOpen, SessionReference: "session-" + begun.ID, URL: "https://pay.test/" + begun.ID,
	})
	return begun.ID
}

func (s *shop) processorSays(id string, state keyturn.ProcessorState) Reconciled {
	s.t.Helper()
	out, err := s.Reconcile(s.ctx, id, state, "test", answerOf)
	require.NoError(s.t, err)
	return out
}

func (s *shop) euro(minor int64) keyturn.Money { return keyturn.Money{Minor: minor, Currency: "EUR"} }

func (s *shop) authorized(id string, minor int64) keyturn.ProcessorState {
	return keyturn.ProcessorState{
		Status: keyturn.AtProcessorAuthorized, PaymentReference: "pi-" + id, Authorized: s.euro(minor),
		CaptureWithin: 7 * 24 * time.Hour,
	}
}

func (s *shop) capturedAs(id string, minor int64) keyturn.ProcessorState {
	state := s.authorized(id, minor)
	state.Status, state.Captured = keyturn.AtProcessorCaptured, s.euro(minor)
	s.exec(`
		INSERT INTO sandbox_payments (reference, order_id, captured_minor, currency)
		SELECT $1, k.order_id, $2, 'EUR' FROM payments p JOIN checkout_links k ON k.id = p.link_id WHERE p.id = $3
		ON CONFLICT DO NOTHING`, state.PaymentReference, minor, id)
	return state
}

func (s *shop) paymentStatus(id string) keyturn.PaymentStatus {
	s.t.Helper()
	return read[keyturn.PaymentStatus](s, `SELECT status FROM payments WHERE id = $1`, id)
}

func (s *shop) linkStatus(id string) keyturn.LinkStatus {
	s.t.Helper()
	return read[keyturn.LinkStatus](s, `SELECT status FROM checkout_links WHERE id = $1`, id)
}

// The steps that the database allows are those of the code, and it enforces them, whoever writes.
func TestDatabaseAllowsTheSameStepsOfLinksAndPayments(t *testing.T) {
	s := newShop(t)
	stored := func(function string) []string {
		text := read[string](s, `SELECT prosrc FROM pg_proc WHERE proname = $1`, function)
		var out []string
		for _, m := range regexp.MustCompile(`'([A-Z_]+>[A-Z_]+)'`).FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return out
	}
	coded := map[string]bool{}
	for from, next := range keyturn.PaymentTransitions {
		for _, to := range next {
			coded[string(from)+">"+string(to)] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(coded)), stored("payment_may_become"))
	coded = map[string]bool{}
	for from, next := range keyturn.LinkTransitions {
		for _, to := range next {
			coded[string(from)+">"+string(to)] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(coded)), stored("link_may_become"))
}

// The key is in hand before the money is taken, and the money is taken before the key is shown.
func TestALinkIsAuthorizedObtainedCapturedDelivered(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	id, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	require.Equal(t, keyturn.LinkPaying, s.linkStatus(id))

	out := s.processorSays(pay, s.authorized(pay, 1000))
	require.NotNil(t, out.Accepted)
	require.Equal(t, keyturn.PaymentAuthorized, s.paymentStatus(pay))
	require.Equal(t, keyturn.LinkUsed, s.linkStatus(id))
	again := s.processorSays(pay, s.authorized(pay, 1000))
	require.Nil(t, again.Accepted, "one payment is one order")

	f := out.Accepted.Starts[0].FulfillmentID
	next, err := s.Claim(s.ctx, f, renderMail)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoCapture, next.Do)
	mail, next, _, err := s.BeginDelivery(s.ctx, f, renderMail)
	require.NoError(t, err)
	require.Nil(t, mail, "no key goes out before the money is taken")
	require.Equal(t, keyturn.DoCapture, next.Do)
	_, err = s.RevealToCustomer(s.ctx, s.PageToken(out.Accepted.Order.ID), f, "keys", home)
	wantKind(t, err, keyturn.KindConflict)

	until := time.Now().Add(30 * 24 * time.Hour)
	_, err = s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionExtend, Until: &until})
	wantKind(t, err, keyturn.KindConflict)

	due, _, wait, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.Zero(t, wait)
	require.Equal(t, s.euro(1000), due.Sum)
	require.Equal(t, "pi-"+pay, due.PaymentReference)
	other, _, wait, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.Nil(t, other, "one process captures at a time")
	require.Positive(t, wait)

	next, err = s.FinishCapture(s.ctx, f, s.capturedAs(pay, 1000))
	require.NoError(t, err)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	require.Equal(t, keyturn.PaymentCaptured, s.paymentStatus(pay))
	s.paymentMails(pay)
	mail, _, _, err = s.BeginDelivery(s.ctx, f, renderMail)
	require.NoError(t, err)
	require.NotNil(t, mail)
	next, err = s.FinishDelivery(s.ctx, f, mail, nil, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineDelivered, next.Status)
	require.Equal(t, []string{"CREATED>OPEN", "OPEN>AUTHORIZED", "AUTHORIZED>CAPTURING", "CAPTURING>CAPTURED"},
		reads[string](s, `SELECT from_status || '>' || to_status FROM payment_log WHERE payment_id = $1 ORDER BY version`, pay))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM sandbox_payments`), "the order itself books nothing as captured")
}

// What cannot be delivered is not charged.
func TestALinkThatCannotBeDeliveredIsNotCharged(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
	s.claimed(f)
	require.Equal(t, keyturn.LineWaitingForStock, s.status(f))
	_, err := s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund})
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
	s.paymentMails(pay)
	next, err := s.ReviewPayment(s.ctx, pay)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoVoid, next.Do)
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	require.Equal(t, keyturn.PaymentVoided, s.paymentStatus(pay))
	due, _, err := s.BeginRefund(s.ctx, f)
	require.NoError(t, err)
	require.Zero(t, due.Minor, "nothing was taken, so nothing goes back")
	s.refunded(f)
	require.Equal(t, keyturn.LineCanceled, s.status(f))
}

// Of several lines, what was given up before the capture is not charged, and what is given up later is refunded.
func TestTwoLinesOneIsGivenUp(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(map[bool]string{true: "before the capture", false: "after it"}[before], func(t *testing.T) {
			s := newShop(t)
			s.product("game", fromPool("p"))
			s.product("late", fromPool("empty"))
			s.stock("p", "AAAA")
			_, token := s.link(linkOf("k1", "game", "late"))
			pay := s.openPayment(token)
			starts := s.processorSays(pay, s.authorized(pay, 2000)).Accepted.Starts
			game, late := starts[0].FulfillmentID, starts[1].FulfillmentID
			s.claimed(game)
			due, _, wait, err := s.BeginCapture(s.ctx, game)
			require.NoError(t, err)
			require.Nil(t, due, "the other line is on its first attempt")
			require.Positive(t, wait)
			s.claimed(late)
			giveUp := func() {
				_, err := s.Resolve(s.ctx, late, keyturn.Resolution{Action: keyturn.ActionRefund})
				require.NoError(t, err)
			}
			if before {
				giveUp()
			}
			due, _, _, err = s.BeginCapture(s.ctx, game)
			require.NoError(t, err)
			sum, owed := int64(2000), int64(1000)
			if before {
				sum, owed = 1000, 0
			}
			require.Equal(t, s.euro(sum), due.Sum)
			if !before {
				_, err := s.Resolve(s.ctx, late, keyturn.Resolution{Action: keyturn.ActionRefund})
				wantKind(t, err, keyturn.KindConflict)
			}
			_, err = s.FinishCapture(s.ctx, game, s.capturedAs(pay, sum))
			require.NoError(t, err)
			if !before {
				giveUp()
			}
			refund, _, err := s.BeginRefund(s.ctx, late)
			require.NoError(t, err)
			require.Equal(t, owed, refund.Minor)
			s.refunded(late)
		})
	}
}

// chargeReady gives up what has failed and has no key in hand, uncharged.
func TestChargeReadyGivesUpWhatFailed(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("late", fromPool("empty"))
	s.stock("p", "AAAA")
	in := linkOf("k1", "game", "late")
	in.Link.Mixed = keyturn.MixedChargeReady
	_, token := s.link(in)
	pay := s.openPayment(token)
	starts := s.processorSays(pay, s.authorized(pay, 2000)).Accepted.Starts
	game, late := starts[0].FulfillmentID, starts[1].FulfillmentID
	s.claimed(late)
	s.claimed(game)
	due, _, wait, err := s.BeginCapture(s.ctx, game)
	require.NoError(t, err)
	require.Nil(t, due)
	require.Positive(t, wait)
	next, err := s.Review(s.ctx, late)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	due, _, _, err = s.BeginCapture(s.ctx, game)
	require.NoError(t, err)
	require.Equal(t, s.euro(1000), due.Sum)
	_, err = s.FinishCapture(s.ctx, game, s.capturedAs(pay, 1000))
	require.NoError(t, err)
	s.refunded(late)
}

// A payment that ends unpaid opens its link again, and one that succeeds after all goes back whole.
func TestLatePaymentsGoBack(t *testing.T) {
	for _, state := range []keyturn.ProcessorStatus{keyturn.AtProcessorAuthorized, keyturn.AtProcessorCaptured} {
		t.Run(string(state), func(t *testing.T) {
			s := newShop(t)
			s.product("game", fromPool("p"))
			id, token := s.link(linkOf("k1", "game"))
			first := s.openPayment(token)
			s.processorSays(first, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
			require.Equal(t, keyturn.PaymentExpired, s.paymentStatus(first))
			require.Equal(t, keyturn.LinkOpen, s.linkStatus(id))
			second := s.openPayment(token)
			require.NotEqual(t, first, second)

			late := s.authorized(first, 1000)
			if state == keyturn.AtProcessorCaptured {
				late = s.capturedAs(first, 1000)
			}
			require.Nil(t, s.processorSays(first, late).Accepted)
			require.Equal(t, 1, s.alerts("cause = 'LatePayment' AND closed_at IS NULL"))
			if state == keyturn.AtProcessorAuthorized {
				require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(first))
				s.processorSays(first, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
			} else {
				due, _, err := s.BeginPaymentRefund(s.ctx, first)
				require.NoError(t, err)
				require.Equal(t, s.euro(1000), due.Amount)
				s.paymentMails(first)
				next, err := s.FinishPaymentRefund(s.ctx, first, "re_1")
				require.NoError(t, err)
				require.Equal(t, keyturn.PaymentDoNothing, next.Do)
			}
			require.Equal(t, keyturn.LinkPaying, s.linkStatus(id), "the other payment goes on")
			require.NotNil(t, s.processorSays(second, s.authorized(second, 1000)).Accepted)
		})
	}
}

// An authorization that is gone ends its order, and nothing is charged.
func TestALostAuthorizationEndsTheOrder(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
	s.claimed(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	gone := keyturn.Errorf(keyturn.KindRejected, "it ran out")
	gone.Permanent = true
	next, err := s.FailCapture(s.ctx, f, due, gone)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	require.Equal(t, keyturn.PaymentLost, s.paymentStatus(pay))
	require.Equal(t, "available", read[string](s, `SELECT state FROM pool_keys`), "nobody has seen the key")
	s.refunded(f)
}

// What nobody knows is asked before it is tried again, and the same key is used until it is proved that nothing
// happened.
func TestACaptureWithoutAnAnswer(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
	s.claimed(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.False(t, due.Look)
	next, err := s.FailCapture(s.ctx, f, due, keyturn.Errorf(keyturn.KindUnavailable, "no answer"))
	require.NoError(t, err)
	require.Equal(t, keyturn.LineRetrying, next.Status)
	require.Equal(t, keyturn.DoCapture, next.Do)
	require.Equal(t, 1, s.alerts("cause = 'Capture' AND closed_at IS NULL"))
	require.Contains(t, read[string](s, `SELECT detail FROM alerts WHERE cause = 'Capture'`), `"uncharged":true`,
		"no e-mail may speak of a refund")
	_, err = s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund})
	wantKind(t, err, keyturn.KindConflict)

	again, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.True(t, again.Look)
	require.Equal(t, due.No, again.No)
	_, err = s.FailCapture(s.ctx, f, due, keyturn.Errorf(keyturn.KindUnavailable, "no answer"))
	require.NoError(t, err, "the failure of an earlier try changes nothing")
	next, err = s.FailCapture(s.ctx, f, again, keyturn.Errorf(keyturn.KindUnavailable, "no answer"))
	require.NoError(t, err)
	require.Equal(t, keyturn.DoCapture, next.Do)
	s.processorSays(pay, s.authorized(pay, 1000))
	third, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, due.No+1, third.No, "the look proved that nothing was taken")
	_, err = s.FinishCapture(s.ctx, f, s.capturedAs(pay, 1000))
	require.NoError(t, err)
	require.Zero(t, s.alerts("cause = 'Capture' AND closed_at IS NULL"))
}

// A link sells once, whatever comes at the same time.
func TestALinkSellsOnce(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	for range 20 {
		id, token := s.link(linkOf(newID(), "game"))
		ids := make([]string, 4)
		for _, err := range atOnce(4, func(i int) error {
			begun, err := s.beginPayment(token)
			ids[i] = begun.ID
			return err
		}) {
			require.NoError(t, err)
		}
		require.Len(t, slices.Compact(ids), 1, "pressed twice, it is the same payment")
		pay := ids[0]
		s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorOpen, SessionReference: "s-" + pay})
		orders := make([]bool, 4)
		for _, err := range atOnce(4, func(i int) error {
			out, err := s.Reconcile(s.ctx, pay, s.authorized(pay, 1000), "test", answerOf)
			orders[i] = out.Accepted != nil
			return err
		}) {
			require.NoError(t, err)
		}
		require.Len(t, slices.DeleteFunc(orders, func(accepted bool) bool { return !accepted }), 1)
		require.Equal(t, keyturn.LinkUsed, s.linkStatus(id))
	}
}

// An order whose ID was taken meanwhile is not accepted: its money goes back and the link is open again.
func TestAPaymentWhoseOrderCannotBeAccepted(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	in := linkOf("k1", "game")
	in.Link.OrderID = "taken"
	id, token := s.link(in)
	pay := s.openPayment(token)
	s.order("taken", lineOf("game", 1))
	out := s.processorSays(pay, s.authorized(pay, 1000))
	require.Nil(t, out.Accepted)
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
	require.Equal(t, keyturn.LinkOpen, s.linkStatus(id))
	require.Equal(t, 1, s.alerts("cause = 'NotAccepted' AND closed_at IS NULL"))
}

func TestAnotherSumIsAMismatch(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	require.Nil(t, s.processorSays(pay, s.authorized(pay, 999)).Accepted)
	require.Equal(t, keyturn.PaymentMismatch, s.paymentStatus(pay))
	require.Equal(t, 1, s.alerts("cause = 'Mismatch' AND closed_at IS NULL"))
}

func TestALinkOfZeroNeedsNoPayment(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	in := linkOf("k1", "game")
	in.Link.LineItems[0].UnitPrice = "0"
	id, token := s.link(in)
	begun, err := s.beginPayment(token)
	require.NoError(t, err)
	require.NotNil(t, begun.Accepted)
	require.Equal(t, keyturn.LinkUsed, s.linkStatus(id))
	require.Equal(t, keyturn.PaymentCaptured, s.paymentStatus(begun.ID))
	require.Equal(t, keyturn.DoDeliver, s.claimed(begun.Accepted.Starts[0].FulfillmentID).Do)
}

// What the link says of a product in its place is what partners, e-mails and pages see.
func TestALinkReplacesWhatItsProductSays(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	in := linkOf("k1", "game")
	in.Link.LineItems[0].Variables = map[string]string{"devices": "5"}
	in.Link.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 2, Min: 1, Max: 5}
	in.Link.Offers.OnVisit = []keyturn.LinkOffer{{ID: "o1", Headline: "More", LineItem: keyturn.LinkLine{
		ProductID: "game", Name: "Twice the game", UnitPrice: "15.00", SKU: "G2",
	}}}
	_, token := s.link(in)
	page, err := s.CheckoutPage(s.ctx, token)
	require.NoError(t, err)
	require.Equal(t, s.euro(2000), page.Total)
	require.NoError(t, s.ChooseQuantity(s.ctx, token, page.Version, 0, 3))
	require.ErrorIs(t, s.ChooseQuantity(s.ctx, token, page.Version, 0, 4), ErrOlderPage)
	page, err = s.CheckoutPage(s.ctx, token)
	require.NoError(t, err)
	require.Equal(t, s.euro(3000), page.Total)
	wantKind(t, s.ChooseQuantity(s.ctx, token, page.Version, 0, 6), keyturn.KindInvalid)
	require.NoError(t, s.AnswerOffer(s.ctx, token, page.Version, "o1", OfferAccept))
	page, err = s.CheckoutPage(s.ctx, token)
	require.NoError(t, err)
	require.Equal(t, s.euro(1500), page.Total)
	require.Empty(t, page.OnVisit)
	require.NoError(t, s.AnswerOffer(s.ctx, token, page.Version, "o1", OfferUndo))
	page, err = s.CheckoutPage(s.ctx, token)
	require.NoError(t, err)
	require.Equal(t, s.euro(3000), page.Total, "the quantity that was chosen before is there again")
	require.NoError(t, s.AnswerOffer(s.ctx, token, page.Version, "o1", OfferAccept))

	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1500)).Accepted.Starts[0].FulfillmentID
	l, err := s.readLine(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, "Twice the game", l.product.Name)
	require.Empty(t, l.product.Variables)
	require.Contains(t, *l.SoldAs, `"offerId":"o1"`)
}

// What a link promised is sold, whatever the merchant makes of its product meanwhile; how it is obtained follows the
// catalog.
func TestALinkKeepsWhatItPromised(t *testing.T) {
	s := newShop(t)
	game := keyturn.Product{
		ID: "game", Sources: []keyturn.Source{fromPool("p")}, Variables: map[string]string{"edition": "gold"},
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(time.Hour)},
	}
	s.put(game)
	s.product("other", fromPool("q"))
	s.stock("q", "Q-1", "Q-2")
	in := linkOf("k1", "game")
	in.Link.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 2, Min: 2, Max: 2}
	_, token := s.link(in)
	edit := game
	edit.QuantityMode, edit.Variables = keyturn.OnePerLine, map[string]string{"edition": "silver"}
	edit.ExternalContext, edit.Retry.GiveUpAfter = "new", keyturn.Duration(48*time.Hour)
	s.put(edit) // before the customer comes
	page, err := s.CheckoutPage(s.ctx, token)
	require.NoError(t, err)
	require.Equal(t, time.Hour, page.Promise)
	pay := s.openPayment(token)
	edit.Sources = []keyturn.Source{fromPool("q")}
	s.put(edit) // while the customer pays
	f := s.processorSays(pay, s.authorized(pay, 2000)).Accepted.Starts[0].FulfillmentID
	l, err := s.readLine(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, 2, l.units())
	require.Equal(t, map[string]string{"edition": "gold"}, l.product.Variables)
	require.Empty(t, l.product.ExternalContext)
	require.WithinDuration(t, l.CreatedAt.Add(time.Hour), l.GiveUpAt, time.Second)
	require.WithinDuration(t, l.GiveUpAt, read[time.Time](s, `SELECT give_up_at FROM line_items WHERE id = $1`, l.ID),
		time.Second)
	s.claimed(f)
	require.Equal(t, []string{"Q-1", "Q-2"}, s.keysOf(f))
}

// A product that was removed while the customer paid cannot be sold any more: the money goes back.
func TestAProductThatWasRemovedWhileTheCustomerPaid(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	id, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	require.NoError(t, s.DeleteProduct(s.ctx, "game"))
	require.Nil(t, s.processorSays(pay, s.authorized(pay, 1000)).Accepted)
	require.Equal(t, keyturn.PaymentVoiding, s.paymentStatus(pay))
	require.Equal(t, keyturn.LinkOpen, s.linkStatus(id))
	require.Equal(t, 1, s.alerts("cause = 'NotAccepted' AND closed_at IS NULL"))
}

func TestLinksAreMadeOnce(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	in := linkOf("k1", "game")
	in.Link.Reference = "CRM-1"
	first, repeated, err := s.CreateLink(s.ctx, in)
	require.NoError(t, err)
	require.False(t, repeated)
	again, repeated, err := s.CreateLink(s.ctx, in)
	require.NoError(t, err)
	require.True(t, repeated)
	require.Equal(t, first.ID, again.ID)

	other := in
	other.RequestHash = []byte("other")
	_, _, err = s.CreateLink(s.ctx, other)
	wantKind(t, err, keyturn.KindInvalid)
	other.IdempotencyKey = "k2"
	_, _, err = s.CreateLink(s.ctx, other)
	wantKind(t, err, keyturn.KindConflict)
	same := in
	same.IdempotencyKey = "k3"
	again, repeated, err = s.CreateLink(s.ctx, same)
	require.NoError(t, err)
	require.True(t, repeated, "the same content under the same reference is the same link")
	require.Equal(t, first.ID, again.ID)

	in = linkOf("k4", "unknown")
	_, _, err = s.CreateLink(s.ctx, in)
	wantKind(t, err, keyturn.KindInvalid)
	page, err := s.Links(s.ctx, "", "", "CRM-1", "", 10)
	require.NoError(t, err)
	require.Len(t, page.CheckoutLinks, 1)
}

func TestLinksEnd(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	id, token := s.link(linkOf("k1", "game"))
	other, _ := s.link(linkOf("k2", "game"))
	require.NoError(t, s.CancelLink(s.ctx, other, "test", "not needed"))
	require.NoError(t, s.CancelLink(s.ctx, other, "test", "again"))
	s.later(15 * 24 * time.Hour)
	page, err := s.CheckoutPage(s.ctx, token)
	require.NoError(t, err)
	require.Equal(t, keyturn.LinkExpired, page.Status)
	_, err = s.beginPayment(token)
	wantKind(t, err, keyturn.KindConflict)
	n, err := s.ExpireLinks(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, keyturn.LinkExpired, s.linkStatus(id))
}

// An event is booked once, and has its payment looked at, also one that has ended.
func TestEventsOfAProcessorAreHints(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	s.exec(`DELETE FROM outbox`)
	event := ProviderEvent{Provider: "sandbox", ID: "evt_1", Type: "session.paid", SessionReference: "session-" + pay}
	for _, want := range []BookedEvent{EventBooked, EventKnown} {
		got, err := s.BookProviderEvent(s.ctx, event)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	next, err := s.ReviewPayment(s.ctx, pay)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoRetrieve, next.Do)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM outbox WHERE workflow = 'SettlePayment'`))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM provider_events`))
	event.ID, event.SessionReference = "evt_2", "another's"
	got, err := s.BookProviderEvent(s.ctx, event)
	require.NoError(t, err)
	require.Equal(t, EventForeign, got)
	s.later(31 * 24 * time.Hour)
	require.NoError(t, s.ForgetProviderEvents(s.ctx))
	require.Zero(t, read[int](s, `SELECT count(*) FROM provider_events`))
}

// A payment whose workflow is gone gets another one, and one whose processor is silent is not woken all the time.
func TestForgottenPaymentsAreWoken(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	s.exec(`DELETE FROM outbox`)
	wake := func() int {
		n, err := s.WakeForgottenPayments(s.ctx)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, wake())
	s.later(10 * time.Minute)
	require.Equal(t, 1, wake())
	require.Zero(t, wake())
	require.Equal(t, pay, read[string](s, `SELECT subject FROM outbox`))
	next, err := s.ReviewPayment(s.ctx, pay)
	require.NoError(t, err)
	require.Equal(t, keyturn.PaymentDoRetrieve, next.Do)
}

// While PostgreSQL is away, a page says that it is, whichever answer it was that got lost.
func TestPagesOfLinksWithoutADatabase(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	_, token := s.link(linkOf("k1", "game"))
	p, dsn := throughProxy(t, s.dsn)
	d := s.open(t, dsn)
	defer d.Close()
	failed := 0
	for after := range 10 {
		p.Lose(faultproxy.Loss{After: after, Reset: true})
		_, err := d.CheckoutPage(s.ctx, token)
		if p.Disarm(); err != nil {
			wantKind(t, err, keyturn.KindUnavailable)
			failed++
		}
	}
	require.Greater(t, failed, 3)
}
