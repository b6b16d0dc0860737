package web_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

var (
	mainPart = regexp.MustCompile(`(?s)<main>(.*)</main>`)
	tags     = regexp.MustCompile(`<[^>]*>`)
	spaces   = regexp.MustCompile(`\s+`)
)

// shown is what a reader reads.
func (r reply) shown() string {
	body := r.body
	if m := mainPart.FindStringSubmatch(body); m != nil {
		body = m[1]
	}
	return spaces.ReplaceAllString(html.UnescapeString(tags.ReplaceAllString(body, " ")), " ")
}

// tidy joins what tags had parted.
func tidy(s string) string {
	return strings.NewReplacer(" .", ".", " ,", ",").Replace(spaces.ReplaceAllString(s, " "))
}

func TestEachStatusIsToldTruthfully(t *testing.T) {
	slow := keyturn.RetryPolicy{
		Schedule:    []keyturn.Duration{keyturn.Duration(2 * time.Hour)},
		GiveUpAfter: keyturn.Duration(72 * time.Hour),
	}
	hour := time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name    string
		product keyturn.Product
		keys    []string
		play    func(o order)
		status  string
		says    []string
		buttons []string
		final   bool
	}{
		{
			name: "accepted", product: keyturn.Product{Sources: fromPool}, keys: []string{canary + "-1"}, play: func(order) {},
			status: "Being prepared", says: []string{
				"Hello Jean,", "We are preparing your order.", "We are getting your key.",
				"29.99 EUR", "Quantity 1",
			},
		},
		{
			name: "a person supplies the key", product: keyturn.Product{Sources: byHand, Retry: slow}, play: func(order) {},
			status: "Being prepared", says: []string{
				"The shop is preparing your key by hand.",
				"You get your key or your money back by",
			},
		},
		{
			name: "claimed", product: keyturn.Product{Sources: fromPool, CustomerMayRefund: true}, keys: []string{canary + "-1"},
			play:   func(o order) { o.claim(0) },
			status: "On its way", says: []string{"Your key is ready. We are sending it to j…@buyer.test."},
		},
		{
			name: "delivered", product: keyturn.Product{
				Sources: fromPool, URLToInstructions: "https://shop.test/how",
				CustomerMayRefund: true,
			}, keys: []string{canary + "-1"},
			play: func(o order) { o.deliver(0) }, status: "Delivered", final: true, buttons: []string{"Show my key"},
			says: []string{
				"Your order is complete: everything has been delivered.", "Sent to j…@buyer.test on", "UTC",
				"How to activate it",
			},
		},
		{
			name: "the partner failed once", product: keyturn.Product{Sources: fromEndpoint, Retry: slow},
			play: func(o order) { o.call(0, db.CallResult{Failed: &partnerDown}) }, status: "Late",
			says: []string{
				"Something in your order is late.", "We asked the publisher once and do not have your key yet.",
				"Next try", "You get your key or your money back by",
			},
		},
		{
			name:    "the partner failed three times",
			product: keyturn.Product{Sources: fromEndpoint, Retry: slow, CustomerMayRefund: true},
			play: func(o order) {
				for range 3 {
					o.call(0, db.CallResult{Failed: &partnerDown})
				}
			},
			status: "Late", says: []string{"We asked the publisher 3 times and do not have your key yet."},
			buttons: []string{"Refund me now"},
		},
		{
			name: "the next try is due", product: keyturn.Product{Sources: fromEndpoint, Retry: slow},
			play: func(o order) {
				o.call(0, db.CallResult{Failed: &partnerDown})
				o.shop.exec(`UPDATE line_items SET next_attempt_at = now() - interval '1 second'`)
			},
			status: "Late", says: []string{"We are trying again right now."},
		},
		{
			name: "the deadline comes before the next try",
			product: keyturn.Product{
				Sources: fromEndpoint,
				Retry:   keyturn.RetryPolicy{Schedule: slow.Schedule, GiveUpAfter: keyturn.Duration(time.Hour)},
			},
			play:   func(o order) { o.call(0, db.CallResult{Failed: &partnerDown}) },
			status: "Late", says: []string{"We asked the publisher once and do not have your key yet. You get your key or " +
				"your money back by"},
		},
		{
			name: "past the deadline", product: keyturn.Product{Sources: fromEndpoint, Retry: slow},
			play: func(o order) {
				o.call(0, db.CallResult{Failed: &partnerDown})
				o.shop.exec(`UPDATE line_items SET created_at = now() - interval '80 hours'`)
			},
			status: "Late", says: []string{"You waited long enough: your key or your money is next."},
		},
		{
			name:    "the e-mail does not get through",
			product: keyturn.Product{Sources: fromPool, Retry: slow, CustomerMayRefund: true}, keys: []string{canary + "-1"},
			play: func(o order) {
				o.claim(0)
				o.send(0, &partnerDown, false)
			}, status: "E-mail late", buttons: []string{"Show my key", "Refund me now"},
			says: []string{"Your key is ready, but our e-mail to j…@buyer.test has not got through yet.", "Next try"},
		},
		{
			name:    "the e-mail may have arrived: no money on request",
			product: keyturn.Product{Sources: fromPool, Retry: slow, CustomerMayRefund: true}, keys: []string{canary + "-1"},
			play: func(o order) { o.claim(0); o.send(0, &partnerDown, true) }, status: "E-mail late",
			buttons: []string{"Show my key"},
		},
		{
			name: "no stock", product: keyturn.Product{Sources: fromPool, Retry: slow, CustomerMayRefund: true},
			play:   func(o order) { o.claim(0) },
			status: "Waiting for stock", says: []string{
				"There is no key in stock at the moment.", "first come, first served",
				"You get your key or your money back by",
			}, buttons: []string{"Refund me now"},
		},
		{
			name: "held", product: keyturn.Product{Sources: fromEndpoint, Retry: slow, CustomerMayRefund: true},
			play: func(o order) {
				o.decide(0, keyturn.Resolution{Action: keyturn.ActionHold, Until: &hour})
			}, status: "On hold", buttons: []string{"Refund me now"},
			says: []string{"The shop has paused this item to look into it.", "It continues", "at the latest."},
		},
		{
			name: "released", product: keyturn.Product{Sources: fromPool, Retry: slow},
			play: func(o order) {
				o.decide(0, keyturn.Resolution{Action: keyturn.ActionHold})
				o.decide(0, keyturn.Resolution{Action: keyturn.ActionRelease})
			},
			status: "Late", says: []string{"It takes longer than it should.", "We are trying again right now."},
		},
		{
			name: "refund under way", product: keyturn.Product{Sources: fromEndpoint, CustomerMayRefund: true},
			play: func(o order) { o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund}) }, status: "Refund under way",
			says: []string{"A cancellation is under way.", "We are sending 29.99 EUR back to the means of payment you used."},
		},
		{
			name: "refunded", product: keyturn.Product{Sources: fromEndpoint, CustomerMayRefund: true},
			play: func(o order) {
				o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund})
				o.refunded(0)
			}, status: "Refunded", final: true,
			says: []string{"Your order was canceled.", "We sent 29.99 EUR back on", "it can take a few days"},
		},
		{
			name: "the whole order is being cancelled", product: keyturn.Product{Sources: fromPool, CustomerMayRefund: true},
			keys: []string{canary + "-1"},
			play: func(o order) {
				o.deliver(0)
				require.NoError(o.shop.t, o.shop.db.CancelOrder(t.Context(), o.id, "operator words"))
			},
			status: "Refund under way", says: []string{"Your order is being canceled.", "This item is refunded next."},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			tc.product.ID = "acme-pro"
			s.sold(tc.product, tc.keys...)
			o := s.buy("en-GB", "acme-pro")
			tc.play(o)
			got := o.get()
			require.Equal(t, 200, got.status)
			seen := tidy(got.shown())
			require.Contains(t, seen, "Acme-pro "+tc.status+" Quantity")
			for _, want := range tc.says {
				require.Contains(t, seen, strings.ReplaceAll(want, " EUR", "\u00a0EUR"))
			}
			for _, button := range []string{"Show my key", "Refund me now"} {
				require.Equal(t, strings.Contains(strings.Join(tc.buttons, ","), button), strings.Contains(got.body, button),
					"%s in %s", button, seen)
			}
			require.Equal(t, !tc.final, strings.Contains(got.body, "data-refresh="),
				"it looks for news as long as there can be some")
			for _, secret := range []string{
				"partner text", "PARTNER_CODE_9", "operator words", "op-bob", "Unavailable",
				"jean@buyer.test", "partner.test",
			} {
				require.NotContains(t, got.body, secret)
			}
		})
	}
}

