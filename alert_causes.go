package keyturn

const (
	decided   = "the line is delivered or refunded"
	closeIt   = "`keyturn alert close ALERT --reason REASON`"
	lookAtTry = "look at the attempts and talk to the partner; `keyturn resolve FULFILLMENT retry`, `supply` or `refund`"
)

// AlertCauses is the one table of causes: the database's constraint, the table in docs/run/operating.md, the API's
// description and the e-mails to operations agree with it.
var AlertCauses = []AlertInfo{
	{
		Cause: AlertUnavailable, Severity: SeverityWarning, ToDo: lookAtTry, Closes: decided,
		Meaning: "the partner or the mail server did not answer, or nobody supplied keys in time",
	},
	{
		Cause: AlertRateLimited, Severity: SeverityWarning, ToDo: lookAtTry, Closes: decided,
		Meaning: "the partner asks for fewer calls, or the line's turn did not come in time",
	},
	{Cause: AlertRejected, Severity: SeverityWarning, ToDo: lookAtTry, Closes: decided, Meaning: "the partner said no"},
	{
		Cause: AlertBadReply, Severity: SeverityWarning, ToDo: lookAtTry, Closes: decided,
		Meaning: "the partner's answer cannot be used",
	},
	{
		Cause: AlertConfiguration, Severity: SeverityError, Closes: decided, Meaning: "the catalog entry cannot work",
		ToDo: "correct it and `keyturn apply`, then `keyturn resolve FULFILLMENT retry`",
	},
	{
		Cause: AlertOutOfStock, Severity: SeverityWarning, Closes: decided, Meaning: "the pool has too few keys for the line",
		ToDo: "import keys: the import serves the waiting lines",
	},
	{
		Cause: AlertConflict, Severity: SeverityWarning, Closes: decided,
		Meaning: "the licence's status no longer allows the operation", ToDo: "nothing: the line is refunded",
	},
	{
		Cause: AlertDuplicateKey, Severity: SeverityError, Closes: decided,
		Meaning: "the partner gave a code that another line has or a pool sells. It was not delivered, and the line waits " +
			"for you",
		ToDo: "ask the partner which code is the order's, then `keyturn resolve FULFILLMENT retry`, `supply` or `refund`. " +
			"If the same code for several is meant, set `volumeCodes: true` at the product, `keyturn apply`, then `retry`",
	},
	{
		Cause: AlertInternal, Severity: SeverityCritical, Closes: decided, Meaning: "a fault of Keyturn or of its database",
		ToDo: "look at the logs, then `keyturn resolve FULFILLMENT retry`, `supply` or `refund`",
	},
	{
		Cause: AlertManual, Severity: SeverityWarning, Meaning: "the line waits for your keys",
		ToDo: "`keyturn resolve FULFILLMENT supply --keys FILE`", Closes: "keys are supplied, or the line is decided",
	},
	{
		Cause: AlertRefund, Severity: SeverityCritical,
		Meaning: "a refund does not come through, or it waits for the customer, whom the provider asks where the money goes",
		ToDo:    "look at the payment provider; the refund is tried until it is done", Closes: "the refund is done",
	},
	{
		Cause: AlertManualRefund, Severity: SeverityError, Closes: "somebody confirms the refund",
		Meaning: "a line's money is to be given back by hand: its order was paid by the provider `manual`",
		ToDo: "give the money back where it was taken, then `keyturn order refund-confirm FULFILLMENT --reference " +
			"REFERENCE --reason REASON`",
	},
	{
		Cause: AlertRevocation, Severity: SeverityError, ByPerson: true, Closes: "the partner acknowledges every cancel",
		Meaning: "a partner has not acknowledged a cancel, or may have carried out an operation on a licence that was " +
			"given " +
			"up or refunded; the alert says which",
		ToDo: "tell the partner, or check there that the licence is as it was; then " + closeIt,
	},
	{
		Cause: AlertExposed, Severity: SeverityError, ByPerson: true,
		Meaning: "a line was refunded although its e-mail may have arrived",
		ToDo:    "block the keys at the publisher, then " + closeIt + "; they are quarantined here",
	},
	{
		Cause: AlertUndelivered, Severity: SeverityWarning, ByPerson: true, Closes: "the e-mail is sent",
		Meaning: "an e-mail that was asked for again, or tells of a refund, a replacement or a checkout link's " +
			"payment, does not go out",
		ToDo: "look at the mail server. The e-mail is tried for three days. One about a line is tried anew after each " +
			"nightly audit that finds it (A5), and `POST /v1/fulfillments/FULFILLMENT/resend` replaces it; one about a " +
			"payment is not tried after that. Or reach the customer otherwise and " + closeIt + ", which ends the attempts",
	},
	{
		Cause: AlertBounced, Severity: SeverityWarning, ByPerson: true,
		Closes: "a newer e-mail of the same kind has not come back for a day",
		Meaning: "an e-mail about a line, or about an order as a whole, came back, or its recipient calls it spam. The " +
			"alert says why. The customer sees it on the order page, and can give another address there",
		ToDo: "`GET /v1/fulfillments/FULFILLMENT` shows what was reported. Reach the customer otherwise, then `keyturn order " +
			"resend FULFILLMENT --to ADDRESS`, with any fulfillment of the order; where the alert says that the customer's " +
			"address waits for you, `--look` shows it, and `--asked --to ADDRESS` sends there. Or " + closeIt,
	},
	{
		Cause: AlertRestored, Severity: SeverityCritical,
		Meaning: "a line may have got its keys after the backup that was restored",
		ToDo:    "look at the customer's e-mail, then `keyturn resolve FULFILLMENT supply`, `release` or `refund`",
		Closes:  "a person lets the line go on, or the line is decided",
	},
	{
		Cause: AlertTwoAnswers, Severity: SeverityError, ByPerson: true,
		Meaning: "a partner gave two keys for one order; the customer has the first",
		ToDo:    "have the partner block the other, then " + closeIt,
	},
	{
		Cause: AlertMoved, Severity: SeverityError, Closes: "a person lets the line go on, or the line is decided",
		Meaning: "an integration has another address, and nobody knows whether the partner carried out a call at the old " +
			"one. The line is held and is not refunded for it",
		ToDo: "ask the partner what it has under the fulfillmentId; `keyturn resolve FULFILLMENT retry` asks the new " +
			"address, `supply` delivers what was issued, `refund` cancels",
	},
	{
		Cause: AlertPartnerDown, Severity: SeverityError, Closes: "the partner answers",
		Meaning: "five different orders in a row got no answer. The partner's lines wait, and this alert stands for " +
			"theirs, " +
			"until one fails again after `PartnerBack`",
		ToDo: "`keyturn integration show INTEGRATION` shows the state; ask the partner. Nothing is lost: the oldest line " +
			"goes first",
	},
	{
		Cause: AlertPartnerBack, Severity: SeverityInfo, Meaning: "the partner answers again; the oldest lines go first",
		ToDo: "nothing", Closes: "at once",
	},
	{
		Cause: AlertCertificateExpiring, Severity: SeverityWarning, Closes: "the integration has a certificate that lasts",
		Meaning: "an integration's client certificate, or the last certificate in its `tls.ca`, expires within thirty days",
		ToDo: "ask the partner for the next one and put both into `tls.ca`, or renew `tls.clientCert`; then " +
			"`keyturn apply`: the next call uses it",
	},
	{
		Cause: AlertClockSkew, Severity: SeverityError, ByPerson: true,
		Closes: "the clocks agree, or nothing was heard of the host for a day",
		Meaning: "the clock of a worker's host and the database's differ by more than five seconds. Waits and deadlines " +
			"are not " +
			"affected; certificates, signed requests and the dates of e-mails are",
		ToDo: "set up NTP on both hosts; a host that is gone needs nothing",
	},
	{
		Cause: AlertLowStock, Severity: SeverityWarning, Meaning: "a pool fell below its threshold",
		ToDo: "`keyturn pool import POOL FILE`", Closes: "the pool is above its threshold",
	},
	{
		Cause: AlertRunsDry, Severity: SeverityWarning, Closes: "the stock lasts longer",
		Meaning: "at the recent pace a pool lasts no longer than its `forecastHorizon`, less what waiting lines need",
		ToDo:    "`keyturn pool import POOL FILE`",
	},
	{
		Cause: AlertOwed, Severity: SeverityCritical, Closes: "nothing of the kind is owed for too long",
		Meaning: "something that Keyturn does by itself is not done: replacements of recalled keys, recalls, workflows to " +
			"start, lines to wake, refunds, alerts to mail or audits stand still. The alert says which, how many and since when",
		ToDo: "look at the logs of the workers (`housekeeping failed and goes on`) and of the relay, which name each one; " +
			"import keys if replacements wait for them",
	},
	{
		Cause: AlertAudit, Severity: SeverityCritical, Meaning: "the books do not balance",
		ToDo:   "`keyturn audit show` names each violation, order by order; the audit has set going what stood still",
		Closes: "an audit finds nothing",
	},
	{
		Cause: AlertSearchAttributes, Severity: SeverityError, Closes: "the search attributes are there",
		Meaning: "Temporal's namespace lacks search attributes, and Keyturn could not create them: no workflow starts, and " +
			"orders stay PENDING. The alert says which",
		ToDo: "create them with the command that the alert gives, or on Temporal Cloud in the namespace's settings; remove " +
			"one that has another type first. What waits starts by itself",
	},
	{
		Cause: AlertCapture, Severity: SeverityError, Closes: "the money is taken, or the line is decided",
		Meaning: "the money of an order that a checkout link made could not be taken yet. Its key is in hand, and is not " +
			"delivered before",
		ToDo: "look at the payment provider. The capture is tried until the authorization ends; then the order is " +
			"cancelled, and nothing is charged",
	},
	{
		Cause: AlertLatePayment, Severity: SeverityCritical, ByPerson: true,
		Meaning: "a customer has paid after the end of a checkout link, a payment was taken after it had ended " +
			"uncharged, or a restored database does not have it. All of it goes back",
		ToDo: "`keyturn payment show PAYMENT` shows whether the money is back, or the alert says so; tell the customer, " +
			"then " + closeIt,
	},
	{
		Cause: AlertMismatch, Severity: SeverityCritical, ByPerson: true,
		Meaning: "a customer has paid another sum than was asked for, or another sum was taken. The alert says which",
		ToDo: "`keyturn payment show PAYMENT` shows both sums. While it is MISMATCH, `keyturn payment resolve PAYMENT accept " +
			"--reason REASON` accepts the order and keeps at most what it costs, and `giveBack` in place of `accept` gives all " +
			"of it back. Of a payment that is CAPTURED, what is more goes back by itself; settle what is less, or in another " +
			"currency, at the payment provider, then " + closeIt,
		Closes: "a person decides on the payment",
	},
	{
		Cause: AlertNotAccepted, Severity: SeverityError, ByPerson: true,
		Meaning: "a checkout link was paid, and its order could not be accepted: a product was removed, or the order's ID " +
			"was taken. All of the money goes back, and the link is open again",
		ToDo: "correct the cause that the alert gives, tell the customer, then " + closeIt,
	},
	{
		Cause: AlertProcessorDown, Severity: SeverityError, ByPerson: true, Closes: "the payment provider answers",
		Meaning: "calls for five different payments in a row got no answer of a payment provider that sells, or none was " +
			"answered for five minutes. Nobody can pay by it; what is authorized is captured when it answers",
		ToDo: "look at the payment provider's status page and at our network. Nothing is lost: each payment is asked for " +
			"until it answers. Of a provider that you no longer use, " + closeIt,
	},
	{
		Cause: AlertProcessorRefuses, Severity: SeverityError, ByPerson: true, Closes: "the payment provider opens a payment",
		Meaning: "a payment provider refuses to open a payment: its account or its settings do not fit, or it does not " +
			"take what the checkout link asks for. The link stays open, and its page says that it cannot be paid now",
		ToDo: "correct what the alert names, and pay by the link; of a provider that you no longer use, " + closeIt,
	},
	{
		Cause: AlertUnknownPayment, Severity: SeverityCritical, ByPerson: true,
		Closes: "the payment provider says where the payment stands",
		Meaning: "a payment provider does not know a payment whose session it has opened. Perhaps its account or key is " +
			"another one now. Nobody knows whether the customer has paid; the payment's workflow goes on asking",
		ToDo: "correct the account; or look for the payment there and tell the customer, then " + closeIt +
			". `keyturn payment show PAYMENT` has its reference",
	},
	{
		Cause: AlertCardTesting, Severity: SeverityWarning,
		Closes: "fewer are refused for ten minutes",
		Meaning: "a payment provider has refused twenty payments or more in ten minutes, nine in ten of all: somebody may " +
			"be trying out stolen cards. It is known only where the provider's events arrive",
		ToDo: "look at the payments at the provider, and at whose checkout links they are: `keyturn payment list`. Cancel " +
			"those links, and use the provider's own protection",
	},
	{
		Cause: AlertProcessorMode, Severity: SeverityError, ByPerson: true,
		Meaning: "a payment provider sends events of its test mode to an installation that takes real money, or the other " +
			"way round. They are refused",
		ToDo: "correct the address or the secret of the endpoint at the provider, then " + closeIt,
	},
	{
		Cause: AlertExternalRefund, Severity: SeverityWarning, ByPerson: true,
		Meaning: "somebody has refunded a part of a payment at the payment provider. Keyturn does not know for which line, " +
			"and delivers on",
		ToDo: "cancel the line that it was for, if there is one: what is left of the payment is all that can go back; then " +
			closeIt,
	},
	{
		Cause: AlertDispute, Severity: SeverityError, ByPerson: true, Closes: "the dispute is decided",
		Meaning: "a customer has disputed a payment at the bank. The alert says until when evidence is to be given. " +
			"Refunds of the payment wait for the outcome; if it is lost, the order is cancelled and its keys revoked",
		ToDo: "`keyturn order evidence ORDER` writes what there is to say; give it at the payment provider before it is due",
	},
	{
		Cause: AlertFraudWarning, Severity: SeverityWarning, ByPerson: true,
		Meaning: "the bank of a customer has warned that a payment may be fraudulent. A dispute often follows",
		ToDo: "look at the order; `keyturn order cancel ORDER --reason REASON` gives the money back before it is disputed. " +
			"Then " + closeIt,
	},
	{
		Cause: AlertRefundPending, Severity: SeverityError, ByPerson: true,
		Meaning: "the payment provider took on a refund ten days ago, and the money is not back yet. The line or payment " +
			"counts as refunded",
		ToDo: "look at the refund at the payment provider; if it does not come through, pay the customer back in another " +
			"way. Then " + closeIt,
	},
	{
		Cause: AlertRefundFailed, Severity: SeverityCritical, ByPerson: true,
		Meaning: "the payment provider took on a refund, and it failed for good: the customer's bank or card does not take " +
			"the money. The line or payment counts as refunded",
		ToDo: "pay the customer back in another way, for example by bank transfer, then " + closeIt,
	},
	{
		Cause: AlertWebhookFailing, Severity: SeverityError, Closes: "a test of the webhook succeeds, or it is deleted",
		Meaning: "Keyturn has switched a webhook off: its receiver answered 410, or took nothing on five days of tries. Or " +
			"it is sent nothing, because its secrets do not open with the workers' key file",
		ToDo: "correct the receiver or the key file, then `keyturn webhook test WEBHOOK`, which switches it on again; " +
			"`keyturn webhook replay WEBHOOK --from TIME` sends what it missed",
	},
}
