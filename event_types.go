package keyturn

import "time"

// EventTypes is the one table of events: the catalog's check of patterns, the API's description and
// docs/use/notifications.md are made from it.
var EventTypes = []EventInfo{
	{
		Type: EventOrderCreated, When: "an order is accepted",
		Example: exampleOrderEvent(OrderPending, 1),
	},
	{
		Type: EventOrderPartiallyCompleted, Example: exampleOrderEvent(OrderPartialCompleted, 2),
		When: "a line of the order is in trouble: it is retried, waits for stock, or is held",
	},
	{
		Type: EventOrderCompleted, Example: exampleOrderEvent(OrderCompleted, 3),
		When: "the e-mails of all lines are accepted by the mail server",
	},
	{
		Type: EventOrderCancelPending, Example: exampleOrderEvent(OrderCancelPending, 4),
		When: "lines are given up and their money is on its way back",
	},
	{
		Type: EventOrderPartiallyCanceled, Example: exampleOrderEvent(OrderPartialCanceled, 5),
		When: "some lines are delivered, and the money of all others is back",
	},
	{
		Type: EventOrderCanceled, Example: exampleOrderEvent(OrderCanceled, 5),
		When: "the money of all lines is back",
	},
	{
		Type: EventLineObtained, Example: exampleLineEvent(LineObtained, 2),
		When: "the line's keys are obtained at the first attempt, before they are sent",
	},
	{
		Type: EventLineRetrying, Example: exampleLineEvent(LineRetrying, 2),
		When: "a step of the line fails for the first time, or a hold or a wait for stock ends without delivery",
	},
	{
		Type: EventLineWaitingForStock, Example: exampleLineEvent(LineWaitingForStock, 2),
		When: "the pool has too few keys for the line",
	},
	{
		Type: EventLineHeld, Example: exampleLineEvent(LineHeld, 3),
		When: "a person, or Keyturn for a person to look, stops the line's retries",
	},
	{
		Type: EventLineDelivered, Example: exampleLineEvent(LineDelivered, 3),
		When: "the mail server accepts the e-mail with the line's keys",
	},
	{
		Type: EventLineCanceled, Example: exampleLineEvent(LineCanceled, 4),
		When: "the line's money is back, or nothing was charged",
	},
	{
		Type: EventRefundCompleted, When: "money is back at the customer: a line's, or all of a checkout link's payment",
		Example: RefundEvent{
			OrderID: "ORD-1", FulfillmentID: exampleFulfillment, LineItemID: exampleLineItem, Amount: "59.98", Currency: "EUR",
			Links: EventLinks{Self: "/v1/orders/ORD-1"},
		},
	},
	{
		Type: EventRefundFailed, When: "a payment provider says that a refund which it had taken on has failed for good",
		Example: RefundEvent{
			OrderID: "ORD-1", FulfillmentID: exampleFulfillment, LineItemID: exampleLineItem, Amount: "59.98", Currency: "EUR",
			Links: EventLinks{Self: "/v1/orders/ORD-1"},
		},
	},
	{
		Type: EventRefundExternal, When: "somebody has refunded money of a payment at the payment provider",
		Example: RefundEvent{
			OrderID: "ORD-2", PaymentID: examplePayment, Amount: "20.00", Currency: "EUR",
			Link: exampleLink(), Links: EventLinks{Self: "/v1/payments/" + examplePayment},
		},
	},
	{
		Type: EventLicenseCreated, Example: exampleLicenseEvent(LicenseRunning),
		When: "a line is delivered that makes a licence",
	},
	{
		Type: EventLicenseRenewed, Example: exampleLicenseEvent(LicenseRunning),
		When: "a renewal is delivered",
	},
	{
		Type: EventLicenseUpgraded, Example: exampleLicenseEvent(LicenseRunning),
		When: "an upgrade is delivered",
	},
	{
		Type: EventLicensePaused, Example: exampleLicenseEvent(LicensePaused),
		When: "a pause is carried out",
	},
	{
		Type: EventLicenseResumed, Example: exampleLicenseEvent(LicenseRunning),
		When: "a resumption is carried out",
	},
	{
		Type: EventLicenseCanceled, Example: exampleLicenseEvent(LicenseCanceled),
		When: "a licence ends for good: by a cancel, or because its order is refunded",
	},
	{
		Type: EventLicenseExpired, Example: exampleLicenseEvent(LicenseExpired),
		When: "a licence's term ends without a renewal",
	},
	{
		Type: EventLinkCreated, Example: exampleCheckoutEvent(LinkOpen, 1),
		When: "a checkout link is made",
	},
	{
		Type: EventLinkOpened, Example: exampleCheckoutEvent(LinkOpen, 1),
		When: "a browser opens the link's page for the first time",
	},
	{
		Type: EventLinkUsed, Example: exampleCheckoutEvent(LinkUsed, 3),
		When: "the link has made its order",
	},
	{
		Type: EventLinkExpired, Example: exampleCheckoutEvent(LinkExpired, 2),
		When: "the link's time is over",
	},
	{
		Type: EventLinkCanceled, Example: exampleCheckoutEvent(LinkCanceled, 2),
		When: "the link is cancelled",
	},
	{
		Type: EventCheckoutAbandoned, Example: exampleCheckoutEvent(LinkOpen, 3),
		When: "a customer began to pay and did not end: the payment has expired, and nothing happened for an hour",
	},
	{
		Type: EventPaymentProcessing, Example: examplePaymentEvent(PaymentProcessing, 3),
		When: "a means of payment takes time, such as a bank transfer",
	},
	{
		Type: EventPaymentAuthorized, Example: examplePaymentEvent(PaymentAuthorized, 3),
		When: "the money is blocked, and not taken",
	},
	{
		Type: EventPaymentCaptured, Example: examplePaymentEvent(PaymentCaptured, 5),
		When: "the money is taken",
	},
	{
		Type: EventPaymentVoided, Example: examplePaymentEvent(PaymentVoided, 5),
		When: "the authorization is let go: nothing was charged",
	},
	{
		Type: EventPaymentLost, Example: examplePaymentEvent(PaymentLost, 5),
		When: "the authorization ended before the money was taken",
	},
	{
		Type: EventPaymentFailed, Example: examplePaymentEvent(PaymentFailed, 4),
		When: "the means of payment is refused",
	},
	{
		Type: EventPaymentMismatch, Example: examplePaymentEvent(PaymentMismatch, 3),
		When: "another sum is paid than was asked for",
	},
	{
		Type: EventPaymentDisputed, Example: exampleDisputeEvent(DisputeOpen),
		When: "a customer disputes the payment at the bank",
	},
	{
		Type: EventPaymentDisputeClosed, Example: exampleDisputeEvent(DisputeWon),
		When: "the dispute is decided",
	},
	{
		Type: EventPaymentFraudWarning, Example: examplePaymentEvent(PaymentCaptured, 5),
		When: "the customer's bank warns that the payment may be fraudulent",
	},
	{
		Type: EventPoolThreshold, When: "a pool falls below its threshold",
		Example: PoolEvent{PoolID: "acme-keys", Available: 99, Links: EventLinks{Self: "/v1/pools/acme-keys"}},
	},
	{
		Type: EventPoolEmpty, When: "a pool has sold its last key",
		Example: PoolEvent{PoolID: "acme-keys", Links: EventLinks{Self: "/v1/pools/acme-keys"}},
	},
	{
		Type: EventPoolRefilled, When: "a pool is above its threshold again; one without, when it has a key again",
		Example: PoolEvent{PoolID: "acme-keys", Available: 5000, Links: EventLinks{Self: "/v1/pools/acme-keys"}},
	},
	{
		Type: EventPartnerDown, When: "a partner did not answer for five orders in a row: its lines wait",
		Example: PartnerEvent{IntegrationID: "acme", Links: EventLinks{Self: "/v1/integrations/acme"}},
	},
	{
		Type: EventPartnerBack, When: "the partner answers again",
		Example: PartnerEvent{IntegrationID: "acme", Links: EventLinks{Self: "/v1/integrations/acme"}},
	},
	{
		Type: EventEmailBounced, When: "an e-mail has come back, or its recipient calls it spam; one about the order as a " +
			"whole has a `paymentId` and no line",
		Example: EmailEvent{
			OrderID: "ORD-1", FulfillmentID: exampleFulfillment, LineItemID: exampleLineItem,
			DeliveryID: "0198c5a2-9a10-7d22-b3c4-5e6f70819203", Kind: BounceBadAddress, StatusCode: "5.1.1",
			Links: EventLinks{Self: "/v1/fulfillments/" + exampleFulfillment},
		},
	},
	{
		Type: EventAlertOpened, When: "operations are alerted",
		Example: exampleAlertEvent(),
	},
	{
		Type: EventAlertClosed, When: "an alert is over",
		Example: exampleAlertEvent(),
	},
	{
		Type: EventWebhookTest, Example: TestEvent{Webhook: "shop"},
		When: "somebody tests the webhook; it needs no pattern",
	},
}

