package keyturn

import "time"

// OrderEvidence is what there is to say in a dispute of an order: as data, and as text for the fields that Stripe's
// form for evidence has.
type OrderEvidence struct {
	OrderID  string             `json:"orderId"`
	Disputes []DisputeView      `json:"disputes,omitempty"`
	Text     map[string]string  `json:"text" doc:"Texts by the names of Stripe's fields of evidence, such as access_activity_log."`
	Consent  *Consent           `json:"consent,omitempty" doc:"What the customer agreed to when ordering, in the words that were shown."`
	Mails    []EvidenceOfMail   `json:"mails" doc:"E-mails about the order that the customer's mail server accepted."`
	Accesses []EvidenceOfAccess `json:"accesses" doc:"Who saw the keys on the order's page, and when."`
	Customer *Customer          `json:"customer,omitempty" doc:"To tokens with customers:read. Absent once the customer was erased."`
	// OrderedFrom is kept as long as looks at keys are.
	OrderedFrom string    `json:"orderedFrom,omitempty" doc:"The IP address that the order was placed from by a checkout link. To tokens with customers:read, for 400 days, until the customer is erased."`
	CreatedAt   time.Time `json:"createdAt"`
}

// DisputeView is a dispute of an order's payment.
type DisputeView struct {
	ID       string     `json:"id" doc:"The provider's."`
	Status   string     `json:"status" enum:"open,won,lost"`
	Amount   string     `json:"amount"`
	Currency string     `json:"currency"`
	Reason   string     `json:"reason"`
	DueAt    *time.Time `json:"dueAt,omitempty" doc:"By when evidence is to be given."`
	ClosedAt *time.Time `json:"closedAt,omitempty"`
}

// EvidenceOfMail is an e-mail that the customer's mail server accepted.
type EvidenceOfMail struct {
	What       string     `json:"what" doc:"keys, confirmation, …"`
	Line       int        `json:"line,omitempty" doc:"Of the order, from 1."`
	AcceptedAt time.Time  `json:"acceptedAt"`
	CameBackAt *time.Time `json:"cameBackAt,omitempty" doc:"When a report said that it was not delivered after all."`
}

// EvidenceOfAccess is a look at a line's keys.
type EvidenceOfAccess struct {
	Line    int       `json:"line"`
	By      string    `json:"by"`
	What    string    `json:"what"`
	At      time.Time `json:"at"`
	Address string    `json:"address,omitempty" doc:"The IP address. To tokens with customers:read, until the customer is erased."`
}
