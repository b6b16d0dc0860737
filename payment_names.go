package keyturn

// The payment providers that every installation has. The others are configured, and the sandbox is there in
// development.
const (
	// PaymentNone is of orders that cost nothing: there is nobody to ask for money back.
	PaymentNone = "none"
	// PaymentManual is of a shop that takes money where nobody can be asked for it by HTTP: a person refunds, and
	// confirms.
	PaymentManual = "manual"
)

// RefundConfirmation says that a person has refunded a line whose provider is PaymentManual.
type RefundConfirmation struct {
	Reference string `json:"reference" doc:"What the refund is called where it was made, such as a transaction's number."`
	Reason    string `json:"reason" doc:"Why and how it was made; recorded with who confirms."`
}

// Check says everything that is wrong with a confirmation by itself.
func (c RefundConfirmation) Check() error {
	var bad Problems
	bad.Check(cleanText(c.Reference, 1, 200), "reference", "must be 1 to 200 printable characters")
	bad.Check(cleanText(c.Reason, 1, 500), "reason", "must be 1 to 500 printable characters")
	return bad.Err("the confirmation is not valid")
}
