package keyturn

import (
	"slices"
	"strings"
)

// AlertCause is why operations are alerted. AlertCauses has what there is to know of each.
type AlertCause string

// The causes of alerts. The first ones are kinds of failures: such an alert belongs to a line in trouble.
const (
	AlertUnavailable   = AlertCause(KindUnavailable)
	AlertRateLimited   = AlertCause(KindRateLimited)
	AlertRejected      = AlertCause(KindRejected)
	AlertBadReply      = AlertCause(KindBadReply)
	AlertConfiguration = AlertCause(KindConfiguration)
	AlertOutOfStock    = AlertCause(KindOutOfStock)
	AlertConflict      = AlertCause(KindConflict)
	AlertDuplicateKey  = AlertCause(KindDuplicateKey)
	AlertInternal      = AlertCause(KindInternal)

	AlertManual       AlertCause = "Manual"
	AlertRefund       AlertCause = "Refund"
	AlertManualRefund AlertCause = "ManualRefund"
	AlertRevocation   AlertCause = "Revocation"
	AlertExposed      AlertCause = "Exposed"
	AlertUndelivered  AlertCause = "Undelivered"
	AlertBounced      AlertCause = "Bounced"
	AlertRestored     AlertCause = "Restored"
	AlertTwoAnswers   AlertCause = "PartnerAnsweredDifferently"
	AlertMoved        AlertCause = "PartnerMoved"

	AlertPartnerDown         AlertCause = "PartnerDown"
	AlertPartnerBack         AlertCause = "PartnerBack"
	AlertCertificateExpiring AlertCause = "CertificateExpiring"
	AlertClockSkew           AlertCause = "ClockSkew"
	AlertLowStock            AlertCause = "LowStock"
	AlertRunsDry             AlertCause = "RunsDry"
	AlertOwed                AlertCause = "Owed"
	AlertAudit               AlertCause = "Audit"
	AlertSearchAttributes    AlertCause = "SearchAttributes"

	AlertCapture     AlertCause = "Capture"
	AlertLatePayment AlertCause = "LatePayment"
	AlertMismatch    AlertCause = "Mismatch"
	AlertNotAccepted AlertCause = "NotAccepted"

	AlertProcessorDown    AlertCause = "ProcessorDown"
	AlertProcessorRefuses AlertCause = "ProcessorRefuses"
	AlertUnknownPayment   AlertCause = "UnknownPayment"
	AlertCardTesting      AlertCause = "CardTesting"
	AlertProcessorMode    AlertCause = "ProcessorMode"

	AlertRefundPending AlertCause = "RefundPending"
	AlertRefundFailed  AlertCause = "RefundFailed"

	AlertExternalRefund AlertCause = "ExternalRefund"
	AlertDispute        AlertCause = "Dispute"
	AlertFraudWarning   AlertCause = "FraudWarning"

	AlertWebhookFailing AlertCause = "WebhookFailing"
)

// Severity says how soon a person should look at an alert.
type Severity string

// The severities of alerts.
const (
	SeverityCritical Severity = "critical" // money, keys or all of the work are at stake: now
	SeverityError    Severity = "error"    // nothing goes on, or something stays wrong, until a person acts: soon
	SeverityWarning  Severity = "warning"  // a customer waits, or will: today
	SeverityInfo     Severity = "info"     // nothing is to be done
)

// Severities are all of them, the worst first.
var Severities = []Severity{SeverityCritical, SeverityError, SeverityWarning, SeverityInfo}

// AlertInfo is what there is to know of a cause. The texts are Markdown without links. ToDo names what an alert is
// about by placeholders (FULFILLMENT, POOL, INTEGRATION, ALERT), for which the e-mail has the IDs.
type AlertInfo struct {
	Cause    AlertCause
	Severity Severity
	Meaning  string
	ToDo     string
	Closes   string // when the system closes it; empty: never
	ByPerson bool   // it outlives its line, and a person may close it
}

// Info gives what there is to know of the cause; the zero value, if there is no such cause.
func (c AlertCause) Info() AlertInfo {
	if i := slices.IndexFunc(AlertCauses, func(i AlertInfo) bool { return i.Cause == c }); i >= 0 {
		return AlertCauses[i]
	}
	return AlertInfo{}
}

// AlertOf is the cause of the alert of a line that failed with this kind.
func AlertOf(k Kind) AlertCause {
	if c := AlertCause(k); c.Info().Cause != "" {
		return c
	}
	return AlertInternal
}

// LastingAlerts are the causes whose alerts outlive their line, because only a person can tell that they are over.
func LastingAlerts() []AlertCause {
	var out []AlertCause
	for _, i := range AlertCauses {
		if i.ByPerson {
			out = append(out, i.Cause)
		}
	}
	return out
}

// AlertCausesTable shows AlertCauses as a table in Markdown.
func AlertCausesTable() string {
	var out strings.Builder
	out.WriteString("| cause | severity | meaning | what to do | who closes it |\n|---|---|---|---|---|\n")
	for _, i := range AlertCauses {
		closes := "the system when " + i.Closes
		switch {
		case i.Closes == "":
			closes = "a person"
		case i.Closes == "at once":
			closes = "the system at once"
		case i.ByPerson:
			closes += ", or a person"
		}
		out.WriteString("| `" + string(i.Cause) + "` | " + string(i.Severity) + " | " + i.Meaning + " | " + i.ToDo + " | " +
			closes + " |\n")
	}
	return out.String()
}
