package keyturn

import "slices"

// PaymentAction is what a person decides on a payment whose sum is another one than was asked for.
type PaymentAction string

// The decisions on a payment that is MISMATCH.
const (
	// PaymentAccept: the order is accepted. Of what was paid, at most what it costs is kept.
	PaymentAccept PaymentAction = "accept"
	// PaymentGiveBack: no order comes of it, and all of it goes back.
	PaymentGiveBack PaymentAction = "giveBack"
)

// PaymentResolution is a person's decision on a payment that is MISMATCH.
type PaymentResolution struct {
	Action PaymentAction `json:"action" enum:"accept,giveBack" doc:"accept: the order is accepted, and at most what it costs is kept. giveBack: all of it goes back, and the link is open again."`
	Reason string        `json:"reason" doc:"Why; recorded with who decided."`
}

// Check says everything that is wrong with the decision by itself.
func (r PaymentResolution) Check() error {
	var bad Problems
	bad.Check(slices.Contains([]PaymentAction{PaymentAccept, PaymentGiveBack}, r.Action), "action",
		"must be accept or giveBack")
	bad.Check(cleanText(r.Reason, 1, 500), "reason", "must be 1 to 500 printable characters")
	return bad.Err("the resolution is not valid")
}
