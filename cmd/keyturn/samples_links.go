package main

import (
	"context"
	"fmt"
	"path"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
)

type sampleLink struct {
	what, product, price string
	upsell               bool // the customer accepts the offer
}

var sampleLinks = []sampleLink{
	{"a checkout link: charged once its key is in hand", "orbit-editor", "29.99", false},
	{"a checkout link with an up-sell that is taken", "orbit-editor", "29.99", true},
	{"a checkout link whose partner never delivers: nothing is charged", "orbit-ghost", "19.00", false},
}

// offerOf is a checkout link that sells a product, with the studio as an offer.
func offerOf(product, name, price string) keyturn.CheckoutLink {
	return keyturn.CheckoutLink{
		Currency: "EUR", LineItems: []keyturn.LinkLine{{ProductID: product, Name: name, UnitPrice: price}},
		Offers: keyturn.LinkOffers{OnVisit: []keyturn.LinkOffer{{
			ID: "studio", Headline: "Everything in one: the Studio",
			Text:     "The Editor, rendering and updates for a year.",
			LineItem: keyturn.LinkLine{ProductID: "orbit-studio", Name: "Orbit Studio", UnitPrice: "79.00"},
		}}},
	}
}

// openLink makes a link for whoever sits in front of the screen.
func openLink(ctx context.Context, api *client.Client, run string) (string, error) {
	link := offerOf("orbit-editor", "Orbit Editor", "29.99")
	link.LineItems[0].Quantity = keyturn.LinkQuantity{Value: 1, Min: 1, Max: 5}
	link.LineItems[0].Description = "For your own computer. It never expires."
	v, _, err := api.CreateCheckoutLink(ctx, "link-"+run, link)
	return v.URL, err
}

// buyByLink makes a link and buys by it, as a customer with a browser does, and gives the order that it makes.
func buyByLink(ctx context.Context, a *app, api *client.Client, run string, n int, sample sampleLink) (string, error) {
	link := offerOf(sample.product, "Orbit, sold by a link", sample.price)
	link.Provider = payment.SandboxName // which needs no page
	link.OrderID = fmt.Sprintf("LINK-%s-%d", run, n)
	link.Customer = keyturn.Customer{
		ID: "user-jean", Email: "jean@buyer.test", Country: "FR", Locale: "en-GB", FirstName: "Jean", LastName: "Dupont",
	}
	v, _, err := api.CreateCheckoutLink(ctx, link.OrderID, link)
	if err != nil {
		return "", err
	}
	token := path.Base(v.URL)
	page, err := a.db.CheckoutPage(ctx, token)
	if err == nil && sample.upsell {
		err = a.db.AnswerOffer(ctx, token, page.Version, "studio", db.OfferAccept)
	}
	if err != nil {
		return "", err
	}
	id, session, err := a.beginToPay(ctx, token)
	if err != nil {
		return "", err
	}
	if _, err := a.sandbox.Act(ctx, session, keyturn.SandboxPay); err != nil {
		return "", err
	}
	_, err = a.desk.Look(ctx, id) // as the page does when the customer comes back
	return link.OrderID, err
}

// beginToPay does what "order and pay" on a link's page does, and gives the payment and what the sandbox's page knows
// its session by.
func (a *app) beginToPay(ctx context.Context, token string) (paymentID, session string, err error) {
	page, err := a.db.CheckoutPage(ctx, token)
	if err != nil {
		return "", "", err
	}
	begun, err := a.db.BeginPayment(ctx, db.PaymentStart{
		Token: token, Version: page.Version, Customer: page.Customer, PayWithin: time.Hour, CheckAddress: mail.CheckAddress,
		Respond: func(db.Accepted) ([]byte, error) { return nil, nil },
	})
	if err != nil {
		return "", "", err
	}
	if _, err := a.desk.Open(ctx, begun.ID); err != nil {
		return "", "", err
	}
	facts, err := a.db.Payment(ctx, begun.ID)
	return begun.ID, path.Base(facts.SessionURL), err
}
