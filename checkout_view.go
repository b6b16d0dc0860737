package keyturn

import "time"

// LinkView is a checkout link as the API shows it.
type LinkView struct {
	ID           string       `json:"id"`
	Reference    string       `json:"reference,omitempty"`
	URL          string       `json:"url,omitempty" doc:"The page that sells. Whoever has this address can buy. Only for tokens with checkout:write."`
	Status       LinkStatus   `json:"status" enum:"OPEN,PAYING,USED,EXPIRED,CANCELED"`
	Version      int          `json:"version" doc:"Grows with each change."`
	Currency     string       `json:"currency"`
	Total        string       `json:"total,omitempty" doc:"Absent once the customer was erased: its payments have their sums."`
	Provider     string       `json:"provider"`
	Capture      CaptureWhen  `json:"capture" enum:"whenObtained,whenPossible,atOnce"`
	Mixed        MixedCapture `json:"mixed" enum:"chargeAll,chargeReady"`
	Locale       string       `json:"locale,omitempty" doc:"Of the page and the e-mails; absent: as the visitor's browser asks."`
	ReturnURL    string       `json:"returnUrl,omitempty"`
	CancelURL    string       `json:"cancelUrl,omitempty"`
	OrderID      string       `json:"orderId" doc:"Of the order that it makes, or has made once it is USED."`
	ExpiresAt    time.Time    `json:"expiresAt"`
	CreatedAt    time.Time    `json:"createdAt"`
	OpenedAt     *time.Time   `json:"openedAt,omitempty" doc:"When the page was first opened."`
	EndedAt      *time.Time   `json:"endedAt,omitempty"`
	EndReason    string       `json:"endReason,omitempty"`
	BlankedAt    *time.Time   `json:"blankedAt,omitempty" doc:"When whom it was for was removed: 30 days after it ended unused, or with its customer's erasure."`
	PaymentsLeft int          `json:"paymentsLeft" doc:"How often a customer may still begin to pay. At 0 the page refuses it: allow more by reopening."`
	// LineItems are as the page shows them now: after offers and quantities that were chosen.
	LineItems   []LinkLineView    `json:"lineItems"`
	Offers      LinkOffers        `json:"offers,omitzero"`
	Sellability []LineSellability `json:"sellability,omitempty"`
	Payments    []PaymentView     `json:"payments,omitempty"`
	Customer    *Customer         `json:"customer,omitempty" doc:"What the page is filled in with. With include=customer and the scope customers:read."`
	Links       *LinkLinks        `json:"links,omitempty"`
}

// LinkLinks lead to a checkout link's other faces.
type LinkLinks struct {
	Self  string `json:"self"`
	Order string `json:"order,omitempty" doc:"The order, once the link is USED."`
}

// LinkLineView is a line of a checkout link.
type LinkLineView struct {
	ProductID string       `json:"productId"`
	Name      string       `json:"name"`
	SKU       string       `json:"sku,omitempty"`
	UnitPrice string       `json:"unitPrice"`
	ListPrice string       `json:"listPrice,omitempty"`
	Quantity  LinkQuantity `json:"quantity"`
	OfferID   string       `json:"offerId,omitempty" doc:"The offer that replaced the line."`
}

// Sellability says whether a line can be delivered at the moment.
type Sellability string

// The codes of Sellability.
const (
	SellableOK          Sellability = "ok"
	SellableLow         Sellability = "low"
	SellableOutOfStock  Sellability = "outOfStock"
	SellablePartnerDown Sellability = "partnerDown"
)

// LineSellability says whether a line of a link can be delivered at the moment.
type LineSellability struct {
	LineItem int         `json:"lineItem"`
	Code     Sellability `json:"code" enum:"ok,low,outOfStock,partnerDown"`
	Left     int         `json:"left,omitempty" doc:"Of low: how many units are left."`
	Since    *time.Time  `json:"since,omitempty" doc:"Of partnerDown."`
	// Refused says that nothing is sold in this state (sell in the catalog).
	Refused bool `json:"refused,omitempty" doc:"Nothing is sold in this state (sell in the catalog): paying is refused."`
}

// LinkPage is one page of a list of checkout links. An empty NextCursor: it is the last one.
type LinkPage struct {
	CheckoutLinks []LinkView `json:"checkoutLinks"`
	NextCursor    string     `json:"nextCursor,omitempty" doc:"The cursor of the next page. Absent on the last page."`
}

// PaymentView is a payment of a checkout link as the API shows it.
type PaymentView struct {
	ID         string        `json:"id"`
	LinkID     string        `json:"linkId"`
	OrderID    string        `json:"orderId,omitempty"`
	Status     PaymentStatus `json:"status" enum:"CREATED,OPEN,PROCESSING,FAILED,EXPIRED,MISMATCH,AUTHORIZED,CAPTURING,CAPTURED,VOIDING,VOIDED,LOST"`
	Version    int           `json:"version"`
	Provider   string        `json:"provider"`
	Reference  string        `json:"reference,omitempty" doc:"What the provider calls the payment."`
	Currency   string        `json:"currency"`
	Total      string        `json:"total"`
	Authorized string        `json:"authorized"`
	Captured   string        `json:"captured"`
	Refunded   string        `json:"refunded"`
	CaptureBy  *time.Time    `json:"captureBy,omitempty"`
	Failure    string        `json:"failure,omitempty"`
	CreatedAt  time.Time     `json:"createdAt"`
	EndedAt    *time.Time    `json:"endedAt,omitempty"`
	BlankedAt  *time.Time    `json:"blankedAt,omitempty" doc:"When who began it and what for was removed: 90 days after it ended without an order, or with its customer's erasure."`
}

// PaymentPage is one page of a list of payments. An empty NextCursor: it is the last one.
type PaymentPage struct {
	Payments   []PaymentView `json:"payments"`
	NextCursor string        `json:"nextCursor,omitempty" doc:"The cursor of the next page. Absent on the last page."`
}

// LinkCancellation is the body of a link's cancellation.
type LinkCancellation struct {
	Reason string `json:"reason" doc:"Why, for whoever looks at the link later."`
}

// LinkReopening is the body of a link's reopening.
type LinkReopening struct {
	Reason string `json:"reason" doc:"Why, for whoever looks at the link later."`
}
