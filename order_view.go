package keyturn

import "time"

// OrderSummary is an order as a list shows it: without its lines, but with how many there are in which state.
type OrderSummary struct {
	ID         string      `json:"id"`
	Status     OrderStatus `json:"status" enum:"PENDING,PARTIAL_COMPLETED,COMPLETED,CANCEL_PENDING,PARTIAL_CANCELED,CANCELED"`
	Currency   string      `json:"currency"`
	GrossPrice string      `json:"grossPrice"`
	CreatedAt  time.Time   `json:"createdAt"`
	Lines      LineTotals  `json:"lines"`
	Links      *Links      `json:"links,omitempty"`
}

// LineTotals counts an order's lines by what they mean for it.
type LineTotals struct {
	Total     int `json:"total"`
	Trouble   int `json:"trouble" doc:"Lines that are retrying, waiting for stock or held."`
	Delivered int `json:"delivered"`
	Canceling int `json:"canceling"`
	Canceled  int `json:"canceled"`
}

// OrderPage is one page of a list of orders. An empty NextCursor: it is the last one.
type OrderPage struct {
	Orders     []OrderSummary `json:"orders"`
	NextCursor string         `json:"nextCursor,omitempty" doc:"The cursor of the next page. Absent on the last page."`
}

// Deliverables is what a customer gets of a line.
type Deliverables struct {
	ActivationCodes []string            `json:"activationCodes"`
	ActivationLink  string              `json:"activationLink,omitempty"` // the first one
	ActivationLinks []string            `json:"activationLinks,omitempty"`
	TrackingNumber  string              `json:"trackingNumber,omitempty" doc:"Of a dynamic URL: its data, which activationCodes has, too. Several units are separated by a comma and a space."`
	ReplacedCodes   []string            `json:"replacedCodes,omitempty" doc:"Recalled keys. activationCodes has their replacements."`
	Files           []FileLink          `json:"files"`
	Additional      map[string][]string `json:"additional"`
}

// FileLink leads to a file of a deliverable.
type FileLink struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Href        string `json:"href"`
}

// Resent names the e-mail that is on its way.
type Resent struct {
	DeliveryID string `json:"deliveryId"`
}

// Replacements are the replaced keys of a line.
type Replacements struct {
	Replacements []RecalledKey `json:"replacements"`
}

// Licenses is a customer's purchase history.
type Licenses struct {
	Licenses   []LicenseView `json:"licenses"`
	NextCursor string        `json:"nextCursor,omitempty" doc:"The cursor of the next page. Absent on the last page."`
}

// Erasure is the record that a person's data was erased.
type Erasure struct {
	ID           string    `json:"id"`
	CustomerHash []byte    `json:"customerHash" doc:"A keyed hash of the customer's ID, for the list that is replayed after a restore."`
	ErasedAt     time.Time `json:"erasedAt" doc:"Covers orders accepted until this time."`
	Orders       int       `json:"orders"`
	Lines        int       `json:"lines"`
	Repeated     bool      `json:"repeated" doc:"There was nothing left to erase."`
}