func exampleOrderEvent(status OrderStatus, version int64) OrderEvent {
	return OrderEvent{
		OrderID: "ORD-1", Status: status, GrossPrice: "59.98", Currency: "EUR", Version: version,
		Links: EventLinks{Self: "/v1/orders/ORD-1"},
	}
}

func exampleLineEvent(status LineStatus, version int64) LineEvent {
	e := LineEvent{
		OrderID: "ORD-1", Status: OrderPending, FulfillmentID: exampleFulfillment,
		LineItemID: exampleLineItem, LineStatus: status, ProductID: "acme-pro",
		Operation: OpCreate, Quantity: 2, GrossPrice: "59.98", Currency: "EUR", Version: version,
		Links: EventLinks{Self: "/v1/orders/ORD-1"},
	}
	switch status {
	case LineRetrying:
		e.Status, e.Failure = OrderPartialCompleted, KindUnavailable
	case LineWaitingForStock:
		e.Status, e.Failure = OrderPartialCompleted, KindOutOfStock
	case LineHeld:
		e.Status = OrderPartialCompleted
	case LineDelivered:
		e.Status = OrderCompleted
	case LineCanceled:
		e.Status = OrderCanceled
	case LinePending, LineObtained, LineCanceling:
	}
	return e
}

// The IDs of the examples.
const (
	exampleFulfillment = "0198c5a2-7d54-7a4b-9c1e-2f60b7a1d3e4"
	exampleLineItem    = "0198c5a2-7d54-7b12-8a90-5b1f6c7d8e9f"
	examplePayment     = "0198c5a2-8e01-7c33-a1b2-9d8e7f605142"
)

