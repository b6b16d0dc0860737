package mail

import (
	"fmt"
	"log/slog"
	"time"

	"keyturn.dev/keyturn"
)

// Envelope identifies a mail: its sender, its recipient, and the MessageID and Date that make two copies the same mail.
// The caller stores both with the delivery: rendering reads no clock and draws no random number.
type Envelope struct {
	From       string    // the sender's bare address, in the From header and, without a ReturnPath, in the SMTP envelope
	ReturnPath string    // the bare address to which reports go, in the SMTP envelope; empty: From
	Ref        string    // what reports call the mail, in X-Keyturn-Ref and as the envelope's ID; optional
	SenderName string    // the seller's name, in the From header, over and under the mail; empty: the domain of From
	ReplyTo    string    // bare address, optional
	To         string    // the one recipient's bare address
	MessageID  string    // without angle brackets, such as 0198c2d4-….1@shop.test
	Date       time.Time // when the mail was first rendered; written in UTC to the second
}

// Customer holds the values of the tags about the buyer. Every field is optional.
type Customer struct {
	FirstName, LastName         string
	Email, Phone, Company       string
	Country, City, Zip, Address string
}

// Attachment is one file of the deliverable. An invalid ContentType becomes application/octet-stream.
type Attachment struct {
	Name        string
	ContentType string
	Data        []byte
}

// Shop is how the merchant appears in every mail to a customer, as plain text. Every field is optional.
type Shop struct {
	Logo                    Logo
	Color                   string // #rrggbb
	Seller                  string // name and address
	Contact                 string // whom customers ask: an e-mail or https address
	Terms, Privacy, Imprint string // https addresses
}

// Logo is a picture that stands at the top in place of the seller's name. Readers that load no pictures show the name.
type Logo struct {
	URL           string // http or https; empty: there is none
	Width, Height int    // of the picture, in pixels
}

// Content holds every value in a mail to a customer, as plain text; the renderer escapes it. An amount without a
// currency is not shown.
type Content struct {
	Envelope
	Shop   Shop
	Locale string // BCP 47, such as fr-FR; the frame speaks English, French or German

	OrderID   string
	OrderedAt time.Time // optional
	OrderPage string    // the customer's page of the order, an http or https URL; optional

	ProductID    string // {PRICEGROUP_ID}
	ProductName  string // {PROGRAM_NAME}
	ProductShort string // {PROGRAM_SHORT}; empty: ProductName
	Quantity     int
	UnitPrice    keyturn.Money // {PRICE_ONE_DUPLICATE}
	TotalPrice   keyturn.Money // {PRICE_ALL_DUPLICATES}
	ValidUntil   *time.Time    // when the term that was sold ends; nil: it has no end that is known

	Customer       Customer
	LicenseFor     string // {LICENSE_FOR}; empty: the customer's name, e-mail, phone and company
	AdditionalInfo string // {ADDINFO_TEXT}

	Keys            []string // {KEY}, in order of units
	TrackingNumbers []string // those of Keys that are shown as such, too
	Replaced        []string // keys that these took the place of, and that work no longer
	ParentKey       string   // {PARENT_KEY}
	Links           []string // activation links; {KEY} prints them when there are no keys
	InstructionsURL string   // {URL}
	DownloadURL     string   // {URL_FULL}
	Attachments     []Attachment
}

// Reason is why a line was canceled. The mail puts it kindly and never quotes a partner.
type Reason string

const (
	// ReasonOther gives no reason; so does any value that is not listed here.
	ReasonOther Reason = ""
	// ReasonOutOfStock: no key was left and none came in time.
	ReasonOutOfStock Reason = "out_of_stock"
	// ReasonSupplier: the partner who makes the key did not deliver it.
	ReasonSupplier Reason = "supplier"
	// ReasonRequested: the customer or the shop asked for it.
	ReasonRequested Reason = "requested"
	// ReasonWithdrawn: the customer withdrew from the contract.
	ReasonWithdrawn Reason = "withdrawn"
	// ReasonPayment: the authorized payment could not be taken in time.
	ReasonPayment Reason = "payment"
	// ReasonOthers: the order's other lines were ready to be charged first.
	ReasonOthers Reason = "others"
)

// Cancellation is the input of RenderCanceled besides the Content, whose keys and attachments it ignores.
type Cancellation struct {
	Amount keyturn.Money // what goes back; without a currency the mail names no amount
	Free   bool          // nothing was paid, so nothing goes back
	// Uncharged: the payment was authorized and never taken, so nothing goes back
	Uncharged bool
	Reason    Reason
}

// Alert is a digest of what needs a person, sent to operations. Its entries hold IDs and our own words, never a key, an
// address or a partner's text.
type Alert struct {
	Envelope
	Subject string
	Entries []AlertEntry
}

// AlertEntry is one problem.
type AlertEntry struct {
	Cause    string // and its severity: OutOfStock (warning)
	OrderID  string
	Product  string
	Happened string // what happened
	Next     string // what happens next, or what a person should do
	Link     string // where to act: an http or https URL
}

// Message is a rendered mail. Data is the complete RFC 5322 message with CRLF line ends. It is stored, and every
// attempt sends these bytes.
type Message struct {
	From      string // the one envelope sender
	To        string // the one envelope recipient
	MessageID string // without angle brackets
	Ref       string // what reports call it; empty: none are asked for
	Data      []byte
}

// Format keeps keys and customers out of every print; it names the mail by its Message-ID.
func (m Message) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "mail %s", m.MessageID) }

// LogValue keeps keys and customers out of every log.
func (m Message) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(m)) }

// Format keeps keys and customers out of every print; it names the mail by its Message-ID.
func (c Content) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "mail %s", c.MessageID) }

// LogValue keeps keys and customers out of every log.
func (c Content) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }
