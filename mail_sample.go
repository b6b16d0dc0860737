package keyturn

import (
	"slices"
	"strings"
)

// MailSampleRequest is the body of POST /v1/mails/preview and POST /v1/mails/test.
type MailSampleRequest struct {
	Kind      string `json:"kind,omitempty" enum:"keys,canceled,notice,addressChanged,confirmation,refused,ended,corrected,orderPage,withdrawal,library" doc:"Default: keys."`
	ProductID string `json:"productId,omitempty" doc:"Whose text and name the e-mail has. Default: a product that is invented."`
	Locale    string `json:"locale,omitempty" doc:"The customer's language tag, such as fr-FR. Default: English."`
	Email     string `json:"email,omitempty" doc:"The recipient. Required for a test."`
}

// MailSample is an e-mail to a customer with invented data.
type MailSample struct {
	Kind    string `json:"kind"`
	From    string `json:"from" doc:"The sender's name and address."`
	ReplyTo string `json:"replyTo,omitempty"`
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
	Sent    bool   `json:"sent,omitempty" doc:"The mail server has taken it."`
}

// The kinds of e-mails that have samples, beside PaymentMailKinds: those about a line, and the link to the library.
const (
	SampleKeys     = "keys"
	SampleCanceled = "canceled"
	SampleNotice   = "notice"
	SampleLibrary  = "library"
	// SampleAddressChanged is what the old address gets.
	SampleAddressChanged = "addressChanged"
)

// SampleKinds are the kinds of e-mails that have samples.
var SampleKinds = func() []string {
	kinds := []string{SampleKeys, SampleCanceled, SampleNotice, SampleAddressChanged}
	for _, k := range PaymentMailKinds {
		if k != MailAddressChanged { // it reads as the one about a line
			kinds = append(kinds, string(k))
		}
	}
	return append(kinds, SampleLibrary)
}()

// Check says what is wrong with a request. Without an address the recipient is invented, unless toSend.
func (r MailSampleRequest) Check(toSend bool, checkAddress func(string) error) error {
	var bad Problems
	bad.Check(!toSend || r.Email != "", "email", "must be the address to send to")
	bad.Check(r.Kind == "" || slices.Contains(SampleKinds, r.Kind), "kind", "must be one of %s",
		strings.Join(SampleKinds, ", "))
	bad.Check(r.ProductID == "" || ValidID(r.ProductID), "productId", "must name a product")
	bad.Check(r.Locale == "" || ValidLocale(r.Locale), "locale", "must be a language tag such as fr-FR")
	if r.Email != "" {
		if err := checkAddress(r.Email); err != nil {
			bad.Addf("email", "%s", err.Error())
		}
	}
	return bad.Err("the request for an e-mail is not valid")
}
