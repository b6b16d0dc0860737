package keyturn

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
		OrderID: "ORD-1", Status: OrderPending, FulfillmentID: "0198c5a2-7d54-7a4b-9c1e-2f60b7a1d3e4",
		LineItemID: "0198c5a2-7d54-7b12-8a90-5b1f6c7d8e9f", LineStatus: status, ProductID: "acme-pro",
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
