package keyturn

import (
	"slices"
	"time"
)

// BounceKind says what was reported of an e-mail after a mail server had taken it.
type BounceKind string

// The kinds of reports.
const (
	BounceBadAddress    BounceKind = "bad_address"   // nobody has the address
	BounceRefused       BounceKind = "refused"       // the recipient's server does not take the e-mail
	BounceUndeliverable BounceKind = "undeliverable" // it was tried for days and given up
	BounceComplaint     BounceKind = "complaint"     // the recipient calls it spam
	BounceDelayed       BounceKind = "delayed"       // it is still being tried
	BounceUnknown       BounceKind = "unknown"       // something came back that says nothing of this
)

// BounceKinds are all of them. The database's constraint agrees with it.
var BounceKinds = []BounceKind{
	BounceBadAddress, BounceRefused, BounceUndeliverable, BounceComplaint, BounceDelayed, BounceUnknown,
}

// LostKinds are the kinds of e-mails that have not arrived and will not.
var LostKinds = []BounceKind{BounceBadAddress, BounceRefused, BounceUndeliverable}

// BouncedKinds are the kinds of which operations are told.
var BouncedKinds = append([]BounceKind{BounceComplaint}, LostKinds...)

// Lost says that the e-mail has not arrived and will not.
func (k BounceKind) Lost() bool { return slices.Contains(LostKinds, k) }

// Alerts says that operations are told of it.
func (k BounceKind) Alerts() bool { return slices.Contains(BouncedKinds, k) }

// BounceInlet is the way by which a report came in.
type BounceInlet string

// The inlets of reports.
const (
	InletSMTP     BounceInlet = "smtp" // or LMTP
	InletIMAP     BounceInlet = "imap"
	InletSES      BounceInlet = "ses"
	InletPostmark BounceInlet = "postmark"
	InletMailgun  BounceInlet = "mailgun"
	InletSendGrid BounceInlet = "sendgrid"
)

// BounceInlets are all of them. The database's constraint agrees with it.
var BounceInlets = []BounceInlet{InletSMTP, InletIMAP, InletSES, InletPostmark, InletMailgun, InletSendGrid}

// BounceView is a report about an e-mail.
type BounceView struct {
	Kind       BounceKind  `json:"kind" enum:"bad_address,refused,undeliverable,complaint,delayed,unknown"`
	Status     string      `json:"status,omitempty" doc:"The enhanced status code (RFC 3463), such as 5.1.1."`
	Diagnostic string      `json:"diagnostic,omitempty" doc:"What the mail server said, without the customer's data."`
	Via        BounceInlet `json:"via" enum:"smtp,imap,ses,postmark,mailgun,sendgrid"`
	At         time.Time   `json:"at"`
}

// EmailEvent is the data of email events.
type EmailEvent struct {
	OrderID       string     `json:"orderId"`
	FulfillmentID string     `json:"fulfillmentId,omitempty" doc:"Absent if the e-mail is about the order as a whole."`
	LineItemID    string     `json:"lineItemId,omitempty"`
	PaymentID     string     `json:"paymentId,omitempty" doc:"Of an e-mail about the order as a whole, such as its confirmation."`
	DeliveryID    string     `json:"deliveryId" doc:"The e-mail, as the fulfillment lists it."`
	Kind          BounceKind `json:"kind"`
	StatusCode    string     `json:"statusCode,omitempty" doc:"The enhanced status code (RFC 3463), such as 5.1.1."`
	Link          *EventLink `json:"link,omitempty" doc:"The checkout link that made the order."`
	Links         EventLinks `json:"links"`
}
