package api

import (
	"encoding/json"
	"time"

	"keyturn.dev/keyturn"
)

var (
	exampleProductEntry = keyturn.Product{
		ID: exampleProduct, Name: "Orbit Editor", URLToDownload: "https://downloads.example.com/orbit",
		Sources: []keyturn.Source{
			{Type: keyturn.SourcePool, Pool: examplePool, GiveUpAfter: keyturn.Duration(2 * time.Hour)},
			{Type: keyturn.SourceEndpoint, Integration: examplePartner},
		},
		Sell:  keyturn.Sell{WhenEmpty: keyturn.SellWarn},
		Email: keyturn.Email{Subject: "Your key for Orbit Editor", Text: "Hello {FULLNAME},\n\nyour key: {KEY}\n"},
	}
	exampleShop = keyturn.Shop{
		Name: "Kiosk",
		Legal: keyturn.Legal{
			Terms: "https://kiosk.example/terms", Privacy: "https://kiosk.example/privacy",
			Seller: "Kiosk Ltd, 1 Main Street, Dublin, Ireland", Contact: "help@kiosk.example",
		},
		Checkout: keyturn.CheckoutSettings{
			Fields: keyturn.CheckoutFields{LastName: keyturn.FieldRequired}, Withdrawal: keyturn.WithdrawalWaived,
		},
	}
	examplePoolEntry = keyturn.Pool{
		ID: examplePool, Name: "Keys of Orbit Editor", Threshold: 100,
		Pattern: `ORBIT(-[A-Z0-9]{4}){3}`, ForecastHorizon: keyturn.Duration(72 * time.Hour),
	}
	examplePartnerEntry = keyturn.Integration{
		ID: examplePartner, BaseURL: "https://licenses.acme.example",
		Auth: keyturn.Auth{Type: "bearer", Token: &keyturn.SecretRef{Value: "acme-token"}},
		Limits: keyturn.Limits{
			MaxConcurrent: 10, PerSecond: 20, Timeout: keyturn.Duration(10 * time.Second), MaxReplyBytes: 64 << 10,
		},
		PermanentErrors: keyturn.PermanentErrors{ErrorCodes: []string{"UNKNOWN_SKU"}},
	}
)

var exampleWebhookEntry = keyturn.Webhook{
	ID: "shop", URL: "https://shop.example/keyturn", Events: []string{"order.*", "line.delivered"},
}

// exampleWebhookShown is the webhook as it is shown, and exampleWebhookMade as it is shown the one time that its secret
// is made.
func exampleWebhookShown() keyturn.Webhook {
	w := exampleWebhookEntry.WithDefaults()
	w.Secret = &keyturn.SecretRef{Set: true}
	return w
}

func exampleWebhookMade() keyturn.WebhookPut {
	return keyturn.WebhookPut{ //nolint:gosec // an example
		Webhook: exampleWebhookShown(), NewSecret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
	}
}

func exampleMail(sent bool) keyturn.MailSample {
	return keyturn.MailSample{
		Kind: keyturn.SampleKeys, From: `"Kiosk" <keys@kiosk.example>`, ReplyTo: "help@kiosk.example",
		To: "you@kiosk.example", Subject: "Your key for Orbit Editor",
		Text: "Hello Jean Dupont,\n\nyour key: SAMPLE-0001-NOT-A-REAL-KEY\n", HTML: "<!DOCTYPE html>…", Sent: sent,
	}
}

// examplePartnerShown is the integration as it is shown: a secret is only known to be set.
func examplePartnerShown() keyturn.Integration { return hideSecrets(examplePartnerEntry) }

