package web_test

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// opened is the page of a link for Orbit Editor, of which there are keys.
func opened(change func(s *stage, l *keyturn.CheckoutLink)) func(s *stage) sight {
	return func(s *stage) sight {
		s.product(nil, someKeys...)
		_, page := s.changedLink(change)
		return s.page(http.MethodGet, page, nil)
	}
}

func (s *stage) changedLink(change func(s *stage, l *keyturn.CheckoutLink)) (id, page string) {
	s.t.Helper()
	return s.checkoutLink(func(l *keyturn.CheckoutLink) {
		if change != nil {
			change(s, l)
		}
	})
}

// suite is an offer that replaces what is bought.
func (s *stage) suite() []keyturn.LinkOffer {
	return []keyturn.LinkOffer{{
		ID:       "suite",
		Headline: s.in("All of Orbit for a little more", "Tout Orbit pour un peu plus", "Ganz Orbit für etwas mehr"),
		Text: s.in("Editor, fonts and studio, updates included.", "Éditeur, polices et studio, mises à jour comprises.",
			"Editor, Schriften und Studio, mit allen Updates."),
		LineItem: keyturn.LinkLine{
			ProductID: "editor", Name: s.in("Orbit Suite, 1 year", "Orbit Suite, 1 an", "Orbit Suite, 1 Jahr"),
			UnitPrice: "79.00", ListPrice: "99.00",
		},
	}}
}

func known(s *stage, l *keyturn.CheckoutLink) { l.Customer = s.buyer() }

func onVisit(s *stage, l *keyturn.CheckoutLink) { l.Offers.OnVisit = s.suite() }
func onLeave(s *stage, l *keyturn.CheckoutLink) { l.Offers.OnLeave = s.suite() }

func scripted(what string) func(*stage, *keyturn.CheckoutLink) {
	return func(_ *stage, l *keyturn.CheckoutLink) { l.AdditionalData = map[string]string{"sandbox": what} }
}

// choice is a line of which the customer chooses how many.
func choice(s *stage, l *keyturn.CheckoutLink) {
	l.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 2, Min: 1, Max: 10}
	l.LineItems[0].ListPrice = "59.90"
	l.LineItems[0].Description = s.in("For your own computers, with all updates.",
		"Pour vos ordinateurs, avec toutes les mises à jour.", "Für Ihre eigenen Rechner, mit allen Updates.")
}

// begun is a link whose payment has begun.
func (s *stage) begun(change func(*stage, *keyturn.CheckoutLink)) (id, page, pay string) {
	s.t.Helper()
	s.product(nil, someKeys...)
	id, page = s.changedLink(change)
	return id, page, s.ordersAndPays(page)
}

