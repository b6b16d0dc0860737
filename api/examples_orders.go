package api

import (
	"time"

	"keyturn.dev/keyturn"
)

// The IDs of the story.
const (
	exampleOrderID  = "ORD-2026-000123"
	exampleCustomer = "CUST-4711"
	exampleLineID   = "0198a5c2-7d4e-7b1a-9c3f-2f6d1e8a4a01" // the order's line
	exampleLine     = "0198a5c2-7d4e-7b1a-9c3f-2f6d1e8a4b01" // fulfillment of the editor
	exampleSeason   = "0198a5c2-7d4e-7b1a-9c3f-2f6d1e8a4b02" // fulfillment of the season pass
	exampleProduct  = "orbit-editor"
	examplePool     = "orbit-editor-keys"
	examplePartner  = "acme-licenses"
	exampleBatch    = "0198a5c0-11aa-7c30-8d52-5b7e90c1d2e3"
	exampleKey      = "ORBIT-7F3K-9QZM-2LXT"
	exampleServer   = "https://shop.example.com"
	exampleNewKey   = "ORBIT-B2WD-4RYN-8HCV"
	exampleOperator = "support@shop.example.com"
)

// exampleTime is a time of the story: minutes after the order.
func exampleTime(minutes int) time.Time {
	return time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

func exampleAt(minutes int) *time.Time { t := exampleTime(minutes); return &t }

func pointer[T any](v T) *T { return &v }

var exampleLinks = &keyturn.Links{
	Self: exampleServer + "/v1/orders/" + exampleOrderID, Page: exampleServer + "/o/3rVd0kq8XbYw5nZt2mJc7h",
}

func exampleLineView(status keyturn.LineStatus) keyturn.LineView {
	line := keyturn.LineView{
		ID: exampleLineID, FulfillmentID: exampleLine, ProductID: exampleProduct, Quantity: 1, GrossPrice: "49.90",
		Operation: keyturn.OpCreate, Status: status, Source: "pool/" + examplePool,
	}
	if status == keyturn.LineDelivered {
		line.LicenseID, line.DeliveredAt = exampleLine, exampleAt(1)
	}
	return line
}

func exampleOrder(status keyturn.OrderStatus, line keyturn.LineView) keyturn.OrderView {
	return keyturn.OrderView{
		ID: exampleOrderID, Status: status, Currency: "EUR", GrossPrice: "49.90", CreatedAt: exampleTime(0),
		LineItems: []keyturn.LineView{line}, Links: exampleLinks,
	}
}

// exampleRetrying is a line whose partner does not answer.
func exampleRetrying() keyturn.LineView {
	timeout := &keyturn.Failure{
		Kind: keyturn.KindUnavailable, Message: "the partner answered HTTP 503: it is to be tried again", At: exampleTime(1),
	}
	return keyturn.LineView{
		ID: exampleLineID, FulfillmentID: exampleSeason, OrderID: exampleOrderID, ProductID: "season-pass", Quantity: 1,
		GrossPrice: "19.00", Operation: keyturn.OpCreate, Status: keyturn.LineRetrying, Source: "endpoint/" + examplePartner,
		Attempts: 1, LastError: timeout, NextAttemptAt: exampleAt(2), GiveUpAt: exampleAt(72 * 60),
		AttemptLog: []keyturn.AttemptView{{
			No: 1, StartedAt: exampleTime(1), DurationMs: pointer(230), Source: "endpoint/" + examplePartner,
			Operation: string(keyturn.OpCreate), Outcome: keyturn.AttemptFailed, HTTPStatus: pointer(503),
			ErrorKind: string(timeout.Kind), Message: timeout.Message,
		}},
		Resolutions: []keyturn.ResolutionView{{
			Action: keyturn.ActionExtend, Until: exampleAt(72 * 60), Reason: "ACME promises a repair today",
			By: exampleOperator, At: exampleTime(1),
		}},
	}
}

var orderExamples = map[string]example{
	"createOrder": {
		request: keyturn.Order{
			ID: exampleOrderID, Currency: "EUR", Payment: keyturn.Payment{Provider: "till", Reference: "PAY-2026-88127"},
			Customer: keyturn.Customer{
				ID: exampleCustomer, Email: "marie.durand@example.com", Country: "FR", Locale: "fr-FR",
				FirstName: "Marie", LastName: "Durand",
			},
			LineItems: []keyturn.LineItem{{ID: exampleLineID, ProductID: exampleProduct, Quantity: 1, GrossPrice: "49.90"}},
		},
		answer: exampleOrder(keyturn.OrderPending, exampleLineView(keyturn.LinePending)),
	},
	"getOrder": {answer: exampleOrder(keyturn.OrderCompleted, exampleLineView(keyturn.LineDelivered))},
	"getOrderEvidence": {answer: keyturn.OrderEvidence{
		OrderID: exampleOrderID, CreatedAt: exampleTime(0),
		Disputes: []keyturn.DisputeView{{
			ID: "du_1", Status: string(keyturn.DisputeOpen), Amount: "49.90", Currency: "EUR", Reason: "fraudulent",
		}},
		Text:     map[string]string{"access_activity_log": "2026-11-22 10:00:03 UTC: the customer's mail server accepted …"},
		Mails:    []keyturn.EvidenceOfMail{{What: "keys", Line: 1, AcceptedAt: exampleTime(3)}},
		Accesses: []keyturn.EvidenceOfAccess{{Line: 1, By: "customer", What: "page", At: exampleTime(60)}},
	}},
	"listOrders": {answer: keyturn.OrderPage{
		Orders: []keyturn.OrderSummary{{
			ID: exampleOrderID, Status: keyturn.OrderCompleted, Currency: "EUR", GrossPrice: "49.90",
			CreatedAt: exampleTime(0), Lines: keyturn.LineTotals{Total: 1, Delivered: 1}, Links: exampleLinks,
		}},
	}},
	"cancelOrder": {
		request: keyturn.Cancellation{Reason: "the customer withdrew"},
		answer: exampleOrder(keyturn.OrderCancelPending, func() keyturn.LineView {
			line := exampleLineView(keyturn.LineCanceling)
			line.Refund = &keyturn.RefundView{Status: keyturn.RefundPending, Amount: "49.90", Reason: "the customer withdrew"}
			return line
		}()),
	},
	"followOrder": {answer: keyturn.StatusEvent{
		FulfillmentID: exampleLine, Version: 3, From: keyturn.LineObtained, To: keyturn.LineDelivered, By: "workflow",
		At: exampleTime(1), OrderStatus: keyturn.OrderCompleted,
	}},
	"getFulfillment": {answer: exampleRetrying()},
	"resolveFulfillment": {
		request: keyturn.ResolutionRequest{
			ID: "ticket-9182", Action: keyturn.ActionSupply, Keys: []string{"PASS-2026-XK4R"},
			Reason: "ACME sent the key by e-mail",
		},
		answer: exampleRetrying(),
	},
	"confirmRefund": {
		request: keyturn.RefundConfirmation{Reference: "WIRE-17", Reason: "transferred from the shop's account"},
		answer:  exampleRetrying(),
	},
	"resendFulfillment": {
		request: keyturn.ResendRequest{Email: "marie@home.example"},
		answer:  keyturn.Resent{DeliveryID: "0198a5d0-5c11-7e02-8b6f-90aa13c4d5e6"},
	},
	"getDeliverables": {answer: keyturn.Deliverables{
		ActivationCodes: []string{exampleKey},
		Files: []keyturn.FileLink{{
			Name: "manual.pdf", ContentType: "application/pdf", Href: "/v1/fulfillments/" + exampleLine +
				"/deliverables/files/1",
		}},
		Additional: map[string][]string{"edition": {"Pro"}},
	}},
	"replayFulfillment": {answer: keyturn.Replayed{
		FulfillmentID: exampleSeason,
		Attempt: keyturn.ReplayedAttempt{
			No: 1, StartedAt: exampleTime(1), Source: "endpoint/" + examplePartner, Operation: string(keyturn.OpCreate),
			Outcome: keyturn.AttemptSuccess, HTTPStatus: 200,
		},
		Request: keyturn.ReplayedRequest{Stored: `{"sku":"PASS-26"}`, Today: `{"sku":"PASS-26"}`, Same: true},
		Reply: &keyturn.ReplyExplained{
			HTTPStatus: 200, Body: `{"license":{"code":"[masked]"}}`, Outcome: "Success", Reason: "the reply has a code",
			Codes: 1, Units: 1,
			Values: []keyturn.ValueExplained{{
				Name: "activationCode", Path: "$.license.code", Found: []string{"[masked]"}, Matches: 1,
			}},
		},
		Meaning: "Today the same request is sent, and the reply delivers one code.",
	}},
	"replaceKeys": {
		request: keyturn.ReplacementRequest{Reason: "the key was posted in a forum", Units: []int{0}},
		answer: keyturn.Replacements{Replacements: []keyturn.RecalledKey{{
			OrderID: exampleOrderID, FulfillmentID: exampleLine, Status: keyturn.ReplacementOwed,
		}}},
	},
	"listLicenses": {answer: keyturn.Licenses{Licenses: []keyturn.LicenseView{exampleLicense()}}},
	"getLicense":   {answer: exampleLicense()},
	"operateLicense": {
		request: keyturn.LicenseOperation{Operation: keyturn.OpRenew, ExpiresAt: exampleAt(366 * 24 * 60)},
		answer: func() keyturn.OrderView {
			line := exampleLineView(keyturn.LinePending)
			line.FulfillmentID, line.Operation, line.LicenseID = exampleSeason, keyturn.OpRenew, exampleLine
			line.GrossPrice, line.Source = "0.00", ""
			order := exampleOrder(keyturn.OrderPending, line)
			order.GrossPrice = "0.00"
			return order
		}(),
	},
	"eraseCustomer": {answer: keyturn.Erasure{
		ID: "0198a5e1-33b7-7f40-a1c8-7d2e6f90b1a2", CustomerHash: []byte("a keyed hash of 32 bytes in all!"),
		ErasedAt: exampleTime(60), Orders: 1, Lines: 1,
	}},
}

func exampleLicense() keyturn.LicenseView {
	return keyturn.LicenseView{
		ID: exampleLine, Status: keyturn.LicenseRunning, ProductID: exampleProduct, ProductName: "Orbit Editor",
		OrderID: exampleOrderID, Quantity: 1, Source: "pool/" + examplePool, CreatedAt: exampleTime(0),
		DeliveredAt: exampleAt(1), ExpiresAt: exampleAt(365 * 24 * 60), ActivationCodes: []string{exampleKey},
		Operations: []keyturn.OperationView{{
			FulfillmentID: exampleSeason, OrderID: "ORD-2026-000987", Operation: keyturn.OpRenew, ProductID: exampleProduct,
			Status: keyturn.LinePending, CreatedAt: exampleTime(30),
		}},
	}
}
