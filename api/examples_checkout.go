package api

import "keyturn.dev/keyturn"

const (
	exampleLink    = "lnk-0198a5b0-2c6f-7d11-8a4e-3b9c5d7e1f20"
	examplePayment = "0198a5b1-40d2-7e33-9b5a-6c8d0e2f4a61"
)

var exampleQuantity = keyturn.LinkQuantity{Value: 1, Min: 1, Max: 10}

func exampleLinkView(status keyturn.LinkStatus) keyturn.LinkView {
	return keyturn.LinkView{
		ID: exampleLink, Reference: "CRM-771", URL: exampleServer + "/c/5mXc8QpLr2vKd0aTn7Zs4w", Status: status, Version: 1,
		Currency: "EUR", Total: "49.90", Provider: "sandbox", Capture: keyturn.CaptureWhenPossible,
		Mixed: keyturn.MixedChargeAll, OrderID: exampleOrderID, ExpiresAt: exampleTime(14 * 24 * 60),
		CreatedAt: exampleTime(0), PaymentsLeft: keyturn.MaxLinkPayments,
		LineItems: []keyturn.LinkLineView{{
			ProductID: exampleProduct, Name: "Orbit Editor, 5 devices", SKU: "ORB-5", UnitPrice: "49.90", ListPrice: "59.90",
			Quantity: exampleQuantity,
		}},
		Links: &keyturn.LinkLinks{Self: "/v1/checkout-links/" + exampleLink},
	}
}

func examplePaymentView(status keyturn.PaymentStatus) keyturn.PaymentView {
	v := keyturn.PaymentView{
		ID: examplePayment, LinkID: exampleLink, Status: status, Version: 3, Provider: "sandbox", Currency: "EUR",
		Total: "49.90", Authorized: "0.00", Captured: "0.00", Refunded: "0.00", CreatedAt: exampleTime(1),
	}
	if status == keyturn.PaymentCaptured {
		v.OrderID, v.Reference, v.Authorized, v.Captured = exampleOrderID, "sbxp_5d1f", "49.90", "49.90"
		v.EndedAt = exampleAt(2)
	}
	return v
}

var checkoutExamples = map[string]example{
	"createCheckoutLink": {
		request: keyturn.CheckoutLink{
			Reference: "CRM-771", OrderID: exampleOrderID, Currency: "EUR", Provider: "sandbox", Locale: "en-GB",
			LineItems: []keyturn.LinkLine{{
				ProductID: exampleProduct, Name: "Orbit Editor, 5 devices", UnitPrice: "49.90", ListPrice: "59.90",
				Quantity: exampleQuantity, SKU: "ORB-5", Variables: map[string]string{"devices": "5"},
			}},
			Offers: keyturn.LinkOffers{OnVisit: []keyturn.LinkOffer{{
				ID: "suite", Headline: "The whole suite", Text: "Editor, viewer and 100 GB for a year.",
				LineItem: keyturn.LinkLine{
					ProductID: "orbit-suite", Name: "Orbit Suite", UnitPrice: "79.00",
					Quantity: keyturn.LinkQuantity{Value: 1, Min: 1, Max: 1},
				},
			}}},
			Customer:       keyturn.Customer{ID: exampleCustomer, Email: "marie.durand@example.com", Country: "FR"},
			AdditionalData: map[string]string{"campaign": "spring"},
		},
		answer: func() keyturn.LinkView {
			v := exampleLinkView(keyturn.LinkOpen)
			v.Sellability = []keyturn.LineSellability{{LineItem: 0, Code: keyturn.SellableOK}}
			return v
		}(),
	},
	"getCheckoutLink": {answer: func() keyturn.LinkView {
		v := exampleLinkView(keyturn.LinkUsed)
		v.Version, v.OpenedAt, v.EndedAt = 4, exampleAt(1), exampleAt(2)
		v.Payments = []keyturn.PaymentView{examplePaymentView(keyturn.PaymentCaptured)}
		v.Links = &keyturn.LinkLinks{Self: v.Links.Self, Order: "/v1/orders/" + exampleOrderID}
		return v
	}()},
	"listCheckoutLinks": {answer: keyturn.LinkPage{CheckoutLinks: []keyturn.LinkView{exampleLinkView(keyturn.LinkOpen)}}},
	"cancelCheckoutLink": {
		request: keyturn.LinkCancellation{Reason: "the offer was withdrawn"},
		answer: func() keyturn.LinkView {
			v := exampleLinkView(keyturn.LinkCanceled)
			v.Version, v.EndedAt, v.EndReason = 2, exampleAt(30), "the offer was withdrawn"
			return v
		}(),
	},
	"reopenCheckoutLink": {
		request: keyturn.LinkReopening{Reason: "the customer's bank has been asked"},
		answer: func() keyturn.LinkView {
			v := exampleLinkView(keyturn.LinkOpen)
			v.Version = 12
			return v
		}(),
	},
	"resolvePayment": {
		request: keyturn.PaymentResolution{Action: keyturn.PaymentAccept, Reason: "a cent of rounding at the bank"},
		answer: func() keyturn.PaymentView {
			v := examplePaymentView(keyturn.PaymentAuthorized)
			v.OrderID, v.Reference, v.Authorized = exampleOrderID, "sbxp_5d1f", "49.91"
			return v
		}(),
	},
	"getPayment": {answer: examplePaymentView(keyturn.PaymentCaptured)},
	"listPayments": {answer: keyturn.PaymentPage{
		Payments: []keyturn.PaymentView{examplePaymentView(keyturn.PaymentCaptured)},
	}},
	"refreshPayment": {answer: examplePaymentView(keyturn.PaymentOpen)},
}