// openScenes are those of a checkout page that is open.
var openScenes = []scene{
	{
		name: "checkout-open", title: "Open", says: "Nobody is known yet.", play: opened(nil),
	},
	{
		name: "checkout-known", title: "A customer who is known",
		says: "The shop has given the customer's details: whoever has the link does not see them.",
		play: opened(known),
	},
	{
		name: "checkout-changing", title: "Details are changed", says: "What is on file opens for another value.",
		play: opened(known), act: `document.querySelector("details").open = true`,
	},
	{
		name: "checkout-quantity", title: "A quantity to choose, and a list price", says: "Each change loads the page anew.",
		play: opened(choice), image: "checkout-page.png",
	},
	{
		name: "checkout-low", title: "Few are left", says: "Unless the product has sell.showStock: never.",
		play: func(s *stage) sight {
			s.product(nil, someKeys[:3]...)
			_, page := s.changedLink(nil)
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-out-of-stock", title: "Out of stock", says: "The customer is told before the order.",
		play: func(s *stage) sight {
			s.product(nil)
			_, page := s.changedLink(nil)
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-several", title: "Several items", says: "The page says how they are charged.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(func(s *stage, l *keyturn.CheckoutLink) {
				second := l.LineItems[0]
				second.Name, second.UnitPrice = s.in("Orbit Fonts", "Orbit Polices", "Orbit Schriften"), "19.90"
				l.LineItems = append(l.LineItems, second)
				l.Mixed = keyturn.MixedChargeReady
			})
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-at-once", title: "Charged at once", says: "The link has capture: atOnce.",
		play: opened(func(_ *stage, l *keyturn.CheckoutLink) { l.Capture = keyturn.CaptureAtOnce }),
	},
	{
		name: "checkout-free", title: "Nothing to pay", says: "There is no payment page.",
		play: opened(func(_ *stage, l *keyturn.CheckoutLink) { l.LineItems[0].UnitPrice = "0.00" }),
	},
	{
		name: "checkout-withdrawal-offered", title: "A shop that offers withdrawal", says: "No consent is asked for.",
		play: func(s *stage) sight {
			s.offersWithdrawal()
			return opened(nil)(s)
		},
	},
	{
		name: "checkout-offer-visit", title: "An offer on the visit", says: "It opens by itself, once.",
		play: opened(onVisit), until: `document.querySelector("dialog[open]") !== null`, image: "checkout-offer.png",
	},
	{
		name: "checkout-offer-page", title: "An offer without script", says: "It stands on the page.",
		play: opened(onVisit), act: `document.querySelector("dialog").close()`, until: `!document.querySelector("dialog")`,
	},
	{
		name: "checkout-offer-leave", title: "An offer on leaving", says: "It opens when the mouse leaves the window.",
		play: opened(onLeave), until: `document.querySelector("dialog[open]") !== null`,
		act: `document.documentElement.dispatchEvent(new PointerEvent("pointerleave", {pointerType: "mouse"}))`,
	},
	{
		name: "checkout-offer-taken", title: "An offer was taken", says: "It can be undone.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(onVisit)
			return s.page(http.MethodPost, page+"/offers/suite", url.Values{
				"version": s.form(page)["version"], "answer": {"accept"},
			})
		},
	},
	{
		name: "checkout-changed", title: "The page has changed", says: "It was open in two windows.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(choice)
			older := s.form(page)
			for n := range 2 {
				s.page(http.MethodPost, page+"/quantity", url.Values{
					"version": s.form(page)["version"], "line": {"0"}, "quantity": {strconv.Itoa(n + 3)},
				})
			}
			return s.page(http.MethodPost, page+"/order", older)
		},
	},
	{
		name: "checkout-quantity-wrong", title: "A quantity that is not sold", says: "The page says which are.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(choice)
			return s.page(http.MethodPost, page+"/quantity", url.Values{
				"version": s.form(page)["version"], "line": {"0"}, "quantity": {"11"},
			})
		},
	},
	{
		name: "checkout-wrong", title: "Something is missing or wrong", says: "What was typed is kept.",
		play: func(s *stage) sight {
			s.dress(keyturn.Shop{Checkout: keyturn.CheckoutSettings{Fields: keyturn.CheckoutFields{
				Street: keyturn.FieldRequired, ZipCode: keyturn.FieldRequired, City: keyturn.FieldRequired,
			}}})
			s.product(nil, someKeys...)
			_, page := s.changedLink(nil)
			form := s.form(page)
			form.Set("email", "emma@mail")
			form.Set("zipCode", "75001")
			form.Del("consent")
			return s.page(http.MethodPost, page+"/order", form)
		},
	},
	{
		name: "checkout-slip", title: "A slip in the address", says: "The page asks whether another one is meant.",
		play: opened(nil),
		act: `(() => { const e = document.getElementById("email"); e.value = "jean.dupont@gmial.com";
			e.dispatchEvent(new Event("input")); })()`,
		until: `!document.getElementById("slip").hidden`,
	},
	{
		name: "checkout-not-sold", title: "Not sold at the moment", says: "The product has sell.whenEmpty: refuse.",
		play: func(s *stage) sight {
			s.product(func(p *keyturn.Product) { p.Sell.WhenEmpty = keyturn.SellRefuse }, someKeys[0])
			_, page := s.changedLink(nil)
			o := s.order()
			o.claim(0)
			return s.page(http.MethodPost, page+"/order", s.form(page))
		},
	},
	{
		name: "checkout-refused", title: "The payment provider refuses", says: "Nothing was charged.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(nil)
			s.processors["sandbox"] = faulty{s.sandbox, keyturn.Errorf(keyturn.KindRejected, "the account is closed")}
			return s.page(http.MethodPost, page+"/order", s.form(page))
		},
	},
	{
		name: "checkout-too-often", title: "Begun too often", says: "The shop is to be asked for another link.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(nil)
			for range keyturn.MaxLinkPayments {
				s.ordersAndPays(page)
				s.page(http.MethodPost, page+"/reopen", url.Values{})
				s.later(time.Minute)
			}
			return s.page(http.MethodGet, page, nil)
		},
	},
}