var catalogExamples = map[string]example{
	"put-shop": {request: exampleShop, answer: exampleShop},
	"get-shop": {answer: exampleShop},

	"previewMail": {request: keyturn.MailSampleRequest{ProductID: exampleProduct, Locale: "en"}, answer: exampleMail(false)},
	"testMail": {
		request: keyturn.MailSampleRequest{ProductID: exampleProduct, Locale: "en", Email: "you@kiosk.example"},
		answer:  exampleMail(true),
	},

	"put-product":    {request: exampleProductEntry, answer: exampleProductEntry.WithDefaults()},
	"get-product":    {answer: exampleProductEntry.WithDefaults()},
	"list-products":  {answer: keyturn.ProductList{Products: []keyturn.Product{exampleProductEntry.WithDefaults()}}},
	"delete-product": {},

	"put-pool": {request: examplePoolEntry, answer: examplePoolEntry},
	"get-pool": {answer: keyturn.PoolView{
		Pool: examplePoolEntry, Stock: keyturn.Stock{Available: 4812, Claimed: 3, Delivered: 185},
		Forecast: keyturn.Forecast{PerHour: 12.5, HoursLeft: pointer(385.0)},
		Batches:  []keyturn.BatchView{exampleBatchView()},
	}},
	"list-pools":  {answer: keyturn.PoolList{Pools: []keyturn.Pool{examplePoolEntry}}},
	"delete-pool": {},

	"put-integration": {request: examplePartnerEntry, answer: examplePartnerShown()},
	"get-integration": {answer: keyturn.IntegrationView{
		Integration: examplePartnerShown(),
		Partner: keyturn.PartnerState{
			Breaker: keyturn.BreakerOpen, Failing: 5, OpenedAt: exampleAt(1), NextTryAt: exampleAt(2),
			Failure: "the partner answered HTTP 503", Waiting: 3, OldestAt: exampleAt(0),
		},
	}},
	"list-integrations":  {answer: keyturn.IntegrationList{Integrations: []keyturn.Integration{examplePartnerShown()}}},
	"delete-integration": {},

	"put-webhook": {request: exampleWebhookEntry, answer: exampleWebhookMade()},
	"get-webhook": {answer: keyturn.WebhookView{
		Webhook: exampleWebhookShown(), State: keyturn.WebhookState{Breaker: keyturn.BreakerClosed},
	}},
	"listEventDeliveries": {answer: keyturn.EventDeliveryPage{Deliveries: []keyturn.EventDelivery{exampleDelivery()}}},
	"retryEventDelivery":  {answer: exampleDelivery()},
	"replayEvents": {
		request: keyturn.ReplayEvents{From: *exampleAt(0), Types: []string{"order.*"}, FailedOnly: true},
		answer:  keyturn.ReplayedEvents{Events: 42, Until: exampleAt(1)},
	},
	"pullEvents": {answer: keyturn.EventPage{
		Events: []keyturn.PulledEvent{{Number: 1795964400123456, ID: exampleEventID, Event: exampleDelivery().Request}},
		Next:   1795964400123456,
	}},
	"testWebhook":    {answer: exampleTest()},
	"rotateWebhook":  {answer: keyturn.WebhookSecret{Secret: exampleWebhookMade().NewSecret, BothUntil: *exampleAt(2)}},
	"list-webhooks":  {answer: keyturn.WebhookList{Webhooks: []keyturn.Webhook{exampleWebhookShown()}}},
	"delete-webhook": {},
}

const exampleEventID = "evt_0198c5a2-7d54-7a4b-9c1e-2f60b7a1d3e4"

func exampleDelivery() keyturn.EventDelivery {
	return keyturn.EventDelivery{
		ID: 4711, EventID: exampleEventID, Number: 1795964400123456, Type: keyturn.EventOrderCompleted,
		Status: keyturn.EventPending, Attempts: 2, TriedAt: exampleAt(0), NextAt: exampleAt(1), HTTPStatus: 503,
		Error: keyturn.KindUnavailable, DurationMS: 41, Answer: "maintenance",
		Request: exampleEventBody(keyturn.EventOrderCompleted),
	}
}

func exampleTest() keyturn.EventDelivery {
	return keyturn.EventDelivery{
		ID: 4712, EventID: exampleEventID, Number: 1795964400123457, Type: keyturn.EventWebhookTest,
		Status: keyturn.EventDelivered, Attempts: 10, TriedAt: exampleAt(0), DoneAt: exampleAt(0), HTTPStatus: 204,
		DurationMS: 38, Request: exampleEventBody(keyturn.EventWebhookTest),
	}
}

func exampleEventBody(t keyturn.EventType) json.RawMessage {
	text, err := json.Marshal(keyturn.Event{Type: t, Timestamp: *exampleAt(0), Data: t.Info().Example})
	if err != nil {
		panic(err) // the first test finds it
	}
	return text
}