func exampleLicenseEvent(status LicenseStatus) LicenseEvent {
	expires := time.Date(2027, 11, 29, 15, 0, 0, 0, time.UTC)
	return LicenseEvent{
		LicenseID: exampleFulfillment, Status: status, ProductID: "acme-pro", ExpiresAt: &expires, OrderID: "ORD-1",
		FulfillmentID: exampleFulfillment, Links: EventLinks{Self: "/v1/licenses/" + exampleFulfillment},
	}
}

func exampleLink() *EventLink { return &EventLink{ID: "cl_5f3b2a", Reference: "cart-77"} }

func exampleCheckoutEvent(status LinkStatus, version int64) CheckoutEvent {
	return CheckoutEvent{
		OrderID: "ORD-2", Status: status, Version: version, Link: exampleLink(),
		Links: EventLinks{Self: "/v1/checkout-links/cl_5f3b2a"},
	}
}

func examplePaymentEvent(status PaymentStatus, version int64) PaymentEvent {
	e := PaymentEvent{
		PaymentID: examplePayment, OrderID: "ORD-2", Status: status, Currency: "EUR", Authorized: "0.00", Captured: "0.00",
		Refunded: "0.00", Version: version, Link: exampleLink(), Links: EventLinks{Self: "/v1/payments/" + examplePayment},
	}
	if status == PaymentAuthorized || status == PaymentCaptured {
		e.Authorized = "59.98"
	}
	if status == PaymentCaptured {
		e.Captured = "59.98"
	}
	return e
}

func exampleDisputeEvent(status DisputeStatus) PaymentEvent {
	due := time.Date(2026, 12, 6, 23, 59, 59, 0, time.UTC)
	e := examplePaymentEvent(PaymentCaptured, 5)
	e.Dispute = &EventDispute{
		ID: "dp_1MtJUT2eZvKYlo2CNaw2HvEv", Status: status, Amount: "59.98", Currency: "EUR", EvidenceDueBy: &due,
	}
	return e
}

func exampleAlertEvent() AlertEvent {
	return AlertEvent{
		AlertID: 17, Cause: AlertPartnerDown, Severity: SeverityError, Subject: "endpoint/acme",
		Links: EventLinks{Self: "/v1/alerts"},
	}
}
