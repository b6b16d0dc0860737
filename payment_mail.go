package keyturn

// PaymentMailKind is what an e-mail about a payment of a checkout link, and the order that it made, is for.
type PaymentMailKind string

// The kinds of e-mails about payments.
const (
	// MailConfirmation: the order was accepted. It is the contract in writing.
	MailConfirmation PaymentMailKind = "confirmation"
	// MailRefused: a means of payment that takes time has failed. No order came of it.
	MailRefused PaymentMailKind = "refused"
	// MailEnded: nothing of what was paid for is delivered, so nothing was charged, or all of it goes back.
	MailEnded PaymentMailKind = "ended"
	// MailCorrected: more was taken than the customer was told, and goes back.
	MailCorrected PaymentMailKind = "corrected"
	// MailOrderPage: the address of the order's page, once more.
	MailOrderPage PaymentMailKind = "orderPage"
	// MailWithdrawal: the customer's withdrawal has arrived.
	MailWithdrawal PaymentMailKind = "withdrawal"
	// MailAddressChanged: the order's e-mails go to another address. It goes to the old one.
	MailAddressChanged PaymentMailKind = "addressChanged"
)

// PaymentMailKinds are all kinds of e-mails about payments. The database's constraint agrees.
var PaymentMailKinds = []PaymentMailKind{
	MailConfirmation, MailRefused, MailEnded, MailCorrected, MailOrderPage, MailWithdrawal,
	MailAddressChanged,
}
