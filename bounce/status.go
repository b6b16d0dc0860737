package bounce

import (
	"net/textproto"
	"regexp"

	"keyturn.dev/keyturn"
)

var (
	statusCode = regexp.MustCompile(`^\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b`)
	// smtpReply is a Diagnostic-Code of the type smtp: a reply with its enhanced status code (RFC 2034).
	smtpReply = regexp.MustCompile(`(?i)^\s*smtp\s*;\s*[45][0-9]{2}[ -]([45]\.[0-9]{1,3}\.[0-9]{1,3})\b`)
	undefined = regexp.MustCompile(`^[45]\.0\.0$`)
)

// statusOf is the enhanced status code of a recipient's group. Exim has 5.0.0 there for everything; then it is that of
// the reply which the other server gave.
func statusOf(group textproto.MIMEHeader) string {
	status := submatch(statusCode, group.Get("Status"))
	if status == "" || undefined.MatchString(status) {
		if reply := submatch(smtpReply, group.Get("Diagnostic-Code")); reply != "" {
			return reply
		}
	}
	return status
}

func submatch(pattern *regexp.Regexp, text string) string {
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// What a status says of the recipient's address (RFC 3463): that there is no such mailbox, system or name, that it has
// moved or may not be written to. 5.1.7 and 5.1.8 are about the sender's.
var badAddress = regexp.MustCompile(`^5\.(1\.[0-9]+|2\.1)$`)

var badSender = regexp.MustCompile(`^5\.1\.[78]$`)

// kindOf is what an action and a status mean; empty: nothing went wrong.
func kindOf(action, status string) keyturn.BounceKind {
	switch {
	case action == "delayed":
		return keyturn.BounceDelayed
	case action != "failed":
		return ""
	case badAddress.MatchString(status) && !badSender.MatchString(status):
		return keyturn.BounceBadAddress
	case status != "" && status[0] == '4':
		return keyturn.BounceUndeliverable
	}
	return keyturn.BounceRefused
}