// payingScenes are those of a checkout page once "order and pay" was pressed.
var payingScenes = []scene{
	{
		name: "checkout-opening", title: "The payment page does not answer", says: "It is tried again by itself.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(nil)
			s.processors["sandbox"] = faulty{s.sandbox, errUnavailable}
			return s.page(http.MethodPost, page+"/order", s.form(page))
		},
	},
	{
		name: "checkout-paying", title: "The payment is open", says: "The customer came back without paying.",
		play: func(s *stage) sight {
			_, page, _ := s.begun(nil)
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-reopened", title: "Reopened", says: "The customer changes the order; what was typed is kept.",
		play: func(s *stage) sight {
			_, page, _ := s.begun(nil)
			return s.page(http.MethodPost, page+"/reopen", url.Values{})
		},
	},
	{
		name: "checkout-processing", title: "The payment is being processed", says: "A bank transfer takes time.",
		play: func(s *stage) sight {
			_, page, pay := s.begun(nil)
			s.pays(pay, "pay-late")
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-checking", title: "Another sum was paid", says: "A person decides.",
		play: func(s *stage) sight {
			_, page, pay := s.begun(scripted("pays-other-amount"))
			s.pays(pay, "pay")
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-thanks", title: "Thank you", says: "The browser that ordered is led to its order.",
		play: func(s *stage) sight {
			_, page, pay := s.begun(nil)
			s.pays(pay, "pay")
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-used", title: "Used", says: "Somebody else opens the link, or the customer later on.",
		play: func(s *stage) sight {
			_, page, pay := s.begun(nil)
			s.pays(pay, "pay")
			s.stranger()
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-page-sent", title: "The order's page is sent again", says: "Its address comes by e-mail alone.",
		play: func(s *stage) sight {
			_, page, pay := s.begun(nil)
			s.pays(pay, "pay")
			s.stranger()
			return s.page(http.MethodPost, page+"/resend", url.Values{})
		},
	},
	{
		name: "checkout-page-sent-often", title: "The order's page was sent too often", says: "Three times a day are enough.",
		play: func(s *stage) sight {
			_, page, pay := s.begun(nil)
			s.pays(pay, "pay")
			s.stranger()
			for range 3 {
				s.page(http.MethodPost, page+"/resend", url.Values{})
			}
			return s.page(http.MethodPost, page+"/resend", url.Values{})
		},
	},
	{
		name: "checkout-expired", title: "Expired", says: "The link's time is over.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			_, page := s.changedLink(nil)
			s.later(15 * 24 * time.Hour)
			return s.page(http.MethodGet, page, nil)
		},
	},
	{
		name: "checkout-canceled", title: "Cancelled", says: "The shop has taken the link back.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			id, page := s.changedLink(nil)
			require.NoError(s.t, s.db.CancelLink(s.t.Context(), id, "ops", "sold elsewhere"))
			return s.page(http.MethodGet, page, nil)
		},
	},
}