func TestThePageSpeaksTheOrdersLanguage(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{
		ID: "acme", Sources: fromPool,
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(48 * time.Hour)},
	})
	for locale, says := range map[string][]string{
		"fr-FR": {
			`lang="fr"`, "Bonjour Jean,", "En attente de stock", "Vous recevez votre clé ou votre argent au plus tard",
			"29,99\u00a0EUR",
		},
		"de_AT": {
			`lang="de"`, "Guten Tag Jean,", "Wartet auf Nachschub", "Sie erhalten Ihren Schlüssel oder Ihr Geld bis",
			"29,99\u00a0EUR",
		},
		"ja-JP": {`lang="en"`, "Hello Jean,", "Waiting for stock", "29.99\u00a0EUR"},
	} {
		o := s.buy(locale, "acme")
		o.claim(0)
		got := o.get()
		for _, want := range says {
			require.Contains(t, html.UnescapeString(got.body), want, locale)
		}
		require.Equal(t, says[0][6:8], got.header.Get("Content-Language"))
		require.Regexp(t, `<time datetime="20[0-9T:-]+Z"[ >]`, got.body, "times can be read by machines")
	}
}

func TestALineIsSentAgainAndElsewhere(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Sources: fromPool}, canary+"-1", canary+"-2")
	again, elsewhere := s.buy("en", "acme"), s.buy("en", "acme")
	again.deliver(0)
	id, err := s.db.Resend(t.Context(), again.lines[0], "new@other.test", "op", letter)
	require.NoError(t, err)
	require.NoError(t, s.db.FinishSend(t.Context(), &db.Delivery{ID: id}, nil))
	require.Contains(t, tidy(again.get().shown()), "Sent again on")

	elsewhere.claim(0)
	elsewhere.send(0, &partnerDown, false)
	_, err = s.db.Resend(t.Context(), elsewhere.lines[0], "new@other.test", "op", letter)
	require.NoError(t, err)
	elsewhere.send(0, nil, true)
	seen := tidy(elsewhere.get().shown())
	require.Contains(t, seen, "Sent by e-mail on")
	require.NotContains(t, seen, "buyer.test", "it went to another address, so the order's is not named")
}
