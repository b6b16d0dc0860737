package keyturn

import "time"

// Order is what a customer bought and paid for, as POST /v1/orders takes it (api.md, Orders).
type Order struct {
	ID                  string     `json:"id"`
	Currency            string     `json:"currency"`
	Payment             Payment    `json:"payment"`
	Customer            Customer   `json:"customer"`
	CartExternalContext string     `json:"cartExternalContext,omitempty"`
	LineItems           []LineItem `json:"lineItems"`
}

// Payment names where the money was captured: refunds go back there.
type Payment struct {
	Provider  string `json:"provider"`
	Reference string `json:"reference"`
}

// Customer is who gets the keys. All of it is personal: it is stored encrypted and never reaches Temporal or a log.
type Customer struct {
	ID                string `json:"id"`
	Email             string `json:"email"`
	Country           string `json:"country,omitempty"` // ISO 3166, two letters
	Locale            string `json:"locale,omitempty"`  // BCP 47; empty: English
	FirstName         string `json:"firstName,omitempty"`
	LastName          string `json:"lastName,omitempty"`
	CompanyName       string `json:"companyName,omitempty"`
	CompanyIdentifier string `json:"companyIdentifier,omitempty"`
	Street            string `json:"street,omitempty"`
	City              string `json:"city,omitempty"`
	ZipCode           string `json:"zipCode,omitempty"`
	Phone             string `json:"phone,omitempty"`
	// AdditionalInfo is what the customer filled in when ordering: {ADDINFO_TEXT} in e-mails.
	AdditionalInfo string `json:"additionalInfo,omitempty"`
	// Licensee is who is to own what was bought, if that is not the customer: {LICENSE_FOR} in e-mails.
	Licensee Licensee `json:"licensee,omitzero"`
}

// Licensee is who owns what was bought. Every field is optional.
type Licensee struct {
	FirstName   string `json:"firstName,omitempty"`
	LastName    string `json:"lastName,omitempty"`
	Email       string `json:"email,omitempty"`
	Phone       string `json:"phone,omitempty"`
	CompanyName string `json:"companyName,omitempty"`
}

// LineItem is one product of an order. ID and FulfillmentID are UUIDs; FulfillmentID never changes and is the
// idempotency key towards partners.
type LineItem struct {
	ID            string        `json:"id,omitempty"`
	FulfillmentID string        `json:"-"`
	ProductID     string        `json:"productId"`
	Quantity      int           `json:"quantity"`
	GrossPrice    string        `json:"grossPrice"` // decimal string, of the whole line
	Operation     OperationName `json:"operation,omitempty"`
	// what an operation other than create acts on; or the subscriptionId of its create
	LicenseID      string `json:"licenseId,omitempty"`
	SubscriptionID string `json:"subscriptionId,omitempty"`
	TrialContext   string `json:"trialContext,omitempty"`
	// of create, renew and resume: the end of the term that was sold; a partner's answer wins
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	// of a line that a checkout link sold: what replaces its product's own
	SoldAs *SoldAs `json:"-"`
}

// Failure is the last thing that went wrong with a line, for operators. Message is ours; it holds no text of a partner.
type Failure struct {
	Kind    Kind      `json:"kind"`
	Code    string    `json:"code,omitempty"` // the partner's error code, made printable
	Message string    `json:"message"`
	At      time.Time `json:"at,omitzero"`
}
